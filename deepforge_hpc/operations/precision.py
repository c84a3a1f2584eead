"""Networks that compute in 16 bits: by Keras' policies, in all that a layer is made of."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import keras


def cloned(model: Any, policy: str = "") -> Any:
    """Return a model of the same layers, with fresh weights, under a policy such as mixed_bfloat16.

    It reaches nested models and the layers within layers (Bidirectional, TimeDistributed, the
    projections of an attention). What gives the outputs stays as it is, for the loss, and so does a
    layer that was told of other numbers than float32.

    Source: https://keras.io/api/mixed_precision
    """
    if not policy:
        return keras.models.clone_model(model)
    last = set(_last(model))

    def again(layer: Any) -> Any:
        config = layer.get_config()
        changed = config if id(layer) in last else _under(config, policy)
        return type(layer).from_config(changed)

    return keras.models.clone_model(model, clone_function=again, recursive=True)


def _last(model: Any) -> Iterator[int]:
    """Yield which layers give the outputs of a model, those of a nested one too."""
    for item in model.outputs:
        layer = item._keras_history.operation  # noqa: SLF001
        if isinstance(layer, keras.Model):
            yield from _last(layer)
        yield id(layer)


def _under(value: Any, policy: str) -> Any:
    """Return a configuration whose policies of float32 are another."""
    if isinstance(value, list | tuple):
        return type(value)(_under(item, policy) for item in value)
    if not isinstance(value, dict):
        return value
    if value.get("class_name") == "DTypePolicy" and value["config"] == {"name": "float32"}:
        return {**value, "config": {"name": policy}}
    return {name: _under(item, policy) for name, item in value.items()}
