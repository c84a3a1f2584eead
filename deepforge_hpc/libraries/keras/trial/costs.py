"""The multiply-accumulates of a layer of Keras for one example.

From the shapes that Keras gave, by the usual convention: the products of kernels, of recurrence and
of attention count; element-wise work (activations, normalisation, pooling, merging) does not.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass

from deepforge_hpc.libraries.networks.trial.costs import Sizes, UnknownSizeError, known
from deepforge_hpc.libraries.networks.trial.result import BuiltLayer

_FREE = {"activations", "merging", "normalization", "pooling", "regularization", "reshaping"}
"""Folders of Keras whose layers multiply no kernel."""
_FREE_KINDS = {"Masking", "Identity", "Embedding", "Rescaling", "Normalization"}
_RECURRENT = {"SimpleRNN", "LSTM", "GRU"}
_HIDES = re.compile(r"Attention|RNN|LSTM|GRU|\A(?:Flax|Jax|TFSM)Layer|\ATorchModule")
"""Layers that keep more than their output, besides those that there is a rule for."""
_KNOWN = ("keras.", "deepforge_hpc.")
"""How the modules begin whose layers keep what is said here; of a project's nobody knows."""


def operations(layer: BuiltLayer) -> int | None:
    """Return the multiply-accumulates for one example; None where they are not known."""
    try:
        return _operations(_Sizes.of(layer), layer.kind, layer.wraps)
    except (UnknownSizeError, IndexError, KeyError, ValueError, ZeroDivisionError):
        return None  # or a layer that is only called like one of these


def inside(layer: BuiltLayer) -> int | None:
    """Return how many numbers a layer keeps besides its output, for one example and its gradients.

    Of attention the projections, the scores and the weights that a softmax makes of them (Vaswani
    et al. 2017, arXiv:1706.03762, section 3.2); of a recurrent layer the gates of each step
    (Hochreiter and Schmidhuber 1997). A fused implementation keeps less. None if not known.
    """
    if layer.family and not layer.family.startswith(_KNOWN):
        return None
    try:
        return _inside(_Sizes.of(layer), layer.kind, layer.wraps)
    except (UnknownSizeError, IndexError, KeyError, ValueError):
        return None


def _inside(sizes: _Sizes, kind: str, wraps: str) -> int | None:
    if kind == "TimeDistributed":
        one = _inside(sizes.step(), wraps, "")
        return one and one * sizes.inputs[0][0]
    if kind in {"Bidirectional", "SpectralNormalization"}:
        kind = wraps
    if kind in {"MultiHeadAttention", "Attention", "AdditiveAttention"}:
        return _inside_attention(sizes)
    if kind in _RECURRENT:
        return _gates(sizes)
    return None if _HIDES.search(kind) else 0


def _inside_attention(sizes: _Sizes) -> int:
    query, value, *_ = sizes.inputs
    steps, known = math.prod(query[:-1]), math.prod(value[:-1])
    if not any(path.endswith("/kernel") for path in sizes.weights):
        return 2 * steps * known
    asking, keys, values = (
        math.prod(sizes.kernel(f"{name}/kernel")[-2:]) for name in ("query", "key", "value")
    )
    heads = sizes.kernel("query/kernel")[-2]
    return steps * (asking + values) + known * (keys + values) + 2 * heads * steps * known


def _gates(sizes: _Sizes) -> int:
    gates = (shape[-1] for path, shape in sizes.weights.items() if path.endswith("/kernel"))
    return sizes.inputs[0][0] * sum(gates)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Sizes:
    """The shapes of one example, and of weights by their path."""

    inputs: tuple[Sizes, ...]
    output: Sizes
    weights: Mapping[str, Sizes]
    family: str

    @classmethod
    def of(cls, layer: BuiltLayer) -> _Sizes:
        return cls(
            inputs=tuple(known(shape[1:]) for shape in layer.inputs),
            output=known(layer.outputs[0][1:]),
            weights={path: known(shape) for path, shape, _ in layer.weights},
            family=layer.family,
        )

    def kernel(self, name: str = "kernel") -> Sizes:
        """Return the one weight of that name."""
        (found,) = (shape for path, shape in self.weights.items() if path.endswith(f"/{name}"))
        return found

    def step(self) -> _Sizes:
        """Return the sizes of one step of a sequence."""
        inputs = tuple(shape[1:] for shape in self.inputs)
        return _Sizes(
            inputs=inputs, output=self.output[1:], weights=self.weights, family=self.family
        )


