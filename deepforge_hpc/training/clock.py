"""Where the time of an epoch of Keras goes, each part measured where it is spent."""

from __future__ import annotations

import time
from typing import Any

import keras
import numpy as np

from deepforge_hpc.job import log
from deepforge_hpc.training.batches import Batches
from deepforge_hpc.training.epoch_parts import EpochParts
from deepforge_hpc.training.transports import Transport


class EpochClock(EpochParts, keras.callbacks.Callback):  # type: ignore[misc]
    """Goes before all other callbacks, so that what they take is no part of a step.

    waiting: from when a step asks for its batch until `Batches` has read it. compile: in the first
    step on TensorFlow, until it asks for a batch: its graph is made before. communication: within
    the exchanges of the transport. validation: from the last step to the end of the validation.
    checkpoint: within `of("checkpoint")`. compute: the steps, without the three first.
    What is left of `epoch` is work of callbacks and of Keras between the steps.
    """

    def __init__(self, batches: Batches, transport: Transport) -> None:
        keras.callbacks.Callback.__init__(self)
        EpochParts.__init__(self, transport)
        self._batches = batches
        self._in_step = keras.backend.backend() == "tensorflow"
        """Whether a batch is taken within the step; else before it, behind the last callbacks."""
        self._is_compiled = not self._in_step
        self._ended = self._begun

    def on_train_batch_begin(self, batch: int, logs: Any = None) -> None:  # noqa: ARG002
        self.exchange()
        self._asked = time.perf_counter()

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:  # noqa: ARG002
        now = time.perf_counter()
        begun, ready = self._batches.reads.pop(batch, (now, self._asked))
        asked = self._asked if self._in_step else max(self._ended, begun)
        if not self._is_compiled:
            self._is_compiled = True
            self.parts["compile"] += max(0.0, begun - asked)
            asked = max(asked, begun)
        waiting = max(0.0, ready - asked)
        exchanging = self.exchange()
        self.parts["waiting"] += waiting
        self.parts["compute"] += max(0.0, now - asked - waiting - exchanging)
        self.look()
        self._ended = time.perf_counter()

    def on_test_end(self, logs: Any = None) -> None:  # noqa: ARG002
        taken = time.perf_counter() - self._ended
        self.parts["validation"] += max(0.0, taken - self.exchange())


class LogEpochs(keras.callbacks.Callback):
    """Logs the metrics of each epoch, and where its time went."""

    def __init__(self, clock: EpochClock) -> None:
        super().__init__()
        self._clock = clock

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        # The history has each value of a metric of several, an F1 of each class, say; a log one.
        values = {name: float(np.mean(value)) for name, value in (logs or {}).items()}
        log(step=epoch + 1, **values, **self._clock.record())
