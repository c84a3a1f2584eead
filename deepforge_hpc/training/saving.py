"""Callbacks that keep checkpoints, go on from one, and let all ranks stop at the same step."""

from __future__ import annotations

import math
import signal
import time
from typing import Any

import keras
import numpy as np

from deepforge_hpc.job import StopRequest
from deepforge_hpc.training.batches import Batches
from deepforge_hpc.training.checkpoints import Checkpoint, Checkpoints, Position
from deepforge_hpc.training.clock import EpochClock
from deepforge_hpc.training.errors import TrainingError
from deepforge_hpc.training.optimizer import check_steps
from deepforge_hpc.training.reduce import average_statistics, reduce_metrics
from deepforge_hpc.training.state import TrainingState, begins_anew

AGREE_S = 1.0
"""How long ranks go on without asking each other whether to stop: of the 30 s that a job has."""
_MOST_STEPS = 200
"""However short steps are: where a file system slows down they become a hundred times longer."""
_LOSSES = ("loss", "val_loss")


class Stopped(BaseException):
    """All ranks stop here, at one step; not an error, so nothing that catches those may see it."""


class Once(keras.callbacks.Callback):
    """Callbacks that see one training, whatever number of calls of `fit` it takes.

    An EarlyStopping forgets what was best when training begins, and puts it back when it ends.

    Args:
        callbacks: in the order in which they are told.
        epochs: of the training; a call of `fit` knows its own end.
        goes_on: the first epoch has begun in an earlier attempt, which told them so.
    """

    def __init__(self, callbacks: list[Any], epochs: int, *, goes_on: bool) -> None:
        super().__init__()
        self.inner, self._epochs = callbacks, epochs
        self._begun, self._goes_on = False, goes_on

    def finish(self, logs: Any = None) -> None:
        """Tell the callbacks that the training has ended."""
        for callback in self.inner:
            callback.on_train_end(logs)

    def set_model(self, model: Any) -> None:
        super().set_model(model)
        for callback in self.inner:
            callback.set_model(model)

    def set_params(self, params: Any) -> None:
        params = {**params, "epochs": self._epochs}
        super().set_params(params)
        for callback in self.inner:
            callback.set_params(params)

    def on_train_begin(self, logs: Any = None) -> None:
        if not self._begun:
            self._begun = True
            for callback in self.inner:
                callback.on_train_begin(logs)

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        for callback in self.inner:
            if not self._goes_on or begins_anew(callback):
                callback.on_epoch_begin(epoch, logs)
        self._goes_on = False


def _forwarded(name: str) -> Any:
    def method(self: Once, *args: Any, **logs: Any) -> None:
        for callback in self.inner:
            getattr(callback, name)(*args, **logs)

    return method


for _name in (
    "on_epoch_end", "on_train_batch_begin", "on_train_batch_end",
    "on_test_begin", "on_test_end", "on_test_batch_begin", "on_test_batch_end",
):  # fmt: skip
    setattr(Once, _name, _forwarded(_name))


class Restore(keras.callbacks.Callback):
    """Goes before all others: rank 0 has the weights of a checkpoint before it broadcasts them.

    The rest of the state comes when all callbacks have begun, since beginning they forget.
    """

    def __init__(self, state: TrainingState, found: Checkpoint) -> None:
        super().__init__()
        self.state, self.found = state, found
        self.arrays: dict[str, Any] = {}
        self._done = self._counted = False

    def on_train_begin(self, logs: Any = None) -> None:  # noqa: ARG002 - Keras' signature
        if self._done:
            return
        self._done = True
        transport = self.state.transport
        self.model.optimizer.build(self.model.trainable_variables)
        self.state.check(self.found)  # on each rank: all end with the same words
        if transport.rank == 0:
            self.arrays = self.found.arrays()
            self.state.restore(self.arrays)
        small = {
            n: a for n, a in self.arrays.items() if n == "metrics" or n.startswith("callback/")
        }
        self.arrays = transport.gather(small)[0]

    def finish(self) -> None:
        """Set what is each rank's own, and what the callbacks knew."""
        self.state.restore_ranks(self.found.state)
        self.state.restore_callbacks(self.found.state, self.arrays)

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:  # noqa: ARG002
        if self.found.position.step and not self._counted:
            self._counted = True  # behind the first step; of several in one call, behind these
            self.state.sync()
            # Keras makes most metrics in the first step, so none was there.
            self.state.add_to_metrics(self.arrays["metrics"])


