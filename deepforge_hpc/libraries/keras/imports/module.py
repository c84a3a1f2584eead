"""The JSON of a model that a user's Python builds: in a process of its own, only when asked."""

from __future__ import annotations

import os
import signal
import subprocess
import tempfile
from contextlib import suppress
from pathlib import Path

from deepforge_hpc.errors import Fault, InvalidInputError, UsageError
from deepforge_hpc.libraries.keras.imports import child

_LIMIT_S = 600
_LINES = 12
"""Of what the child says, from its end."""


def build_model(source: Path, name: str, python: str, target: Path) -> None:
    """Write the JSON of the model that a module builds; InvalidInputError says why it cannot."""
    argv = [python, str(child.__file__), str(source), name, str(target)]
    with tempfile.TemporaryFile() as said:
        try:
            process = subprocess.Popen(
                argv,
                stdin=subprocess.DEVNULL,
                stdout=said,
                stderr=said,
                start_new_session=True,
            )
        except OSError as error:
            message = f"--python {python}: it cannot be started: {error.strerror}"
            raise UsageError(message, "Name an interpreter that has Keras.") from error
        code = _wait(process)
        said.seek(max(0, os.fstat(said.fileno()).st_size - 8192))
        lines = said.read().decode("utf-8", "replace").splitlines()[-_LINES:]
    if code != 0:
        raise InvalidInputError([_fault(source, python, code, lines)])


def _wait(process: subprocess.Popen[bytes]) -> int | None:
    """Return the exit code; None if the child had to be ended, with all that it has started."""
    try:
        return process.wait(_LIMIT_S)
    except subprocess.TimeoutExpired:
        return None
    finally:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def _fault(source: Path, python: str, code: int | None, lines: list[str]) -> Fault:
    last = lines[-1] if lines else f"exit code {code}"
    if code is None:
        return Fault(f"it did not end within {_LIMIT_S} s", str(source))
    if last.startswith("ModuleNotFoundError: No module named 'keras'"):
        hint = "--python PATH names an interpreter that has Keras"
        return Fault(f"{python} has no Keras", str(source), hint=hint)
    return Fault("\n".join([last, *lines[:-1]]), str(source))
