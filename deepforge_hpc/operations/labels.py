"""Whether inputs and targets fit a network and a loss of Keras."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from deepforge_hpc.operations.named import find, for_outputs, parse
from deepforge_hpc.operations.values import (
    check_bins,
    check_classes,
    check_numbers,
    check_range,
    fits,
    if_labels,
)
from deepforge_hpc.training.errors import TrainingError

_NEAR = 1e-3
"""How far from 1 the sum of a distribution may be, of 16 bits too."""
_FOR_CLASSES = "SparseCategoricalCrossentropy"
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
            check_numbers(where, found)
        shape = tuple(item.shape[1:])
        if not fits(found.shape[1:], shape):
            raise TrainingError(
                f"{where} has the shape {tuple(found.shape[1:])} for each row, and the network's "
                f"input {item.name} {shape}"
            )


def check_labels(
    loss: Any,
    model: Any,
    targets: Mapping[str, Any],
    rows: Any,
    named: Mapping[str, str],
    bins: Mapping[str, int],
) -> list[str]:
    """Return what is odd of targets; TrainingError for those that a loss cannot take.

    Keras computes something of most of them: a label that is no class counts as none, and shapes
    that differ are stretched to each other. `bins`: how many bins labels are the numbers of.
    """
    odd: list[str] = []
    losses = for_outputs("loss", loss, list(targets))
    for (name, values), output in zip(targets.items(), model.outputs, strict=True):
        shape = tuple(output.shape[1:])
        where = f"target {named[name]}"
        check_numbers(where, values)
        given, arguments = parse("loss", losses[name])
        kind = find("loss", given).__name__.replace("_", "").lower()
        if kind.startswith("sparse"):
            if not fits(values.shape[1:], [*shape[:-1], 1]):
                raise TrainingError(
                    f"{where} has the shape {values.shape[1:]} for each row, and its loss takes "
                    "one label: for numbers of each class, use CategoricalCrossentropy"
                )
            used = values[rows]
            check_bins(where, name, bins.get(named[name]), shape[-1])
            check_classes(where, name, used[used != arguments.get("ignore_class")], shape[-1])
        elif not fits(values.shape[1:], shape) and kind not in {"ctc", "circle"}:
            raise TrainingError(
                f"{where} has the shape {values.shape[1:]} for each row, and the output {name} "
                f"{shape}: the loss {given} compares them number by number"
                + if_labels(values, shape, "SparseCategoricalCrossentropy")
            )
        else:
            check_range(where, given, _RANGES.get(kind), _FOR_CLASSES, values[rows])
            odd += (
                _no_distributions(where, given, values[rows]) if kind in _OF_DISTRIBUTIONS else []
            )
    return odd


def _no_distributions(where: str, loss: str, used: Any) -> list[str]:
    sums = used.sum(axis=-1, dtype=np.float64) if used.ndim > 1 else np.ones(1)
    count = int((np.abs(sums - 1) > _NEAR).sum())
    said = (
        f"{where}: {count} of {sums.size} rows do not add up to 1, as the loss {loss} expects; "
        "where a row may be of several classes, use BinaryCrossentropy"
    )
    return [said] if count else []