class Save(keras.callbacks.Callback):
    """Goes behind all others: it saves what they have made of a step."""

    def __init__(
        self,
        state: TrainingState,
        batches: Batches,
        stop: StopRequest,
        checkpoints: Checkpoints | None,
        every_s: float,
        restore: Restore | None,
        clock: EpochClock,
    ) -> None:
        super().__init__()
        self.clock = clock
        self.state, self.batches, self.stop = state, batches, stop
        self.checkpoints, self.every_s, self._restore = checkpoints, every_s, restore
        self.last: Checkpoint | None = restore.found if restore else None
        self._saved_at = self._agreed_at = time.monotonic()
        self._gap = self._since = 1
        self._epoch = 0
        self._wanted = False

    def on_train_begin(self, logs: Any = None) -> None:  # noqa: ARG002 - Keras' signature
        if self._restore is not None:
            self._restore.finish()
            self._restore = None

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:  # noqa: ARG002
        self._epoch = epoch
        if keras.backend.backend() != "tensorflow":
            self.batches.begin_epoch(epoch)

    def on_train_batch_begin(self, batch: int, logs: Any = None) -> None:  # noqa: ARG002
        at = self._at(self._epoch, self.batches.first_step + batch)
        self.state.begin_step(at.total)

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        self._since += 1
        if self.state.transport.size > 1 and self.model.stop_training:
            # Keras would leave the epoch on this rank alone: the others are asked first.
            self._wanted, self.model.stop_training = True, False
        wait = self._since < self._gap and not (self.state.transport.size == 1 and self.stop.asked)
        if batch + 1 >= len(self.batches) or wait:
            return  # the end of the epoch is told below, when it was validated
        step = self.batches.first_step + batch + 1
        self._look(self._at(self._epoch, step), logs, at_end=False)

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        self._look(self._at(epoch + 1, 0), logs, at_end=True)

    def _at(self, epoch: int, step: int) -> Position:
        return Position(epoch, step, epoch * self.batches.order.steps + step)

    def _look(self, position: Position, logs: Any, *, at_end: bool) -> None:
        """Agree with all ranks on what to do now, and do it."""
        now = time.monotonic()
        per_step = (now - self._agreed_at) / max(1, self._since)
        gap = min(_MOST_STEPS, max(1, int(AGREE_S / max(per_step, 1e-9))))
        due = self.checkpoints is not None and (at_end or now - self._saved_at >= self.every_s)
        bad = [name for name in _LOSSES if not math.isfinite(float((logs or {}).get(name, 0.0)))]
        first = self.state.transport.rank == 0
        wanted = self._wanted or self.model.stop_training
        votes = [*self._asked(), bool(bad), wanted, first and due, first and gap]
        warned, ended, lost, over, due, self._gap = self._together(np.array(votes, np.float64))
        self._agreed_at, self._since, self._wanted = now, 0, False
        if lost:
            raise self._diverged(position, "val_loss" if bad == ["val_loss"] else "loss")
        check_steps(self.model.optimizer, at_end=False)  # which is the same on all ranks
        if over:
            self._end(at_end=at_end)
        if self.checkpoints is not None and (due or warned or ended):
            with self.clock.of("checkpoint"):
                self._save(position)
        if warned or ended:
            self.stop.signal = signal.SIGTERM if ended else signal.SIGUSR1
            raise Stopped

    def _end(self, *, at_end: bool) -> None:
        """End the epoch here on all ranks, as a callback of one of them wants."""
        self.model.stop_training = True
        if not at_end:
            average_statistics(self.model, self.state.transport)
            reduce_metrics(self.model, self.state.transport)

    def _asked(self) -> list[bool]:
        return [self.stop.signal == number for number in (signal.SIGUSR1, signal.SIGTERM)]

    def _together(self, votes: Any) -> tuple[bool, bool, bool, bool, bool, int]:
        transport = self.state.transport
        *asked, gap = votes if transport.size == 1 else transport.sum(votes)
        warned, ended, lost, over, due = map(bool, asked)
        return warned, ended, lost, over, due, int(gap)

    def _save(self, position: Position) -> None:
        self.state.sync()
        state, arrays = self.state.collect()
        state["data"], state["world_size"] = self.batches.describe(), self.state.transport.size
        state["is_over"] = bool(self.model.stop_training)
        error, finite = "", all(map(_is_finite, _weights(arrays)))
        if self.state.transport.rank == 0 and finite:
            try:
                self.last = self.checkpoints.save(position, state, arrays)  # type: ignore[union-attr]
            except OSError as fault:
                error = f"the checkpoint cannot be written: {fault}"
        error, finite = self.state.transport.gather((error, finite))[0]
        if not finite:
            raise self._diverged(position)
        if error:
            raise TrainingError(error)
        self._saved_at = time.monotonic()

    def _diverged(self, position: Position, loss: str = "loss") -> TrainingError:
        last = self.state.transport.gather(
            f"the last good checkpoint is {self.last.path} ({self.last.position})"
            if self.last
            else "there is no checkpoint before it"
        )[0]
        where = position if position.step else f"the end of epoch {position.epoch}"
        return TrainingError(
            f"the {loss} is no number any more at {where}; {last}. Lower the learning rate, clip "
            "the gradients (clipnorm), or look for values in the data that are no numbers"
        )


def _weights(arrays: dict[str, Any]) -> list[Any]:
    return [item for name, item in arrays.items() if name.startswith(("weight/", "statistics"))]


def _is_finite(array: Any) -> bool:
    return bool(np.isfinite(array).all())
