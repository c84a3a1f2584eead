"""Asks a Keras about a saved model: in a process of its own, which is limited."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import tempfile
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from deepforge_hpc.errors import Fault, InvalidInputError, UsageError
from deepforge_hpc.libraries.keras.models.archive import check_model
from deepforge_hpc.runtime.base.files import parse_object

_CHILD = Path(__file__).with_name("child.py")
_INSIDE = Path(__file__).parents[3] / "training" / "inside.py"
_LIMIT_S = 1200
_MAX_ANSWER = 64 << 20
_ONNX = "keras torch onnx onnxscript onnxruntime h5py"
_ONNX_HINT = (
    f"python3 -m venv onnx && onnx/bin/pip install {_ONNX} makes one; then say --python "
    "onnx/bin/python. It must have no TensorFlow beside it"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelTask:
    """What a Keras is to do with a saved model."""

    task: str
    """inspect | safetensors | onnx"""
    python: str
    backend: str = ""
    """Empty: the one that this Keras takes by itself."""
    trusted: bool = False
    inputs: str = ""
    """A .npy or .npz file with examples, or empty."""
    examples: int = 256
    unit: int | None = None
    out: str = ""
    bound: float = 1e-4
    """Largest |difference| / (1 + |output of Keras|) that an export may have."""


def ask(path: Path, task: ModelTask) -> dict[str, Any]:
    """Return the answer of the child.

    Raises InvalidInputError for a model that is refused, by us or by Keras, and UsageError for a
    Python that has not what it takes.
    """
    unpacked_mib = check_model(path, trusted=task.trusted) >> 20
    request = {
        **asdict(task),
        "path": str(path.resolve()),
        "inside": str(_INSIDE),
        "folder": os.getcwd() if task.trusted else "",  # noqa: PTH109
        "memory_mib": 8192 + 8 * unpacked_mib,
        "cpu_s": _LIMIT_S,
        "file_mib": 64 + 4 * unpacked_mib,
    }
    with tempfile.TemporaryDirectory(prefix="dfh-model-", ignore_cleanup_errors=True) as scratch:
        found, last = _talk(task.python, request, scratch)
    error = found.get("error")
    if error is None and found:
        return found
    raise _refused(path, task, error or {"why": "end", "text": last})


def _talk(python: str, request: dict[str, Any], scratch: str) -> tuple[dict[str, Any], str]:
    """Return the child's answer, empty if there is none, and the last line that it wrote."""
    output, errors = Path(scratch, "answer"), Path(scratch, "stderr")
    with output.open("wb") as out, errors.open("wb") as err:
        try:
            process = subprocess.Popen(
                [python, "-I", str(_CHILD)],
                stdin=subprocess.PIPE,
                stdout=out,
                stderr=err,
                cwd=scratch,
                env={**os.environ, "TMPDIR": scratch},
                start_new_session=True,
            )
        except OSError as error:
            hint = "Name an interpreter that has Keras."
            raise UsageError(f"--python {python}: {error.strerror}", hint) from error
        try:
            process.communicate(json.dumps(request).encode() + b"\n", timeout=_LIMIT_S)
        except subprocess.TimeoutExpired:
            return {}, f"it did not end within {_LIMIT_S} s"
        finally:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
    last = errors.read_bytes()[-2000:].decode(errors="replace").strip().rpartition("\n")[2]
    if output.stat().st_size > _MAX_ANSWER:
        return {}, "its answer is too long"
    with suppress(ValueError):
        return parse_object(output.read_bytes()), last
    return {}, last or f"it ended with exit code {process.returncode}"


def _refused(path: Path, task: ModelTask, error: dict[str, Any]) -> Exception:
    why, text = str(error.get("why")), str(error.get("text"))
    missing = {
        "no keras": "it has no Keras",
        "no backend": f"its Keras has no {text}",
        "no onnx": f"it has no {text}",
    }
    if why in missing:
        hint = _ONNX_HINT if task.task == "onnx" else "--python names one that has Keras."
        return UsageError(f"{task.python}: {missing[why]}", hint)
    if why == "unit":
        return UsageError(
            f"--unit {task.unit}: {text}", "Without --unit it is the largest of each."
        )
    if why == "inputs":
        return InvalidInputError([Fault(text, task.inputs)])
    known = {"differs": "Nothing was written.", "end": "The process that read it has ended."}
    said = text if why in known else f"Keras refuses it: {why}: {text}"
    return InvalidInputError([Fault(said, str(path), hint=known.get(why, ""))])
