"""PyTorch's objections in words that a beginner understands, with what to do."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import NamedTuple

from deepforge_hpc.libraries.networks.graph import LayerCall
from deepforge_hpc.libraries.networks.trial.judge import Advice, gets, was_ended
from deepforge_hpc.libraries.networks.trial.result import BuiltLayer, Objection

_LONG = 200


class _Objected(NamedTuple):
    """A layer that was refused."""

    call: LayerCall
    built: BuiltLayer
    match: re.Match[str]

    @property
    def gets(self) -> str:
        return gets(self.call, self.built)

    def size(self, dimension: int) -> int | None:
        """Return a size of the first input."""
        shape = self.built.inputs[0] if self.built.inputs else ()
        return shape[dimension] if -len(shape) <= dimension < len(shape) else None


def said(call: LayerCall, built: BuiltLayer, objection: Objection) -> Advice:
    """Return the objection of a layer in plain words."""
    if ended := was_ended(objection):
        return ended
    for pattern, words in _RULES.items():
        if match := re.search(pattern, objection.text, re.DOTALL):
            return words(_Objected(call, built, match))
    first = objection.text.split("\n")[0].strip().rstrip(".")[:_LONG]
    if objection.type in {"RuntimeError", "ValueError", "AssertionError", "PermissionError"}:
        return Advice(f"{call.kind} refuses it: {first}")
    return Advice(f"{call.kind} fails: {objection.type}: {first}")


def _features(case: _Objected) -> Advice:
    """Of a Linear, whose weights have a size that the input has not."""
    wanted = case.call.arguments.get("in_features")
    size = case.size(-1)
    if wanted is None or wanted.data == size:
        return _sizes(case)
    what = f"{case.call.kind} was made for {wanted.data} features, and {case.gets}"
    is_flat = bool(case.built.inputs) and len(case.built.inputs[0]) == 2
    hint = "" if size is None else f"write in_features: {size}"
    return Advice(what, hint if is_flat else f"{hint}, or put a Flatten in front")


def _channels(case: _Objected) -> Advice:
    wanted = case.call.arguments.get("in_channels")
    if wanted is None:
        return _sizes(case)
    what = f"{case.call.kind} was made for {wanted.data} channels, and {case.gets}"
    is_last = case.size(-1) == wanted.data
    order = "channels come first: channels x height x width"
    return Advice(what, order if is_last else f"write in_channels: {case.size(1)}")


def _elements(case: _Objected) -> Advice:
    what = f"{case.call.kind} was made for {case.match[1]} channels, and {case.gets}"
    return Advice(what, f"write num_features: {case.size(1)}")


def _rank(case: _Objected) -> Advice:
    wants = {"1d": "channels x steps", "2d": "channels x height x width"}
    wanted = wants.get(case.call.kind[-2:], "channels x depth x height x width")
    is_flat = bool(case.built.inputs) and len(case.built.inputs[0]) == 2
    hint = "move it in front of what flattens, or put an Unflatten in between" if is_flat else ""
    return Advice(f"{case.call.kind} wants {wanted}, and {case.gets}", hint)


def _window(case: _Objected) -> Advice:
    hint = "make the window smaller, give it padding, or shrink less before it"
    return Advice(f"the window of {case.call.kind} is larger than what is left: {case.gets}", hint)


def _sizes(case: _Objected) -> Advice:
    what = f"{case.call.kind} needs inputs whose sizes fit each other, and {case.gets}"
    hint = "give them one shape first, by a Linear or a 1x1 convolution for example"
    return Advice(what, hint)


def _joined(case: _Objected) -> Advice:
    what = f"the inputs of cat may differ in the joined dimension alone, and {case.gets}"
    return Advice(what, "padding keeps height and width, and a pooling cuts them")


def _last(case: _Objected) -> Advice:
    what = f"{case.call.kind} was made for {case.match[1]} features, and {case.gets}"
    return Advice(what, "the last dimension of its input is what counts")


def _heads(case: _Objected) -> Advice:
    return Advice(f"{case.call.kind} divides its features among the heads, which must go up evenly")


def _reshape(case: _Objected) -> Advice:
    return Advice(f"the sizes do not hold as many numbers as there are: {case.gets}")


def _missing(case: _Objected) -> Advice:
    what = f"{case.call.kind} is called on several inputs, and {case.match[1]} is not given"
    return Advice(what, "name them in from:, such as from: [query, key, value]")


def _too_many(case: _Objected) -> Advice:
    return Advice(f"{case.call.kind} takes fewer inputs than it is given: {case.gets}")


def _dimension(case: _Objected) -> Advice:
    what = f"a dimension is not there: {case.gets}"
    return Advice(what, "dimension 0 is the batch, -1 the last one")


def _numbers(case: _Objected) -> Advice:
    what = f"{case.call.kind} wants whole numbers, which the input has not"
    return Advice(what, "declare it as {shape: [...], dtype: int64} under inputs")


def _groups(case: _Objected) -> Advice:
    return Advice(f"groups must divide the channels: {case.match[0]}")


def _several(case: _Objected) -> Advice:
    name = case.call.reads[0].name if case.call.reads else "it"
    return Advice(f"{name} gives several tensors at once", f"name one of them: from: {name}.0")


def _own(case: _Objected) -> Advice:
    return Advice(case.match[1])


def _denied(case: _Objected) -> Advice:
    what = f"its code tried what no check may do: {case.match[1]}"
    return Advice(what, "a layer makes weights and returns tensors; load data in the operation")


def _no_module(case: _Objected) -> Advice:
    return Advice(f"its code needs {case.match[1]}, which is not installed where the check runs")


_RULES: Mapping[str, Callable[[_Objected], Advice]] = {
    r"\A(\S+ gives (?:one tensor|\d+ outputs, ).*)": _own,  # in words of the trial itself
    r"must have same reduction dim|shapes cannot be multiplied": _features,
    r"to have \d+ channels, but got|Invalid channel dimensions": _channels,
    r"running_mean should contain \d+ elements not (\d+)": _elements,
    r"weight should contain \d+ elements not (\d+)": _elements,
    r"Expected \d+D \(unbatched\)|Expected \d+D or \d+D|expected \d+D (?:or \d+D )?input": _rank,
    r"Expected 2D or 3D .* input|non-empty \d+D or \d+D": _rank,
    r"Kernel size can't be greater|Output size is too small|output size is too small": _window,
    r"Sizes of tensors must match except in dimension": _joined,
    r"must match the size of tensor|not broadcastable|Attempting to broadcast": _sizes,
    r"batch2? tensor to have|Expected size for first two dimensions": _sizes,
    r"input_size\. Expected (\d+), got": _last,
    r"expected input with shape \[\*, ([\d, ]+)\]": _last,
    r"expecting embedding dimension of (\d+)": _last,
    r"must be divisible by num_heads|embed_dim must be divisible": _heads,
    r"don't multiply up to|is invalid for input of size": _reshape,
    r"missing \d+ required positional arguments?: '(\w+)'": _missing,
    r"takes (?:from )?\d+ .*positional arguments? but \d+ were given": _too_many,
    r"Dimension out of range": _dimension,
    r"'indices' to have one of the following scalar types": _numbers,
    r"\w+ must be divisible by (?:num_)?groups": _groups,
    r"must be Tensor, not tuple|'tuple' object has no attribute": _several,
    r"a check may not do this: (.*)": _denied,
    r"No module named '([\w.]+)'": _no_module,
}
