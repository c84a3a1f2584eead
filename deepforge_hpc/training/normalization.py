"""Batch normalisation over the whole batch, on however many ranks it lies.

Keras' own `BatchNormalization(synchronized=True)` knows TensorFlow's replicas alone: with ranks of
a launcher it takes each rank's part for the whole, without a word.
"""

from __future__ import annotations

from typing import Any

import keras

from deepforge_hpc.training.errors import TrainingError
from deepforge_hpc.training.transports import OneRank, Transport

_CONNECTED: list[Transport] = [OneRank()]


class SynchronizedBatchNormalization(keras.layers.BatchNormalization):
    """Keras' BatchNormalization with the mean and the variance of all ranks' rows.

    It is saved as a plain BatchNormalization, which is what it is when it predicts. Two small
    exchanges for each layer and direction.
    """

    def _moments(self, inputs: Any, mask: Any) -> tuple[Any, Any]:
        transport = _CONNECTED[0]
        mean, variance = super()._moments(inputs, mask)
        if transport.size == 1:
            return mean, variance
        if mask is not None:
            message = f"{self.name}: masked rows cannot be normalised over several ranks"
            raise TrainingError(message)
        # Equal parts on all ranks; differences of means, not of squares: no digits cancel.
        whole = _mean(mean, transport)
        return whole, _mean(variance + keras.ops.square(mean - whole), transport)


# What Keras writes down of a layer's class.
SynchronizedBatchNormalization.__name__ = "BatchNormalization"
SynchronizedBatchNormalization.__module__ = "keras.layers"


def synchronize_batch_normalization(model: Any) -> int:
    """Let each BatchNormalization of a model see all ranks' rows; return how many there are.

    Call it before `compile`. The layers stay the same objects, with their weights.
    """
    count = 0
    for layer in _layers_of(model):
        if type(layer) is keras.layers.BatchNormalization:
            layer.__class__ = SynchronizedBatchNormalization
        if isinstance(layer, SynchronizedBatchNormalization):
            layer.synchronized = False
            count += 1
    return count


def use_for_normalization(transport: Transport) -> None:
    """Let the layers of this process exchange by a transport: a graph that is traced keeps it."""
    _CONNECTED[0] = transport


def check_normalization(model: Any, transport: Transport) -> None:
    """Raise TrainingError for a layer that claims to be synchronised and is not."""
    for layer in _layers_of(model):
        if isinstance(layer, SynchronizedBatchNormalization):
            continue
        if transport.size > 1 and getattr(layer, "synchronized", False):
            raise TrainingError(
                f"{layer.name} is BatchNormalization(synchronized=True), which Keras does between "
                "TensorFlow's replicas only: on these ranks it would see its own rows alone. Call "
                "deepforge_hpc.training.synchronize_batch_normalization(model), or write "
                "`synchronize: true` for the operation Train, and leave synchronized out"
            )


def _layers_of(model: Any) -> list[Any]:
    """Return the layers of a model and those inside of them."""
    found, todo = [], [model]
    while todo:
        layer = todo.pop()
        found.append(layer)
        todo += getattr(layer, "layers", None) or []
        if (inner := getattr(layer, "layer", None)) is not None:  # TimeDistributed and its like
            todo.append(inner)
    return found


def _mean(tensor: Any, transport: Transport) -> Any:
    """Return the mean over all ranks, whose gradient is the mean of all ranks' gradients."""
    if keras.config.backend() == "torch":
        from deepforge_hpc.training.torch_normalization import mean_of_ranks

        return mean_of_ranks(tensor, transport)
    import tensorflow as tf

    def mean(value: Any) -> Any:
        return (
            transport.mean_of_tensors([value])[0],
            lambda upstream: transport.mean_of_tensors([upstream])[0],
        )

    return tf.custom_gradient(mean)(tensor)
