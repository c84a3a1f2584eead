"""The gradients of TensorFlow on their way."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from deepforge_hpc.training.transports.base import Tensor


def widened(tensors: Sequence[Tensor]) -> list[Tensor]:
    """Return dense tensors of at least 32 bits: no transport has bfloat16, and 16 bits overflow.

    The gradient of an Embedding is sparse, and other rows of it have been touched on each rank.
    """
    import tensorflow as tf

    dense = [tf.convert_to_tensor(item) for item in tensors]
    return [tf.cast(item, tf.float32) if item.dtype.size < 4 else item for item in dense]


def of_one_type(tensors: Sequence[Tensor]) -> list[list[int]]:
    """Return the places of the tensors of each type: one exchange carries one."""
    kinds = dict.fromkeys(item.dtype for item in tensors)
    return [[i for i, item in enumerate(tensors) if item.dtype == kind] for kind in kinds]


def narrowed(tensors: Sequence[Tensor], like: Sequence[Tensor]) -> list[Tensor]:
    """Return tensors of the types that those of `like` have."""
    import tensorflow as tf

    return [tf.cast(item, mine.dtype) for item, mine in zip(tensors, like, strict=True)]


def spent_in_graph() -> Any:
    """Return a variable in which a graph counts seconds."""
    import tensorflow as tf

    with tf.device("CPU:0"):
        return tf.Variable(0.0, dtype=tf.float64, trainable=False)


def time_once_there(tensors: Sequence[Tensor]) -> Tensor:
    """Return when all tensors were there, in seconds; nothing waits for it."""
    import tensorflow as tf

    with tf.control_dependencies(tensors):
        return tf.timestamp()
