"""A network of PyTorch and its weights as one function of a batch."""

from __future__ import annotations

import copy
import hashlib
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch

from deepforge_hpc.operations.errors import OperationError
from deepforge_hpc.operations.models import Outputs, Predictor, averaged
from deepforge_hpc.operations.torch_data import input_names
from deepforge_hpc.training.rank_batches import native


def predictor(
    network: Any, weights: Mapping[str, Any], columns: list[str] | None, layer: str, average: str
) -> Predictor:
    """Return a network's function; OperationError of weights of another network."""
    names = input_names(network)
    if columns and len(columns) != len(names):
        raise OperationError(f"columns has {len(columns)}, and the network the inputs {names}")
    module = _loaded(network, weights)
    taken: list[Any] = []
    if layer:
        _layer(module, layer).register_forward_hook(lambda _one, _given, out: taken.append(out))
    kinds = getattr(module, "inputs", {})
    like = next(module.parameters())

    def run(given: list[Any]) -> Outputs:
        tensors = []
        for name, item in zip(names, given, strict=True):
            kind = kinds.get(name, like.dtype)
            kind = like.dtype if kind.is_floating_point else kind
            tensors.append(
                torch.from_numpy(np.ascontiguousarray(native(item))).to(like.device, kind)
            )
        taken.clear()
        with torch.no_grad():
            found = module(*tensors)
        return _outputs(module, taken[-1] if layer else found, is_whole=not layer)

    def predict(given: list[Any]) -> Outputs:
        return averaged(run, given, average, channels_first=True)

    return Predictor(tuple(columns or names), predict, _identity(module))


def _loaded(network: Any, weights: Mapping[str, Any]) -> Any:
    module = copy.deepcopy(network)
    try:
        module.load_state_dict({name: torch.as_tensor(one) for name, one in weights.items()})
    except RuntimeError as error:
        said = " ".join(str(error).split())[:400]
        raise OperationError(f"model has no weights of the network: {said}") from error
    return (module.cuda() if torch.cuda.is_available() else module).eval()


def _layer(module: Any, wanted: str) -> Any:
    """Return a layer by its place, `encoder/conv`, or its number from the end."""
    found = {name.replace(".", "/"): one for name, one in module.named_modules() if name}
    last = [one for one in found.values() if next(one.children(), None) is None]
    if wanted.replace(".", "/") in found:
        return found[wanted.replace(".", "/")]
    if wanted.removeprefix("-").isdecimal() and -len(last) <= int(wanted) < 0:
        return last[int(wanted)]
    raise OperationError(f"the network has no layer {wanted!r}; it has {', '.join(found)}")


def _outputs(module: Any, found: Any, *, is_whole: bool) -> Outputs:
    if not isinstance(found, (list, tuple)):
        return {"": found.cpu().numpy()}
    names = getattr(module, "outputs", None) if is_whole else None
    named = names or [str(number) for number in range(len(found))]
    return {name: one.cpu().numpy() for name, one in zip(named, found, strict=True)}


def _identity(module: Any) -> str:
    digest = hashlib.sha256(str(module).encode())
    for name, one in module.state_dict().items():
        digest.update(name.encode() + np.ascontiguousarray(one.cpu().numpy()).tobytes())
    return digest.hexdigest()
