"""Horovod, for Keras on TensorFlow: its operations on tensors, which work with Keras 3.

Its optimizer wrapper and its callbacks are made for Keras 2, and are not used.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from deepforge_hpc.job import Rank
from deepforge_hpc.training.errors import TrainingError
from deepforge_hpc.training.transports.base import Array, Tensor, Transport
from deepforge_hpc.training.transports.tensorflow import (
    narrowed,
    of_one_type,
    spent_in_graph,
    time_once_there,
    widened,
)

_BUILD = (
    "HOROVOD_WITH_TENSORFLOW=1 HOROVOD_WITH_MPI=1 pip install --no-build-isolation "
    "--no-cache-dir --force-reinstall --no-deps horovod"
)


class HorovodTransport(Transport):
    """MPI (or NCCL, if Horovod was built with it) in a thread of its own."""

    name = "horovod"

    def __init__(self, ranks: Rank) -> None:
        self._hvd = _load()
        ranks.agree(self._hvd.size(), "Horovod")
        super().__init__(self._hvd.rank(), ranks.world_size)
        self._within_steps_s = spent_in_graph()

    @property
    def spent_in_graph_s(self) -> float:
        return float(self._within_steps_s.numpy())

    def _gather(self, value: Any) -> list[Any]:
        return list(self._hvd.allgather_object(value))

    def mean_of_tensors(self, tensors: Sequence[Tensor]) -> list[Tensor]:
        found = widened(tensors)
        begun = time_once_there(found)
        for places in of_one_type(found):
            group = [found[place] for place in places]
            means = self._hvd.grouped_allreduce(group, op=self._hvd.Average)
            for place, mean in zip(places, means, strict=True):
                found[place] = mean
        self._within_steps_s.assign_add(time_once_there(found) - begun)
        return narrowed(found, tensors)

    def _broadcast(self, array: Array, root: int) -> Array:
        import tensorflow as tf

        return self._hvd.broadcast(tf.constant(array), root).numpy()

    def _sum(self, array: Array) -> Array:
        import tensorflow as tf

        return self._hvd.allreduce(tf.constant(array), op=self._hvd.Sum).numpy()


def _load() -> Any:
    try:
        import horovod.tensorflow as hvd

        hvd.init()
    except ModuleNotFoundError as error:
        raise TrainingError(
            f"Horovod cannot be imported: {error}. Install it beside TensorFlow: {_BUILD}"
        ) from error
    except Exception as error:
        # It has types of its own for another version, a missing extension and a missing MPI.
        said = " ".join(str(error).split()) or type(error).__name__
        raise TrainingError(
            f"Horovod does not work with this TensorFlow: {said}. Build it again: {_BUILD}"
        ) from error
    return hvd
