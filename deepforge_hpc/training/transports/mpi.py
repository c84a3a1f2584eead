"""mpi4py: nothing to compile, everything through the memory of the host.

Faster than Horovod where ranks fill the cores, since no thread of its own waits for them.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from deepforge_hpc.job import Rank, RanksError
from deepforge_hpc.training.errors import TrainingError
from deepforge_hpc.training.transports.base import Array, Tensor, Transport, backend


class MpiTransport(Transport):
    """The MPI library of the site, by its all-reduce of one buffer for each type of numbers."""

    name = "mpi"

    def __init__(self, ranks: Rank) -> None:
        self._mpi = mpi = _load()
        self._comm = mpi.COMM_WORLD
        try:
            ranks.agree(self._comm.Get_size(), "MPI")
        except RanksError as error:
            library = mpi.Get_library_version().split("\n")[0].split(",")[0].strip("\0 ")
            raise RanksError(f"{error}; mpi4py uses {library}") from None
        self._runs_on = backend()
        super().__init__(self._comm.Get_rank(), ranks.world_size)

    def _gather(self, value: Any) -> list[Any]:
        return list(self._comm.allgather(value))

    def _barrier(self) -> None:
        self._comm.Barrier()

    def mean_of_tensors(self, tensors: Sequence[Tensor]) -> list[Tensor]:
        if self._runs_on == "tensorflow":
            return self._mean_in_graph(tensors)
        from deepforge_hpc.training.transports import distributed

        return distributed.reduced(tensors, self._mean_on_host)

    def _mean_in_graph(self, tensors: Sequence[Tensor]) -> list[Tensor]:
        """One operation of the graph for all tensors of a type: the latency of it counts."""
        import tensorflow as tf

        from deepforge_hpc.training.transports.tensorflow import narrowed, of_one_type, widened

        wide = widened(tensors)
        found = list(wide)
        for places in of_one_type(wide):
            kind = wide[places[0]].dtype
            flat = tf.concat([tf.reshape(wide[place], [-1]) for place in places], 0)
            # Stateful: a graph runs such operations in their order, the same on each rank.
            mean = tf.numpy_function(self._mean, [flat], kind, stateful=True)
            parts = tf.split(tf.reshape(mean, tf.shape(flat)), [tf.size(wide[p]) for p in places])
            for place, part in zip(places, parts, strict=True):
                found[place] = tf.reshape(part, tf.shape(wide[place]))
        return narrowed(found, tensors)

    def _mean(self, array: Array) -> Array:
        with self.timed():
            found = self._sum(array)
            found /= self.size
            return found

    def _mean_on_host(self, flat: Tensor) -> None:
        import torch

        flat.copy_(torch.from_numpy(self._mean(flat.detach().cpu().numpy())))

    def _broadcast(self, array: Array, root: int) -> Array:
        import numpy as np

        found = np.array(array, order="C")
        self._comm.Bcast(found, root)
        return found

    def _sum(self, array: Array) -> Array:
        import numpy as np

        array = np.ascontiguousarray(array)
        found = np.empty_like(array)
        self._comm.Allreduce(array, found)
        return found


def _load() -> Any:
    try:
        from mpi4py import MPI
    except ModuleNotFoundError as error:
        raise TrainingError(f"{error}: pip install mpi4py, which compiles nothing") from error
    except (ImportError, RuntimeError) as error:
        said = " ".join(str(error).split())
        raise TrainingError(
            f"mpi4py finds no MPI library that it can use: {said}. Load the site's MPI module, the "
            "one whose mpirun or srun starts the ranks"
        ) from error
    return MPI
