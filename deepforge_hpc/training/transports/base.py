"""The interface of a transport, and the one of a single rank."""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, TypeAlias

Array: TypeAlias = Any
"""A numpy array. numpy is imported by who has one."""
Tensor: TypeAlias = Any
"""A tensor of the framework that Keras runs on, or of torch."""


class Transport(ABC):
    """Collective operations: every rank calls them in the same order, or all wait for ever.

    Arrays of any number type come back with their own type, whatever travels in between.
    """

    name = ""

    def __init__(self, rank: int = 0, size: int = 1) -> None:
        self.rank, self.size = rank, size
        self._spent_s = 0.0

    @property
    def spent_s(self) -> float:
        """Seconds within exchanges so far, which include waiting for slower ranks."""
        return self.seen_s + self.spent_in_graph_s

    @property
    def seen_s(self) -> float:
        """Those of them that are known at once: to ask for it costs nothing in a step."""
        return self._spent_s

    @property
    def spent_in_graph_s(self) -> float:
        """Those that a graph counted, within steps: to ask for it takes a part of a step."""
        return 0.0

    @contextmanager
    def timed(self) -> Iterator[None]:
        """Count the block as an exchange; what it calls must not be counted again."""
        begun = time.perf_counter()
        try:
            yield
        finally:
            self._spent_s += time.perf_counter() - begun

    def broadcast(self, array: Array, root: int = 0) -> Array:
        """Return the array of the rank `root`."""
        with self.timed():
            return _as_before(array, self._broadcast(portable(array), root))

    def sum(self, array: Array) -> Array:
        """Return the sum of all ranks' arrays."""
        with self.timed():
            return _as_before(array, self._sum(portable(array)))

    def mean(self, array: Array) -> Array:
        """Return the mean of all ranks' arrays, which hold floating-point numbers."""
        with self.timed():
            return _as_before(array, self._sum(portable(array)) / self.size)

    def gather(self, value: Any) -> list[Any]:
        """Return the small objects of all ranks, in the order of ranks, on every rank."""
        with self.timed():
            return self._gather(value)

    def barrier(self) -> None:
        """Wait until all ranks are here."""
        with self.timed():
            self._barrier()

    @abstractmethod
    def mean_of_tensors(self, tensors: Sequence[Tensor]) -> list[Tensor]:
        """Return the means of all ranks' tensors: one exchange for all of them, within a step."""

    def sum_later(self, tensor: Tensor) -> Callable[[], None]:
        """Begin to add up a tensor of torch, and return what waits until it is the sum.

        Only then may anyone look at it. Here all happens in the wait.
        """

        def wait() -> None:
            import torch

            tensor.copy_(torch.from_numpy(self.sum(tensor.cpu().numpy())))

        return wait

    @abstractmethod
    def _gather(self, value: Any) -> list[Any]: ...

    def _barrier(self) -> None:
        self._gather(None)

    @abstractmethod
    def _broadcast(self, array: Array, root: int) -> Array: ...

    @abstractmethod
    def _sum(self, array: Array) -> Array: ...


class OneRank(Transport):
    """A training on one rank: nothing travels."""

    name = "one rank"

    def _gather(self, value: Any) -> list[Any]:
        return [value]

    def mean_of_tensors(self, tensors: Sequence[Tensor]) -> list[Tensor]:
        return list(tensors)

    def _broadcast(self, array: Array, root: int) -> Array:  # noqa: ARG002
        return array

    def _sum(self, array: Array) -> Array:
        return array


def backend() -> str:
    """Return what Keras runs on, or will; `torch` for a training without Keras."""
    import sys
    from importlib.util import find_spec

    if (keras := sys.modules.get("keras")) is not None:
        return str(keras.config.backend())
    if find_spec("keras") is None:
        return "torch"
    import keras as found

    return str(found.config.backend())


def portable(array: Array) -> Array:
    """Return an array as a type that each transport can carry and add up.

    Horovod has neither bool nor uint32 (the state of a random generator) nor bfloat16, and sums of
    16 bits lose digits that a mean over many ranks wants.
    """
    import numpy as np

    array = np.asarray(array)
    if array.dtype.kind in "biu":
        return array.astype(np.int64)
    # bfloat16 and its like are of no kind that numpy has: V, or f by their own package.
    wide = array.dtype in (np.float64, np.float32)
    return array if wide else array.astype(np.float32)


def _as_before(given: Array, found: Array) -> Array:
    import numpy as np

    given = np.asarray(given)
    return np.asarray(found).astype(given.dtype).reshape(given.shape)
