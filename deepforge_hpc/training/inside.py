"""What goes on inside a Keras model: outputs of its layers, gradients of its weights and inputs.

Keras and numpy are all that this needs: it runs in jobs, and in the Python that `dfh model` asks.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import keras
import numpy as np


def layers(model: Any, prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Yield all layers with their paths, `encoder/conv` of a nested model's."""
    for layer in model.layers:
        path = f"{prefix}{layer.name}"
        if isinstance(layer, keras.Model):
            yield from layers(layer, f"{path}/")
        elif not isinstance(layer, keras.layers.InputLayer):
            yield path, layer


def layer_outputs(model: Any, inputs: Any, prefix: str = "") -> Iterator[tuple[str, Any, Any]]:
    """Yield path, layer and output (an array, examples first), also within nested models.

    A layer that is used in several places, or has several outputs, is left out.
    """
    outer = [layer for layer in model.layers if not isinstance(layer, keras.layers.InputLayer)]
    wanted = [(layer, tensors) for layer in outer if (tensors := _tensors(layer))]
    sources = model.inputs if len(model.inputs) > 1 else model.inputs[0]
    if not wanted:
        return
    probe = keras.Model(sources, [tensor for _, tensors in wanted for tensor in tensors])
    values = iter(keras.tree.flatten(probe(inputs, training=False)))
    for layer, tensors in wanted:
        mine = [next(values) for _ in tensors]
        if isinstance(layer, keras.Model):
            given = mine if len(mine) > 1 else mine[0]
            yield from layer_outputs(layer, given, f"{prefix}{layer.name}/")
        else:
            value = keras.ops.cast(mine[0], "float32")
            yield f"{prefix}{layer.name}", layer, keras.ops.convert_to_numpy(value)


def _tensors(layer: Any) -> list[Any]:
    """Return the output of a layer, or what a nested model is called on; nothing if that is not one
    thing."""
    if isinstance(layer, keras.Model):
        nodes = layer._inbound_nodes  # noqa: SLF001 - Keras has no other word for it
        return list(nodes[0].input_tensors) if len(nodes) == 1 else []
    try:
        output = layer.output
    except (AttributeError, ValueError):  # it is called more than once, or never
        return []
    return [] if isinstance(output, (list, tuple, dict)) else [output]


def weight_gradients(model: Any, inputs: Any, targets: Any) -> Iterator[tuple[str, Any]]:
    """Yield path and gradients (float64, in one vector) of each layer with weights that learn.

    Of the loss of a compiled model over these examples, as in validation: no dropout, and no
    statistics move. Nothing is trained.
    """
    variables = list(model.trainable_variables)

    def loss() -> Any:
        return model.compute_loss(x=inputs, y=targets, y_pred=model(inputs, training=False))

    found = dict(zip(map(id, variables), _gradients(loss, variables), strict=True))
    for path, layer in layers(model):
        mine = [found[id(one)] for one in layer.trainable_variables if id(one) in found]
        values = [np.ravel(one).astype(np.float64) for one in mine if one is not None]
        if values:
            yield path, np.concatenate(values)


class NoUnitError(ValueError):
    """A network's output has no such unit; says how many there are."""


def saliency(model: Any, inputs: Any, unit: int | None) -> tuple[list[Any], list[int]]:
    """Return the gradients of an output by the inputs, one array for each input, and the units.

    Of each example's largest output, or of `unit`: Simonyan et al., arXiv:1312.6034, section 3.
    Of several outputs it is the first. NoUnitError for a unit that is not there.
    """
    given = inputs if isinstance(inputs, (list, tuple)) else [inputs]
    sources = [keras.Variable(one, trainable=True, dtype="float32") for one in given]
    first = keras.ops.convert_to_numpy(_flat(model(_as(inputs, sources), training=False)))
    count = first.shape[1]
    if unit is not None and not 0 <= unit < count:
        raise NoUnitError(f"the output has {count} units, 0 to {count - 1}")
    units = np.full(len(first), unit) if unit is not None else first.argmax(axis=1)
    marks = keras.ops.convert_to_tensor(np.eye(count, dtype="float32")[units])

    def wanted() -> Any:
        output = _flat(model(_as(inputs, sources), training=False))
        return keras.ops.sum(keras.ops.cast(output, "float32") * marks)

    return _gradients(wanted, sources), [int(one) for one in units]


def _as(inputs: Any, sources: list[Any]) -> Any:
    values = [one.value for one in sources]
    return values if isinstance(inputs, (list, tuple)) else values[0]


def _flat(output: Any) -> Any:
    first = output[0] if isinstance(output, (list, tuple)) else output
    return keras.ops.reshape(first, (first.shape[0], -1))


def _gradients(function: Callable[[], Any], variables: list[Any]) -> list[Any]:
    """Return the gradients of a function of nothing by variables of Keras, as arrays or None."""
    found = {"tensorflow": _by_tensorflow, "torch": _by_torch, "jax": _by_jax}
    values = found[keras.backend.backend()](function, variables)
    return [None if one is None else keras.ops.convert_to_numpy(one) for one in values]


def _by_tensorflow(function: Callable[[], Any], variables: list[Any]) -> list[Any]:
    import tensorflow as tf

    with tf.GradientTape() as tape:
        value = function()
    found = tape.gradient(value, [one.value for one in variables])
    return [None if one is None else tf.convert_to_tensor(one) for one in found]


def _by_torch(function: Callable[[], Any], variables: list[Any]) -> list[Any]:
    import torch

    tensors = [one.value for one in variables]
    with torch.enable_grad():
        return list(torch.autograd.grad(function(), tensors, allow_unused=True))


def _by_jax(function: Callable[[], Any], variables: list[Any]) -> list[Any]:
    import jax

    def of(values: list[Any]) -> Any:
        with keras.StatelessScope(state_mapping=list(zip(variables, values, strict=True))):
            return function()

    return list(jax.grad(of)([one.value for one in variables]))