def _operations(sizes: _Sizes, kind: str, wraps: str) -> int | None:
    if kind == "TimeDistributed":
        one = _operations(sizes.step(), wraps, "")
        return None if one is None else one * sizes.inputs[0][0]
    if kind in {"Bidirectional", "SpectralNormalization"}:
        kind = wraps
    rules = {
        kind == "Dense": _dense,
        kind in _RECURRENT: _recurrent,
        kind.startswith("ConvLSTM"): _recurrent_convolution,
        kind.startswith("Separable"): _separable,
        kind.startswith("Depthwise"): _depthwise,
        kind.startswith("Conv") and "LSTM" not in kind: _convolution,
        "Attention" in kind: _attention,
    }
    if rule := rules.get(True):
        return rule(sizes)
    *_, folder, _ = ("", *sizes.family.split(".")) if sizes.family else ("", "")
    is_free = sizes.family.startswith("keras.") and (folder in _FREE or kind in _FREE_KINDS)
    return 0 if is_free else None


def _dense(sizes: _Sizes) -> int:
    return math.prod(sizes.kernel()) * math.prod(sizes.output[:-1])


def _convolution(sizes: _Sizes) -> int:
    """Each number of a kernel meets each place of the output; of a transposed one, of the input."""
    kernel = sizes.kernel()
    is_transposed = "transpose" in sizes.family
    over = sizes.inputs[0] if is_transposed else sizes.output
    return math.prod(kernel) * (math.prod(over) // kernel[-1])


def _depthwise(sizes: _Sizes) -> int:
    kernel = sizes.kernel()
    return math.prod(kernel) * (math.prod(sizes.output) // math.prod(kernel[-2:]))


def _separable(sizes: _Sizes) -> int:
    depth, point = sizes.kernel("depthwise_kernel"), sizes.kernel("pointwise_kernel")
    places = math.prod(sizes.output) // point[-1]
    return (math.prod(depth) + math.prod(point)) * places


def _recurrent(sizes: _Sizes) -> int:
    """A step multiplies all kernels; a Bidirectional has them twice."""
    names = ("/kernel", "/recurrent_kernel")
    found = (math.prod(shape) for path, shape in sizes.weights.items() if path.endswith(names))
    return sum(found) * sizes.inputs[0][0]


def _recurrent_convolution(sizes: _Sizes) -> int:
    steps, kernel, again = sizes.inputs[0][0], sizes.kernel(), sizes.kernel("recurrent_kernel")
    places = math.prod(sizes.output) // again[-2]
    if len(sizes.output) < len(sizes.inputs[0]):  # the last step alone is given
        places *= steps
    return (math.prod(kernel) + math.prod(again)) * places


def _attention(sizes: _Sizes) -> int | None:
    """Projections, then each query with each key, and the weights with the values."""
    query, value, *_ = sizes.inputs
    if len(query) != 2 or len(value) != 2:
        return None
    pairs = query[0] * value[0]
    if not any(path.endswith("/kernel") for path in sizes.weights):
        return pairs * (query[1] + value[1])
    asking, known = ("query", "attention_output"), ("key", "value")
    projections = sum(
        math.prod(sizes.kernel(f"{name}/kernel")) * steps
        for names, steps in ((asking, query[0]), (known, value[0]))
        for name in names
    )
    heads, key_size = sizes.kernel("query/kernel")[-2:]
    return projections + pairs * heads * (key_size + sizes.kernel("value/kernel")[-1])
