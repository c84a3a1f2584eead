"""Where the time of an epoch goes, each part measured where it is spent."""

from __future__ import annotations

import resource
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import keras
import numpy as np

from deepforge_hpc.job import log, ranks
from deepforge_hpc.training.batches import Batches
from deepforge_hpc.training.devices import GpuWatch, own_gpu
from deepforge_hpc.training.transports import Transport

PARTS = ("waiting", "compile", "compute", "communication", "validation", "checkpoint")


class EpochClock(keras.callbacks.Callback):
    """Goes before all other callbacks, so that what they take is no part of a step.

    waiting: from when a step asks for its batch until `Batches` has read it. compile: in the first
    step on TensorFlow, until it asks for a batch: its graph is made before. communication: within
    the exchanges of the transport. validation: from the last step to the end of the validation.
    checkpoint: within `of("checkpoint")`. compute: the steps, without the three first.
    What is left of `epoch` is work of callbacks and of Keras between the steps.
    """

    def __init__(self, batches: Batches, transport: Transport) -> None:
        super().__init__()
        self._batches, self._transport = batches, transport
        self._in_step = keras.backend.backend() == "tensorflow"
        """Whether a batch is taken within the step; else before it, behind the last callbacks."""
        self._is_compiled = not self._in_step
        self._gpu = GpuWatch(own_gpu(ranks()))
        self._begin()
        self._ended = self._begun
        self._exchanged, self._in_graph = transport.seen_s, transport.spent_in_graph_s

    def _begin(self) -> None:
        self._begun = time.perf_counter()
        self._parts = dict.fromkeys(PARTS, 0.0)

    def on_train_batch_begin(self, batch: int, logs: Any = None) -> None:  # noqa: ARG002
        self._exchange()
        self._asked = time.perf_counter()

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:  # noqa: ARG002
        now = time.perf_counter()
        begun, ready = self._batches.reads.pop(batch, (now, self._asked))
        asked = self._asked if self._in_step else max(self._ended, begun)
        if not self._is_compiled:
            self._is_compiled = True
            self._parts["compile"] += max(0.0, begun - asked)
            asked = max(asked, begun)
        waiting = max(0.0, ready - asked)
        exchanging = self._exchange()
        self._parts["waiting"] += waiting
        self._parts["compute"] += max(0.0, now - asked - waiting - exchanging)
        self._gpu.look()
        self._ended = time.perf_counter()

    def on_test_end(self, logs: Any = None) -> None:  # noqa: ARG002
        taken = time.perf_counter() - self._ended
        self._parts["validation"] += max(0.0, taken - self._exchange())

    @contextmanager
    def of(self, part: str) -> Iterator[None]:
        """Count the block as a part, but for what its exchanges take."""
        self._exchange()
        begun = time.perf_counter()
        try:
            yield
        finally:
            taken = time.perf_counter() - begun
            self._parts[part] += max(0.0, taken - self._exchange())

    def _exchange(self) -> float:
        """Count what exchanges took since the last call, but for those in a graph; return it."""
        spent = self._transport.seen_s
        taken, self._exchanged = spent - self._exchanged, spent
        self._parts["communication"] += taken
        return taken

    def record(self) -> dict[str, float]:
        """Return the parts in seconds since the last record, means over ranks, and peak memory.

        A checkpoint at the end of an epoch counts to the next: it is written behind the record.
        """
        self._exchange()
        spent = self._transport.spent_in_graph_s
        taken, self._in_graph = spent - self._in_graph, spent
        self._parts["communication"] += taken
        self._parts["compute"] = max(0.0, self._parts["compute"] - taken)
        found = {f"time/{name}": value for name, value in self._parts.items()}
        found["time/epoch"] = time.perf_counter() - self._begun
        found["memory/peak_mib"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        found |= self._gpu.record()
        self._begin()
        told = self._transport.gather(found)
        return {name: _together(name, [one[name] for one in told if name in one]) for name in found}


def _together(name: str, values: list[float]) -> float:
    return float(max(values) if name.endswith("peak_mib") else np.mean(values))


class LogEpochs(keras.callbacks.Callback):
    """Logs the metrics of each epoch, and where its time went."""

    def __init__(self, clock: EpochClock) -> None:
        super().__init__()
        self._clock = clock

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        # The history has each value of a metric of several, an F1 of each class, say; a log one.
        values = {name: float(np.mean(value)) for name, value in (logs or {}).items()}
        log(step=epoch + 1, **values, **self._clock.record())
