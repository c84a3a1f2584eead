"""Tensors of torch in safetensors, which holds numbers and no code."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from .array import plain_array
from .base import Format, FormatError, Rows, unfit, whole
from .integrity import check_safetensors

_ONE = "tensor"
"""Name of a tensor that was not in a dict."""
_RESERVED = "__metadata__"
"""What the header of a file keeps under this name is no tensor."""


class Safetensors(Format):
    """A tensor, or a dict of tensors such as a state dict; on load they are on the CPU."""

    id = "safetensors"
    suffix = ".safetensors"
    expects = "a torch.Tensor, or a dict of these or of numpy arrays, such as model.state_dict()"
    needs = ("safetensors",)

    def save(self, value: Any, stem: Path) -> Path:
        single = not isinstance(value, dict)
        values = {_ONE: value} if single else value
        framework = _framework(values)
        if not framework:
            raise unfit(self, value)
        path = stem.with_name(stem.name + self.suffix)
        # The file sorts them by size, and a dict has an order: layers are told apart by it.
        metadata = {
            "format": framework,
            "one": str(int(single)),
            "dfh_names": json.dumps([*values]),
        }
        try:
            if framework == "pt":
                from safetensors.torch import save_file

                save_file(_apart(values), path, metadata=metadata)
            else:
                import numpy as np
                from safetensors.numpy import save_file as save_arrays

                # It writes the memory of an array as it lies, whatever its strides say.
                arrays = {name: np.asarray(plain_array(v), order="C") for name, v in values.items()}
                save_arrays(arrays, path, metadata=metadata)
        except (OSError, FormatError):
            raise
        except Exception as error:
            raise FormatError(f"safetensors cannot keep it: {error}") from error
        return path

    def load(self, path: Path, rows: Rows | None = None) -> Any:
        from safetensors import safe_open

        with safe_open(whole(self, path, rows), framework="np") as file:
            metadata = file.metadata() or {}
        with safe_open(path, framework=metadata.get("format", "pt")) as file:
            names = json.loads(metadata["dfh_names"]) if "dfh_names" in metadata else file.keys()
            found = {name: file.get_tensor(name) for name in names}
        return found[_ONE] if metadata.get("one") == "1" else found

    def verify(self, path: Path) -> None:
        check_safetensors(path)


def is_tensors(value: object) -> bool:
    """Tell whether a value is a tensor of torch, or a dict of them."""
    values = value if isinstance(value, dict) else {_ONE: value}
    return _framework(values) == "pt"


def _framework(values: dict[Any, Any]) -> str:
    """Return pt or np for a dict of tensors or arrays; empty for any other."""
    if not values or not all(isinstance(name, str) and name != _RESERVED for name in values):
        return ""
    for framework, module, kind in (("pt", "torch", "Tensor"), ("np", "numpy", "ndarray")):
        found = getattr(sys.modules.get(module), kind, None)
        if found is not None and all(isinstance(item, found) for item in values.values()):
            return framework
    return ""


def _apart(tensors: dict[str, Any]) -> dict[str, Any]:
    """Return tensors on the CPU of which no two share memory, as tied weights do.

    The memory of a conjugate or negated tensor is that of the one it is made from, until resolved.
    """
    found, seen = {}, set()
    for name, tensor in tensors.items():
        own = tensor.detach().resolve_conj().resolve_neg().cpu().contiguous()
        place = own.untyped_storage().data_ptr()
        found[name] = own.clone() if place in seen else own
        seen.add(place)
    return found
