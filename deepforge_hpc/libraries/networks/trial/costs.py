"""What a layer costs, whichever framework built it: weights, and memory of activations."""

from __future__ import annotations

import math
from collections.abc import Iterable

from deepforge_hpc.libraries.networks.trial.result import BuiltLayer, Shape

Sizes = tuple[int, ...]

_VIEWS = {"Flatten", "Reshape", "Identity", "ActivityRegularization"}
"""Their output is their input, seen in another way."""
_BYTES = {
    **dict.fromkeys(("float64", "int64", "uint64"), 8),
    **dict.fromkeys(("float16", "bfloat16", "int16", "uint16"), 2),
    **dict.fromkeys(("int8", "uint8", "bool"), 1),
}


class UnknownSizeError(Exception):
    """A size is not known."""


def parameters(layer: BuiltLayer, *, only_trained: bool = False) -> int:
    """Return how many numbers the weights hold, or those that training changes."""
    found = (shape for _, shape, is_trained in layer.weights if is_trained or not only_trained)
    return sum(math.prod(known(shape)) for shape in found)


def activations(layer: BuiltLayer, batch: int, inside: int | None = 0) -> int | None:
    """Return the bytes that are kept until the gradients are made: outputs, and what is `inside`.

    `inside`: numbers for one example; None if nobody knows.
    """
    if layer.kind in _VIEWS:
        return 0
    shapes = [shape[1:] for shape in layer.outputs]
    sizes = [tensor_bytes(shape, layer.dtype, batch) for shape in (*shapes, (inside,))]
    return sum(size for size in sizes if size is not None) if None not in sizes else None


def tensor_bytes(shape: Shape, dtype: str, batch: int) -> int | None:
    """Return the bytes of a batch; `shape` is that of one example."""
    try:
        return math.prod(known(shape)) * _BYTES.get(dtype, 4) * batch
    except UnknownSizeError:
        return None


def known(shape: Iterable[int | None]) -> Sizes:
    """Return a shape whose sizes are all known; UnknownSizeError of another."""
    sizes = tuple(size for size in shape if size is not None)
    if len(sizes) != len(tuple(shape)):
        raise UnknownSizeError
    return sizes
