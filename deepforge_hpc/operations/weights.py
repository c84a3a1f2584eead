"""Weights that a network begins with, and those that it keeps as they are."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import keras

from deepforge_hpc.operations.beginning import matching, pair
from deepforge_hpc.training.errors import TrainingError


def begin_with(model: Any, initial: Mapping[str, Any], source: str = "initial") -> dict[str, Any]:
    """Set the weights of a model that have their place and shape among others; return which."""
    mine = by_place(model)

    def assign(name: str, other: Any) -> None:
        mine[name].assign(keras.ops.convert_to_numpy(getattr(other, "value", other)))

    return pair(mine, initial, assign, source)


def freeze(model: Any, patterns: list[str]) -> list[str]:
    """Let layers whose places match a pattern keep their weights; return their places.

    A network that matches is frozen whole.
    """
    layers = dict(_layers(model, ""))
    frozen = matching(patterns, layers)
    for place in frozen:
        layers[place].trainable = False
    if patterns and not model.trainable_weights:
        raise TrainingError(f"freeze: {patterns} leave nothing to train")
    return frozen


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
            before = (
                sum(name.partition(" (")[0] == place for name in found) if place in found else 0
            )
            found[f"{place} ({before + 1})" if before else place] = variable
    return found


def _walk(layer: Any, place: str) -> Iterator[tuple[str, Any]]:
    """Yield weights with their layers: Keras' own path is the same in two nested models."""
    for inner in layer.layers if isinstance(layer, keras.Model) else ():
        yield from _walk(inner, f"{place}{inner.name}/")
    for item in layer.weights:
        name = f"/{item.path}".partition(f"/{layer.name}/")[2]
        yield place + (name or item.path), item
