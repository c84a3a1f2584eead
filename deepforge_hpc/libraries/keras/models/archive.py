"""A .keras file before Keras opens it: whether it holds code, and how much it unpacks to."""

from __future__ import annotations

import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from deepforge_hpc.errors import Fault, InvalidInputError
from deepforge_hpc.libraries.keras.imports.source import BROKEN, read_model

MOST_UNPACKED = 20
"""Times the file's own size: Keras does not pack weights, and real ones hardly shrink."""
_FREE = 64 << 20
_DEEPEST = 200
_PARTS = (
    *("layers", "models", "initializers", "regularizers", "constraints", "activations"),
    *("dtype_policies", "losses", "metrics", "optimizers"),
)
_HINT = "Say --trust if you trust whoever made it; code of it may then run."


def check_model(path: Path, *, trusted: bool) -> int:
    """Return to how many bytes a .keras file unpacks; InvalidInputError for one that may do harm.

    Code, and objects that are not Keras' own layers and their parts, are refused unless `trusted`.
    """
    document = read_model(path)
    try:
        with zipfile.ZipFile(path) as archive:
            unpacked = sum(member.file_size for member in archive.infolist())
    except BROKEN as error:
        raise _refused(path, f"it is no .keras file: {error}", "model.save('X.keras')") from error
    packed = path.stat().st_size
    if unpacked > MOST_UNPACKED * packed + _FREE:
        message = f"its {packed:,} bytes would unpack to {unpacked:,}, which no saved model does"
        raise _refused(path, message, "Save the model again.")
    if not trusted and (found := list(dict.fromkeys(_foreign(document, 0)))):
        raise _refused(path, f"it holds {', '.join(found[:5])}, which is not Keras' own", _HINT)
    return unpacked


def _refused(path: Path, message: str, hint: str) -> InvalidInputError:
    return InvalidInputError([Fault(message=message, file=str(path), hint=hint)])


def _foreign(value: Any, depth: int) -> Iterator[str]:
    """Yield what Keras would take from elsewhere, or run."""
    if depth > _DEEPEST:
        yield "more nested objects than any model"
    elif isinstance(value, dict):
        name = str(value.get("class_name", ""))
        if "class_name" in value and not _is_own(value, name):
            yield f"{value.get('module') or 'a class'}:{name}"
        for key, item in value.items():
            if depth or key != "compile_config":  # which nobody reads of the outermost
                yield from _foreign(item, depth + 1)
    elif isinstance(value, list):
        for item in value:
            yield from _foreign(item, depth + 1)


def _is_own(value: dict[str, Any], name: str) -> bool:
    """Tell whether an object of a saved model is one of Keras' layers, or a part of one."""
    if name == "__keras_tensor__":
        return True
    module = str(value.get("module") or "")
    parts = [part for part in module.split(".") if part != "src"]
    is_part = parts[:1] == ["keras"] and (len(parts) == 1 or parts[1] in _PARTS)
    return is_part and name not in {"Lambda", "__lambda__", "TFSMLayer", "TorchModuleWrapper"}
