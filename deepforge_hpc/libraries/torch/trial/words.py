"""PyTorch's objections in words that a beginner understands, with what to do."""

from __future__ import annotations

import re

from deepforge_hpc.libraries.networks.trial.judge import Advice
from deepforge_hpc.libraries.networks.trial.words import Case, Table, Words, missing


def _short(text: str) -> str:
    return text.split("\n", maxsplit=1)[0].strip().rstrip(".")[:200]


def _features(case: Case) -> Advice:
    """Of a Linear, whose weights have a size that the input has not."""
    wanted = case.call.arguments.get("in_features")
    size = case.size(-1)
    if wanted is None or wanted.data == size:
        return _sizes(case)
    what = f"{case.call.kind} was made for {wanted.data} features, and {case.gets}"
    is_flat = bool(case.built.inputs) and len(case.built.inputs[0]) == 2
    hint = "" if size is None else f"write in_features: {size}"
    return Advice(what, hint if is_flat else f"{hint}, or put a Flatten in front")


def _channels(case: Case) -> Advice:
    wanted = case.call.arguments.get("in_channels")
    if wanted is None:
        return _sizes(case)
    what = f"{case.call.kind} was made for {wanted.data} channels, and {case.gets}"
    is_last = case.size(-1) == wanted.data
    order = "channels come first: channels x height x width"
    return Advice(what, order if is_last else f"write in_channels: {case.size(1)}")


def _elements(case: Case) -> Advice:
    what = f"{case.call.kind} was made for {case.match[1]} channels, and {case.gets}"
    return Advice(what, f"write num_features: {case.size(1)}")


def _rank(case: Case) -> Advice:
    wants = {"1d": "channels x steps", "2d": "channels x height x width"}
    wanted = wants.get(case.call.kind[-2:], "channels x depth x height x width")
    is_flat = bool(case.built.inputs) and len(case.built.inputs[0]) == 2
    hint = "move it in front of what flattens, or put an Unflatten in between" if is_flat else ""
    return Advice(f"{case.call.kind} wants {wanted}, and {case.gets}", hint)


def _window(case: Case) -> Advice:
    hint = "make the window smaller, give it padding, or shrink less before it"
    return Advice(f"the window of {case.call.kind} is larger than what is left: {case.gets}", hint)


def _sizes(case: Case) -> Advice:
    what = f"{case.call.kind} needs inputs whose sizes fit each other, and {case.gets}"
    hint = "give them one shape first, by a Linear or a 1x1 convolution for example"
    return Advice(what, hint)


def _joined(case: Case) -> Advice:
    what = f"the inputs of cat may differ in the joined dimension alone, and {case.gets}"
    return Advice(what, "padding keeps height and width, and a pooling cuts them")


def _last(case: Case) -> Advice:
    what = f"{case.call.kind} was made for {case.match[1]} features, and {case.gets}"
    return Advice(what, "the last dimension of its input is what counts")


def _heads(case: Case) -> Advice:
    return Advice(f"{case.call.kind} divides its features among the heads, which must go up evenly")


def _reshape(case: Case) -> Advice:
    return Advice(f"the sizes do not hold as many numbers as there are: {case.gets}")


def _too_many(case: Case) -> Advice:
    return Advice(f"{case.call.kind} takes fewer inputs than it is given: {case.gets}")


def _dimension(case: Case) -> Advice:
    what = f"a dimension is not there: {case.gets}"
    return Advice(what, "dimension 0 is the batch, -1 the last one")


def _numbers(case: Case) -> Advice:
    what = f"{case.call.kind} wants whole numbers, which the input has not"
    return Advice(what, "declare it as {shape: [...], dtype: int64} under inputs")


def _groups(case: Case) -> Advice:
    return Advice(f"groups must divide the channels: {case.match[0]}")


def _several(case: Case) -> Advice:
    name = case.call.reads[0].name if case.call.reads else "it"
    return Advice(f"{name} gives several tensors at once", f"name one of them: from: {name}.0")


_TABLE: Table = {
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
    r"missing \d+ required positional arguments?: '(\w+)'": missing("[query, key, value]"),
    r"takes (?:from )?\d+ .*positional arguments? but \d+ were given": _too_many,
    r"Dimension out of range": _dimension,
    r"'indices' to have one of the following scalar types": _numbers,
    r"\w+ must be divisible by (?:num_)?groups": _groups,
    r"must be Tensor, not tuple|'tuple' object has no attribute": _several,
}
_PLAIN = frozenset({"RuntimeError", "ValueError", "AssertionError", "PermissionError"})
WORDS = Words(_TABLE, re.DOTALL, _PLAIN, _short)
