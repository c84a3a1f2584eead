"""Weights that a network begins with, and those that it keeps as they are."""

from __future__ import annotations

from fnmatch import fnmatchcase
from typing import Any

import keras

from deepforge_hpc.training.errors import TrainingError


def begin_with(model: Any, initial: Any) -> dict[str, list[str]]:
    """Set the weights of a model that have their name and shape in another; return which.

    `missing` are those of the model that the other has not, `reshaped` have another shape there,
    `unused` are the other's that the model has not. Raises TrainingError if none fits.
    """
    there = _by_name(initial)
    report: dict[str, list[str]] = {"loaded": [], "missing": [], "reshaped": [], "unused": []}
    for name, variable in _by_name(model).items():
        other = there.pop(name, None)
        if other is None:
            report["missing"].append(name)
        elif tuple(other.shape) != tuple(variable.shape):
            shapes = f"{tuple(other.shape)} there, {tuple(variable.shape)} here"
            report["reshaped"].append(f"{name}: {shapes}")
        else:
            variable.assign(keras.ops.convert_to_numpy(other.value))
            report["loaded"].append(name)
    report["unused"] = sorted(there)
    if not report["loaded"]:
        raise TrainingError(
            "initial has no weight with a name and a shape of this network's: it has "
            f"{_some(_by_name(initial))}; the network has {_some(_by_name(model))}"
        )
    return report


def freeze(model: Any, patterns: list[str]) -> list[str]:
    """Let layers whose names match a pattern (`conv*`) keep their weights; return their names."""
    frozen: list[str] = []
    for pattern in patterns:
        found = [layer for layer in model.layers if fnmatchcase(layer.name, pattern)]
        if not found:
            names = _some(layer.name for layer in model.layers)
            raise TrainingError(f"freeze: no layer matches {pattern!r}; there are {names}")
        for layer in found:
            layer.trainable = False
            frozen.append(layer.name)
    if patterns and not model.trainable_weights:
        raise TrainingError(f"freeze: {patterns} leave nothing to train")
    return frozen


def _by_name(model: Any) -> dict[str, Any]:
    """Return the weights by layer and name; the name of a whole Sequential counts on."""
    return {item.path.removeprefix(f"{model.name}/"): item for item in model.weights}


def _some(names: Any) -> str:
    listed = list(names)
    return ", ".join(listed[:6]) + (f" and {len(listed) - 6} more" if len(listed) > 6 else "")
