"""The interface of a transport, and the one of a single rank."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
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

    def broadcast(self, array: Array, root: int = 0) -> Array:
        """Return the array of the rank `root`."""
        return _as_before(array, self._broadcast(portable(array), root))

    def sum(self, array: Array) -> Array:
        """Return the sum of all ranks' arrays."""
        return _as_before(array, self._sum(portable(array)))

    def mean(self, array: Array) -> Array:
        """Return the mean of all ranks' arrays, which hold floating-point numbers."""
        return _as_before(array, self._sum(portable(array)) / self.size)

    @abstractmethod
    def gather(self, value: Any) -> list[Any]:
        """Return the small objects of all ranks, in the order of ranks, on every rank."""

    @abstractmethod
    def barrier(self) -> None:
        """Wait until all ranks are here."""

    @abstractmethod
    def mean_of_tensors(self, tensors: Sequence[Tensor]) -> list[Tensor]:
        """Return the means of all ranks' tensors: one exchange for all of them, within a step."""

    @abstractmethod
    def _broadcast(self, array: Array, root: int) -> Array: ...

    @abstractmethod
    def _sum(self, array: Array) -> Array: ...


class OneRank(Transport):
    """A training on one rank: nothing travels."""

    name = "one rank"

    def gather(self, value: Any) -> list[Any]:
        return [value]

    def barrier(self) -> None:
        return

    def mean_of_tensors(self, tensors: Sequence[Tensor]) -> list[Tensor]:
        return list(tensors)

    def _broadcast(self, array: Array, root: int) -> Array:  # noqa: ARG002
        return array

    def _sum(self, array: Array) -> Array:
        return array


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
