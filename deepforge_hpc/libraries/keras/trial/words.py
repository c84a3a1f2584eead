"""Keras' objections in words that a beginner understands, with what to do."""

from __future__ import annotations

import re

from deepforge_hpc.libraries.networks.trial.judge import Advice
from deepforge_hpc.libraries.networks.trial.words import (
    Case,
    Table,
    Words,
    missing,
    refused_code,
)

_WRAPPED = re.compile(
    r"\AException encountered when calling [^\n]*\n\n(.*?)(?:\n\nArguments received by .*)?\Z",
    re.DOTALL,
)
_INFERRED = re.compile(
    r"\ACould not automatically infer .*?Error encountered:\n\n(.*)\Z", re.DOTALL
)
_LONG = 200
_AXES = ("axis", "axes", "shared_axes", "attention_axes", "dims")
_IMAGES, _STEPS = "images (height x width x channels)", "sequences (steps x features)"
_VOLUMES = "volumes (depth x height x width x channels)"
_WANTS = (
    (re.compile(r"ConvLSTM1D"), "sequences of sequences (steps x length x channels)"),
    (re.compile(r"ConvLSTM2D"), f"sequences of {_IMAGES.replace('(', '(steps x ')}"),
    (re.compile(r"ConvLSTM3D"), f"sequences of {_VOLUMES.replace('(', '(steps x ')}"),
    (re.compile(r"3D\b|3DTranspose"), _VOLUMES),
    (re.compile(r"2D\b|2DTranspose"), _IMAGES),
    (re.compile(r"1D\b|1DTranspose|LSTM|GRU|RNN|Bidirectional|TimeDistributed|Attention"), _STEPS),
)
_OF_IMAGES = ".image_preprocessing."
"""In the name of a module whose layers take images."""


def core(text: str) -> str:
    """Return what an error says without what Keras wraps around it."""
    for pattern in (_WRAPPED, _INFERRED):
        if match := pattern.match(text):
            return core(match[1])
    return text.rpartition("Exception encountered: ")[2].strip() or text


def _short(text: str) -> str:
    """Return the first sentences of what Keras says."""
    first, *rest = re.split(r"\n|(?<=[.!]) (?=Full|Received|Please)", text, maxsplit=1)
    got = re.match(r"Received:? ([^\n]{1,60})$", rest[0]) if rest else None
    if len(first) > _LONG:
        first = re.split(r"(?<=\w)\. ", first)[0][:_LONG]
    return first.replace("`", "").strip().rstrip(".") + (f"; it is {got[1]}" if got else "")


def _rank(case: Case) -> Advice:
    count = int(case.match[1]) - 1
    return _wants(case, _form(case) or f"{count} dimension{'s' * (count > 1)} for each example")


def _form(case: Case) -> str:
    """Return what a layer takes, by its kind; empty if that does not tell."""
    if _OF_IMAGES in case.built.family:
        return _IMAGES
    return next((words for kind, words in _WANTS if kind.search(case.call.kind)), "")


def _wants(case: Case, wanted: str) -> Advice:
    is_flat = all(len(shape) == 2 for shape in case.built.inputs)
    hint = ""
    if is_flat and case.call.kind != "Dense":
        hint = "move it in front of what flattens, or put a Reshape in between"
        if wanted is _STEPS:
            hint = "the recurrent layer before it may need return_sequences: true"
    return Advice(f"{case.call.kind} wants {wanted}, and {case.gets}", hint)


def _dimensions(case: Case) -> Advice:
    """Keras looked for a dimension that is not there."""
    if any(name in case.call.arguments for name in _AXES):
        return _axis(case)
    if "initial_state" in case.call.keywords:
        what = f"initial_state does not give each state that {case.call.kind} keeps: {case.gets}"
        hint = "an LSTM keeps two, a GRU or SimpleRNN one; a Bidirectional twice as many"
        return Advice(what, hint)
    return _wants(case, _form(case) or "another number of dimensions")


def _whole_numbers(case: Case) -> Advice:
    what = f"{case.call.kind} computes with fractions, and is given whole numbers: {case.gets}"
    return Advice(what, "give the input dtype: float32, or put {Rescaling: {scale: 1.0}} in front")


def _model_input(case: Case) -> Advice:
    """A model within another is given another shape than its input has."""
    wanted = " x ".join(part.strip() for part in case.match[2].split(",")[1:] if part.strip())
    wanted = wanted.replace("None", "?") or "one number"
    inputs = case.call.model.inputs if case.call.model else ()
    index = int(case.match[1])
    of = f" for its input {inputs[index].name}" if index < len(inputs) else ""
    return Advice(f"{case.call.kind} wants {wanted}{of}, and {case.gets}")


def _window(case: Case) -> Advice:
    hint = "make the window smaller, pad with padding: same, or shrink less before it"
    return Advice(f"the window of {case.call.kind} is larger than what is left: {case.gets}", hint)


