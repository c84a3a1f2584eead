"""Weights that a network begins with, and those that it keeps as they are."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from fnmatch import fnmatchcase
from typing import Any

import keras

from deepforge_hpc.training.errors import TrainingError


def begin_with(model: Any, initial: Mapping[str, Any], source: str = "initial") -> dict[str, Any]:
    """Set the weights of a model that have their place and shape among others; return which.

    `missing` are those of the model that are not there, `reshaped` have another shape there,
    `unused` are those that the model has not. Raises TrainingError if none fits.
    """
    there = dict(initial)
    report: dict[str, Any] = {"from": source}
    report |= {name: [] for name in ("loaded", "missing", "reshaped", "unused")}
    for name, variable in by_place(model).items():
        other = there.pop(name, None)
        if other is None:
            report["missing"].append(name)
        elif tuple(other.shape) != tuple(variable.shape):
            shapes = f"{tuple(other.shape)} there, {tuple(variable.shape)} here"
            report["reshaped"].append(f"{name}: {shapes}")
        else:
            variable.assign(keras.ops.convert_to_numpy(getattr(other, "value", other)))
            report["loaded"].append(name)
    report["unused"] = sorted(there)
    if not report["loaded"]:
        raise TrainingError(
            f"{source} has no weight with a name and a shape of this network's: it has "
            f"{_some(initial)}; the network has {_some(by_place(model))}"
        )
    return report


def freeze(model: Any, patterns: list[str]) -> list[str]:
    """Let layers whose places match a pattern keep their weights; return their places.

    `conv*` are layers of the network itself, `encoder/conv*` those of a network in it, and `*conv`
    either. A network that matches is frozen whole.
    """
    layers = dict(_layers(model, ""))
    frozen: dict[str, None] = {}
    for pattern in patterns:
        found = [place for place in layers if fnmatchcase(place, pattern)]
        if not found:
            raise TrainingError(f"freeze: no layer matches {pattern!r}; there are {_some(layers)}")
        for place in found:
            layers[place].trainable = False
            frozen[place] = None
    if patterns and not model.trainable_weights:
        raise TrainingError(f"freeze: {patterns} leave nothing to train")
    return list(frozen)


def _layers(model: Any, place: str) -> Iterator[tuple[str, Any]]:
    for layer in model.layers:
        yield place + layer.name, layer
        if isinstance(layer, keras.Model):
            yield from _layers(layer, f"{place}{layer.name}/")


def by_place(model: Any) -> dict[str, Any]:
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
