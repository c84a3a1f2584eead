"""Whether targets fit outputs and losses, and what weight their classes have."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from deepforge_hpc.operations.named import find, for_outputs, parse
from deepforge_hpc.training.errors import TrainingError

_NEAR = 1e-3
"""How far from 1 the sum of a distribution may be, of 16 bits too."""
_RANGES = {
    "binarycrossentropy": (0, 1),
    "binaryfocalcrossentropy": (0, 1),
    "categoricalcrossentropy": (0, 1),
    "categoricalfocalcrossentropy": (0, 1),
    "categoricalhinge": (-1, 1),
    "dice": (0, 1),
    "hinge": (-1, 1),
    "kldivergence": (0, 1),
    "squaredhinge": (-1, 1),
    "tversky": (0, 1),
}
"""What targets of a loss may be: outside of it Keras computes a loss that means nothing."""
_OF_DISTRIBUTIONS = frozenset(
    {"categoricalcrossentropy", "categoricalfocalcrossentropy", "kldivergence"}
)


def check_inputs(model: Any, columns: Mapping[str, Any], names: Mapping[str, str]) -> None:
    """Raise TrainingError for inputs of another shape or kind than the network takes."""
    for item in model.inputs:
        found, where = columns[item.name], f"inputs: {names[item.name]}"
        if item.dtype != "string":
            _check_numbers(where, found)
        shape = tuple(item.shape[1:])
        if not _fits(found.shape[1:], shape):
            raise TrainingError(
                f"{where} has the shape {tuple(found.shape[1:])} for each row, and the network's "
                f"input {item.name} {shape}"
            )


def check_weights(name: str, weights: Any, rows: Any) -> None:
    """Raise TrainingError for weights of rows that are no numbers of 0 or more."""
    where = f"sample_weight: {name}"
    _check_numbers(where, weights)
    used = np.asarray(weights)[rows[rows < len(weights)]]
    if odd := int((~(used >= 0)).sum()):
        raise TrainingError(
            f"{where} has {odd} of {used.size} weights that are below 0 or no numbers: a row with "
            "such a weight is unlearnt, and 0 leaves it out"
        )


def _check_numbers(where: str, values: Any) -> None:
    if values.dtype.kind not in "biuf":
        kind = "text" if values.dtype.kind in "OSU" else f"of the type {values.dtype}"
        raise TrainingError(f"{where} is {kind}, and a network takes numbers")


def check_labels(
    loss: Any, model: Any, targets: Mapping[str, Any], rows: Any, named: Mapping[str, str]
) -> list[str]:
    """Return what is odd of targets; TrainingError for those that a loss cannot take.

    Keras computes something of most of them: a label that is no class counts as none, and shapes
    that differ are stretched to each other.
    """
    odd: list[str] = []
    losses = for_outputs("loss", loss, list(targets))
    for (name, values), output in zip(targets.items(), model.outputs, strict=True):
        shape = tuple(output.shape[1:])
        where = f"target {named[name]}"
        _check_numbers(where, values)
        given, arguments = parse("loss", losses[name])
        kind = find("loss", given).__name__.replace("_", "").lower()
        if kind.startswith("sparse"):
            if not _fits(values.shape[1:], [*shape[:-1], 1]):
                raise TrainingError(
                    f"{where} has the shape {values.shape[1:]} for each row, and its loss takes "
                    "one label: for numbers of each class, use CategoricalCrossentropy"
                )
            used = values[rows]
            _check_classes(where, name, used[used != arguments.get("ignore_class")], shape[-1])
        elif not _fits(values.shape[1:], shape) and kind not in {"ctc", "circle"}:
            raise TrainingError(
                f"{where} has the shape {values.shape[1:]} for each row, and the output {name} "
                f"{shape}: the loss {given} compares them number by number"
                + _if_labels(values, shape)
            )
        else:
            _check_range(where, given, _RANGES.get(kind), values[rows])
            odd += (
                _no_distributions(where, given, values[rows]) if kind in _OF_DISTRIBUTIONS else []
            )
    return odd


def _check_range(where: str, loss: str, allowed: tuple[int, int] | None, used: Any) -> None:
    if allowed is None:
        return
    low, high = allowed
    if count := int(((used < low) | (used > high)).sum()):
        raise TrainingError(
            f"{where} has values from {np.nanmin(used):g} to {np.nanmax(used):g}, and the loss "
            f"{loss} takes {low} to {high}: {count} of {used.size} are outside; for labels "
            "of several classes, use SparseCategoricalCrossentropy with an output for each"
        )


def _no_distributions(where: str, loss: str, used: Any) -> list[str]:
    sums = used.sum(axis=-1, dtype=np.float64) if used.ndim > 1 else np.ones(1)
    count = int((np.abs(sums - 1) > _NEAR).sum())
    said = (
        f"{where}: {count} of {sums.size} rows do not add up to 1, as the loss {loss} expects; "
        "where a row may be of several classes, use BinaryCrossentropy"
    )
    return [said] if count else []


def _if_labels(values: Any, shape: Sequence[int | None]) -> str:
    if values.dtype.kind in "biu" and values.ndim == 1 and len(shape) == 1:
        return "; for labels of classes, use SparseCategoricalCrossentropy"
    return ""


def _fits(target: Sequence[int], output: Sequence[int | None]) -> bool:
    """Tell whether shapes are the same; an axis of length 1 at the end may be left out."""
    mine, theirs = [*target], [*output]
    if len(mine) + 1 == len(theirs) and theirs[-1] == 1:
        theirs.pop()
    elif len(theirs) + 1 == len(mine) and mine[-1] == 1:
        mine.pop()
    pairs = zip(mine, theirs, strict=False)
    return len(mine) == len(theirs) and all(b in (a, None) for a, b in pairs)


def _check_classes(where: str, output: str, used: Any, classes: int | None) -> None:
    if not used.size:
        return
    low, high = used.min(), used.max()
    if used.dtype.kind == "f" and not np.array_equal(used, np.round(used)):
        raise TrainingError(f"{where} has values that are no whole numbers, and labels must be")
    if classes is not None and (low < 0 or high >= classes):
        count = int(((used < 0) | (used >= classes)).sum())
        raise TrainingError(
            f"{where} has labels from {low:g} to {high:g}, and the output {output} has {classes} "
            f"classes, 0 to {classes - 1}: {count} of {used.size} labels are none of them"
        )


def weigh(
    class_weight: Mapping[str, float],
    model: Any,
    targets: Mapping[str, Any],
    named: Mapping[str, str],
    weights: Any,
) -> Any:
    """Return rows' weights, each times that of its class; a class that is not named has 1."""
    if len(targets) > 1:
        raise TrainingError("class_weight is of one output: for several, use sample_weight")
    ((name, values),) = targets.items()
    labels = values.argmax(-1) if values.ndim == 2 and values.shape[1] > 1 else values.reshape(-1)
    if len(labels) != len(values) or not np.array_equal(labels, np.round(labels)):
        raise TrainingError(f"class_weight: target {named[name]} has no class for each row")
    table = {_class(key): value for key, value in class_weight.items()}
    classes = max(2, model.outputs[0].shape[-1] or 0)  # of one number: yes or no
    if below := [key for key, value in class_weight.items() if not value >= 0]:
        raise TrainingError(f"class_weight: that of class {below[0]} is below 0 or no number")
    if odd := [key for key in table if key >= classes]:
        raise TrainingError(
            f"class_weight: there is no class {odd[0]}; the classes are 0 to {classes - 1}"
        )
    found = np.array([table.get(int(item), 1.0) for item in labels], np.float32)
    return found if weights is None else found * np.asarray(weights).reshape(-1)


def _class(key: str) -> int:
    if not key.isascii() or not key.isdigit():
        raise TrainingError(f'class_weight: {key!r} is no class; write {{"0": 2.0, "1": 1.0}}')
    return int(key)
