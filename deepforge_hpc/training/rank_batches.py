"""The batches of one rank: of arrays in memory, or of the data sets of an HDF5 file."""

from __future__ import annotations

import hashlib
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from typing import Any, TypeAlias

import numpy as np

from deepforge_hpc.training.errors import TrainingError
from deepforge_hpc.training.order import Order
from deepforge_hpc.training.transports import Transport

Augment: TypeAlias = Callable[[Any, np.random.Generator], Any]
"""Changes one row of the inputs, given its own generator: the same on any number of ranks."""

_SAMPLED = 32
"""Rows that stand for all in what a checkpoint says of its data."""


class RankBatches:
    """The batches of one rank, in the order of `Order`, for any framework.

    Inputs are one array or, by the names of the network's inputs, several; targets too, by those of
    the outputs. What is not in memory (`h5py.File(path)["images"]`) is read row by row when its
    batch comes: a list of rows at once is many times slower in HDF5. `chosen` are the rows to use,
    all by default.
    """

    def __init__(  # noqa: PLR0913 - the choices of one call, by their names
        self,
        inputs: Any,
        targets: Any = None,
        weights: Any = None,
        *,
        batch_size: int,
        transport: Transport,
        seed: int = 0,
        shuffle: bool = True,
        augment: Augment | None = None,
        chosen: Any = None,
    ) -> None:
        self.inputs = dict(inputs) if isinstance(inputs, Mapping) else inputs
        self.targets = dict(targets) if isinstance(targets, Mapping) else targets
        self.weights, self.augment = weights, augment
        counts = {name: len(item) for name, item in self._arrays()}
        if len(set(counts.values())) != 1:
            said = ", ".join(f"{name} has {count}" for name, count in counts.items())
            raise TrainingError(f"inputs, targets and weights must be of the same rows: {said}")
        rows = next(iter(counts.values()))
        self.chosen = np.arange(rows) if chosen is None else np.asarray(chosen)
        whose = (transport.rank, transport.size)
        self.order = Order(len(self.chosen), batch_size, seed, shuffle, *whose)
        self.begin_at(0)
        self._drawn: tuple[int, Any] = (-1, None)
        self.reads: dict[int, tuple[float, float]] = {}
        """When batches were begun and ready, by their index in the epoch, until someone asks."""
        self._lock = threading.Lock()

    def begin_at(self, epoch: int, step: int = 0) -> None:
        """Let the next `fit` begin with this epoch, without its first steps."""
        self._start = self.epoch, self.first_step = epoch, step
        self._is_set = True

    def begin_epoch(self, epoch: int) -> None:
        """Be at this epoch: on JAX and torch Keras begins one before the first, to see a batch."""
        first, step = self._start
        self.begin_at(epoch, step if epoch == first else 0)

    def on_epoch_begin(self) -> None:
        """Go on to the next epoch. Keras calls this once for each, unlike `on_epoch_end`."""
        if not self._is_set:
            self.epoch, self.first_step = self.epoch + 1, 0
        self._is_set = False

    def __len__(self) -> int:
        return self.order.steps - self.first_step

    def __getitem__(self, index: int) -> tuple[Any, ...]:
        begun = time.perf_counter()
        rows = self._rows(self.epoch)[self.order.positions(self.first_step + index)]
        parts = [self._inputs_of(rows), _all_taken(self.targets, rows), _taken(self.weights, rows)]
        while parts[-1] is None:
            parts.pop()
        self.reads[index] = (begun, time.perf_counter())
        return tuple(parts)

    def rows_of(self, index: int) -> int:
        """Return how many rows a batch has on this rank."""
        start, end, step = self.order.positions(self.first_step + index).indices(self.order.rows)
        return len(range(start, end, step))

    def first(self, most: int = 32) -> tuple[Any, ...]:
        """Return some rows to look at, not augmented: the same ones in every epoch and attempt."""
        rows = self.chosen[self.order.epoch(0)][self.order.positions(0)][:most]
        taken = self._as_given({name: _taken(item, rows) for name, item in self._named()})
        return taken, _all_taken(self.targets, rows)

    def describe(self) -> dict[str, object]:
        """Return what must be the same on all ranks, and in an attempt that goes on."""
        found: dict[str, object] = {
            "rows": self.order.rows,
            "batch_size": self.order.batch_size,
            "seed": self.order.seed,
        }
        for name, item in self._named():
            found[f"shape of {name}"] = list(item.shape[1:])
        return {**found, "content": self._content}

    @cached_property
    def _content(self) -> str:
        """A digest of which rows are chosen, and of the values of some: all may be many GiB."""
        digest = hashlib.sha256(self.chosen.tobytes())
        places = np.linspace(0, len(self.chosen) - 1, min(_SAMPLED, len(self.chosen)), dtype=int)
        for _, item in self._arrays():
            rows = np.asarray(_taken(item, self.chosen[places]))
            digest.update(f"{rows.dtype} {rows.shape}".encode() + rows.tobytes())
        return digest.hexdigest()[:12]

    def _rows(self, epoch: int) -> Any:
        with self._lock:  # Keras may read with several threads
            if self._drawn[0] != epoch:
                self._drawn = (epoch, self.chosen[self.order.epoch(epoch)])
            return self._drawn[1]

    def _inputs_of(self, rows: Any) -> Any:
        taken = {name: _taken(item, rows) for name, item in self._named()}
        if self.augment is not None:
            taken = _augmented(self.augment, taken, rows, (self.order.seed, self.epoch))
        return self._as_given(taken)

    def _as_given(self, taken: dict[str, Any]) -> Any:
        """Return inputs in the form that they were given in."""
        if isinstance(self.inputs, dict):
            return taken
        values = tuple(taken.values())
        return values if isinstance(self.inputs, Sequence) else values[0]

    def _arrays(self) -> list[tuple[str, Any]]:
        """Return inputs, targets and weights, by their names."""
        given = self.targets if isinstance(self.targets, dict) else {"": self.targets}
        targets = [(f"target {name}".rstrip(), item) for name, item in given.items()]
        found = [*self._named(), *targets, ("weights", self.weights)]
        return [(name, item) for name, item in found if item is not None]

    def _named(self) -> list[tuple[str, Any]]:
        if isinstance(self.inputs, dict):
            return list(self.inputs.items())
        if isinstance(self.inputs, Sequence):
            return [(f"input {place}", item) for place, item in enumerate(self.inputs)]
        return [("inputs", self.inputs)]


