"""Weights that a network begins with, and those that it keeps as they are."""

from __future__ import annotations

from collections.abc import Iterator
from fnmatch import fnmatchcase
from typing import Any

import keras

from deepforge_hpc.training.errors import TrainingError


def begin_with(model: Any, initial: Any) -> dict[str, list[str]]:
    """Set the weights of a model that have their place and shape in another; return which.

    `missing` are those of the model that the other has not, `reshaped` have another shape there,
    `unused` are the other's that the model has not. Raises TrainingError if none fits.
    """
    there = _by_place(initial)
    report: dict[str, list[str]] = {"loaded": [], "missing": [], "reshaped": [], "unused": []}
    for name, variable in _by_place(model).items():
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
            f"{_some(_by_place(initial))}; the network has {_some(_by_place(model))}"
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


def _by_place(model: Any) -> dict[str, Any]:
    """Return the weights by layers and name; the name of a whole Sequential counts on."""
    found: dict[str, Any] = {}
    seen: set[int] = set()
    for place, variable in _walk(model, ""):
        if id(variable) not in seen:  # of a model and of its layer, or of a layer in two models
            seen.add(id(variable))
            twins = sum(name.partition(" (")[0] == place for name in found) if place in found else 0
            found[f"{place} ({twins + 1})" if twins else place] = variable
    return found


def _walk(layer: Any, place: str) -> Iterator[tuple[str, Any]]:
    """Yield weights with their layers: Keras' own path is the same in two nested models."""
    for inner in layer.layers if isinstance(layer, keras.Model) else ():
        yield from _walk(inner, f"{place}{inner.name}/")
    for item in layer.weights:
        name = f"/{item.path}".partition(f"/{layer.name}/")[2]
        yield place + (name or item.path), item


def _some(names: Any) -> str:
    listed = list(names)
    return ", ".join(listed[:6]) + (f" and {len(listed) - 6} more" if len(listed) > 6 else "")
