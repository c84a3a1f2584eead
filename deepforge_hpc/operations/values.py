"""What targets, weights of rows and weights of classes may be, whatever the framework."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from deepforge_hpc.training.errors import TrainingError


def check_numbers(where: str, values: Any) -> None:
    """Raise TrainingError for what is no number."""
    if values.dtype.kind not in "biuf":
        kind = "text" if values.dtype.kind in "OSU" else f"of the type {values.dtype}"
        raise TrainingError(f"{where} is {kind}, and a network takes numbers")


def check_weights(name: str, weights: Any, rows: Any) -> None:
    """Raise TrainingError for weights of rows that are no numbers of 0 or more."""
    where = f"sample_weight: {name}"
    check_numbers(where, weights)
    if not fits(weights.shape[1:], ()):
        raise TrainingError(
            f"{where} has the shape {weights.shape[1:]} for each row, and a row has one weight"
        )
    used = np.asarray(weights)[rows[rows < len(weights)]]
    if odd := int((~(np.isfinite(used) & (used >= 0))).sum()):
        raise TrainingError(
            f"{where} has {odd} of {used.size} weights that are below 0, infinite or no numbers: a "
            "row with such a weight is unlearnt or learnt alone, and 0 leaves it out"
        )
    check_some(where, used)


def check_some(where: str, used: Any) -> None:
    """Raise TrainingError for weights of rows of which each is 0: any network then has no loss."""
    if not used.any():
        raise TrainingError(f"{where} leaves out all of {used.size} rows: each has the weight 0")


def check_range(
    where: str, loss: str, allowed: tuple[int, int] | None, cure: str, used: Any
) -> None:
    """Raise TrainingError for targets outside of what a loss takes; `cure` is for labels."""
    if allowed is None:
        return
    low, high = allowed
    if count := int(((used < low) | (used > high)).sum()):
        raise TrainingError(
            f"{where} has values from {np.nanmin(used):g} to {np.nanmax(used):g}, and the loss "
            f"{loss} takes {low} to {high}: {count} of {used.size} are outside; for labels "
            f"of several classes, use {cure} with an output for each"
        )


def check_bins(where: str, output: str, bins: int | None, classes: int | None) -> None:
    """Raise TrainingError for an output of more or fewer classes than its labels have bins.

    A larger one would learn, and nobody could say which bins it speaks of.
    """
    if bins is not None and classes is not None and bins != classes:
        raise TrainingError(
            f"{where} has the numbers of {bins} bins, and the output {output} has {classes} "
            f"classes: give it {bins}, or the operation Bin {classes}"
        )


def check_classes(where: str, output: str, used: Any, classes: int | None) -> None:
    """Raise TrainingError for labels that are none of an output's classes."""
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


def fits(target: Sequence[int], output: Sequence[int | None]) -> bool:
    """Tell whether shapes are the same; an axis of length 1 at the end may be left out."""
    mine, theirs = [*target], [*output]
    if len(mine) + 1 == len(theirs) and theirs[-1] == 1:
        theirs.pop()
    elif len(theirs) + 1 == len(mine) and mine[-1] == 1:
        mine.pop()
    pairs = zip(mine, theirs, strict=False)
    return len(mine) == len(theirs) and all(b in (a, None) for a, b in pairs)


def if_labels(values: Any, shape: Sequence[int | None], loss: str) -> str:
    """Return the cure where numbers of classes are compared with an output for each class."""
    if values.dtype.kind in "biu" and values.ndim == 1 and len(shape) == 1:
        return f"; for labels of classes, use {loss}"
    return ""


def weigh(
    class_weight: Mapping[str, float],
    classes: int,
    targets: Mapping[str, Any],
    named: Mapping[str, str],
    weights: Any,
    rows: Any,
) -> Any:
    """Return rows' weights, each times that of its class; a class that is not named has 1."""
    if len(targets) > 1:
        raise TrainingError("class_weight is of one output: for several, use sample_weight")
    ((name, values),) = targets.items()
    labels = values.argmax(-1) if values.ndim == 2 and values.shape[1] > 1 else values.reshape(-1)
    if len(labels) != len(values) or not np.array_equal(labels, np.round(labels)):
        raise TrainingError(f"class_weight: target {named[name]} has no class for each row")
    table = {int(key): value for key, value in class_weight.items()}
    classes = max(2, classes)  # of one number: yes or no
    if odd := [key for key in table if key >= classes]:
        raise TrainingError(
            f"class_weight: there is no class {odd[0]}; the classes are 0 to {classes - 1}"
        )
    found = np.array([table.get(int(item), 1.0) for item in labels], np.float32)
    if weights is not None and len(weights) == len(found):  # else it is told who has how many
        found *= np.asarray(weights).reshape(-1)
    check_some("class_weight", found[rows])
    return found