def _all_taken(source: Any, rows: Any) -> Any:
    """Return rows of one array, or of several by their names."""
    if isinstance(source, dict):
        return {name: _taken(item, rows) for name, item in source.items()}
    return _taken(source, rows)


def _taken(source: Any, rows: Any) -> Any:
    """Return rows of an array or of a data set, in their order."""
    if source is None or isinstance(source, np.ndarray):
        return None if source is None else native(source[rows])
    found = np.empty((len(rows), *source.shape[1:]), source.dtype)
    for place, row in enumerate(rows):
        found[place] = source[int(row)]
    return native(found)


def native(array: Any) -> Any:
    """Return numbers as frameworks take them: in this machine's order of bytes, of 64 bits at most.

    Tables of FITS have the other order, and PyTorch refuses it.
    """
    kind = np.dtype("f8") if array.dtype == np.longdouble else array.dtype.newbyteorder("=")
    return array.astype(kind, copy=False)


def _augmented(augment: Augment, taken: dict[str, Any], rows: Any, seed: tuple[int, int]) -> Any:
    """Return inputs of which each row was changed by numbers that follow from its own number."""
    one = len(taken) == 1
    changed: dict[str, list[Any]] = {name: [] for name in taken}
    for place, row in enumerate(rows):
        rng = np.random.default_rng([*seed, int(row)])
        values = {name: item[place] for name, item in taken.items()}
        (name,) = values if one else ("",)
        new = {name: augment(values[name], rng)} if one else augment(values, rng)
        for key, value in new.items():
            changed[key].append(value)
    return {name: np.stack(items) for name, items in changed.items()}