def _merge(case: Case) -> Advice:
    what = f"{case.call.kind} needs inputs of one shape, and {case.gets}"
    hint = "give them one shape first, by a Dense or a 1x1 convolution for example"
    return Advice(what, _of_ranks(case) or hint)


def _of_ranks(case: Case) -> str:
    """Return what to do about inputs of several numbers of dimensions; empty if there is one."""
    is_one = len({len(shape) for shape in case.built.inputs}) == 1
    return (
        ""
        if is_one
        else "bring them to one number of dimensions first: Flatten, Reshape, a pooling"
    )


def _concatenate(case: Case) -> Advice:
    what = f"the inputs of Concatenate may differ in the joined axis alone, and {case.gets}"
    hint = "padding: same keeps height and width; a Cropping2D or a pooling cuts them"
    return Advice(what, _of_ranks(case) or hint)


def _reshape(case: Case) -> Advice:
    target = case.match[1].strip("()").rstrip(",").replace(",", " x")
    return Advice(f"the shape {target} does not hold as many numbers as there are: {case.gets}")


def _unknown_size(case: Case) -> Advice:
    hint = "write the size in place of null in the input, or pool it away (GlobalAveragePooling)"
    return Advice(f"its weights need a size that is not known: {case.gets}", hint)


def _groups(case: Case) -> Advice:
    what = f"groups must divide the channels: groups is {case.value('groups')}, and {case.gets}"
    return Advice(what)


def _axis(case: Case) -> Advice:
    given = [f"{name} {case.value(name)}" for name in _AXES if name in case.call.arguments]
    about = " and ".join(given) or "an axis"
    return Advice(f"{about} is not there: {case.gets}", "axis 0 is the batch, -1 the last one")


def _crop(case: Case) -> Advice:
    return Advice(f"it would cut off all that there is: {case.gets}", "make cropping smaller")


def _sizes(case: Case) -> Advice:
    if "initial_state" in case.call.keywords and "units" in case.call.arguments:
        what = f"a state of {case.call.kind} has as many numbers as units, {case.value('units')}"
        return Advice(f"{what}, and {case.gets}")
    return Advice(f"the sizes of its inputs do not fit each other: {case.gets}")


def _other_size(case: Case) -> Advice:
    what = f"its weights were made for {case.match[2]} features, and {case.gets}"
    return Advice(what, "a shared layer must be given the same size each time")


def _recurrent(case: Case) -> Advice:
    what = (
        f"{case.call.kind} goes through a sequence in both directions, and {case.match[1]} cannot"
    )
    return Advice(what, "give it an LSTM, GRU or SimpleRNN")


def _no_permission(case: Case) -> Advice:
    return refused_code(
        f"its code was refused a file, since a check writes nothing: {case.match[0]}"
    )


_TABLE: Table = {
    r"Input (\d+) [^\n]*: expected shape=\(([^)]*)\), found shape=": _model_input,
    r"expected (?:min_|max_)?ndim=(\d+), found ndim=(\d+)": _rank,
    r"should be passed an `input_shape` with at least (\d+) dimensions": _rank,
    r"Kernel shape must have the same length as input()": _sizes,
    r"expected axis (-?\d+) of input shape to have value (\d+)": _other_size,
    r"Computed output size would be (?:zero or )?negative": _window,
    r"Inputs have incompatible shapes": _merge,
    r"requires inputs with matching shapes except for the concatenation axis": _concatenate,
    r"total size of the tensor must be unchanged.*target_shape=(\([^)]*\))": _reshape,
    r"must be fully-defined|should be defined\. Found `?None": _unknown_size,
    r"input channels must be evenly divisible by the number of groups": _groups,
    r"missing a required argument: '(\w+)'": missing("[query, value]"),
    r"missing \d+ required positional arguments?: '(\w+)'": missing("[query, value]"),
    r"\A(?:list|tuple) index out of range\Z|Dimension must be \d+ but is \d+|must be rank \d": (
        _dimensions
    ),
    r"Expected image tensor to have rank|of rank-1 with size 3 \(unbatched\)": _dimensions,
    r"has DataType \w+ not in list|must be a floating point|not implemented for '\w*(?:Int|Long)": (
        _whole_numbers
    ),
    r"out of (?:range|bounds)|`dim` must be in the range|Axis \S+ is out": _axis,
    r"values in `cropping`|`cropping` parameter": _crop,
    r"axis values \d+|Dimensions must be equal|dot_general requires|cannot be multiplied": _sizes,
    r"Unrecognized keyword arguments passed to (\w+): \{'go_backwards'": _recurrent,
    r"[^\n]{0,80}(?:Permission denied|unable to open database file|File too large)[^\n]{0,80}": (
        _no_permission
    ),
}
WORDS = Words(_TABLE, re.IGNORECASE, frozenset({"ValueError", "PermissionError"}), _short, core)
