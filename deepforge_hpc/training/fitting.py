"""`fit`: Keras' own, on all ranks together, going on where an earlier attempt stopped."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import keras

from deepforge_hpc.job import stopping
from deepforge_hpc.training.agreement import CHECKPOINT_S, check_agreement, folder_of, newest_of
from deepforge_hpc.training.batches import Batches
from deepforge_hpc.training.checkpoints import Checkpoint, Checkpoints, Position
from deepforge_hpc.training.clock import EpochClock, LogEpochs
from deepforge_hpc.training.errors import TrainingError
from deepforge_hpc.training.optimizer import check_steps
from deepforge_hpc.training.reduce import plain
from deepforge_hpc.training.saving import Once, Restore, Save, Stopped
from deepforge_hpc.training.state import TrainingState, network_digest
from deepforge_hpc.training.synchronize import Synchronize
from deepforge_hpc.training.transports import Transport

WRITERS = tuple(
    found
    for name in (
        "CSVLogger",
        "ModelCheckpoint",
        "OrbaxCheckpoint",
        "RemoteMonitor",
        "TensorBoard",
    )
    if (found := getattr(keras.callbacks, name, None))
)
"""Callbacks whose files and messages all ranks would write over each other."""


def fit(  # noqa: PLR0913 - the choices of one call, by their names
    model: Any,
    batches: Batches,
    *,
    epochs: int,
    transport: Transport,
    validation: Batches | None = None,
    callbacks: Sequence[Any] = (),
    checkpoints: Checkpoints | str | Path | None = None,
    checkpoint_s: float = CHECKPOINT_S,
    class_weight: dict[int, float] | None = None,
    logged: bool = False,
) -> dict[str, list[Any]]:
    """Train a compiled model, and return its history: the same on all ranks, of all attempts.

    Checkpoints lie in the job's folder for them (none outside of a job) or where `checkpoints`
    says. Each epoch ends with one, and within an epoch every `checkpoint_s` seconds there is
    another. Asked to stop (the warning before a time limit, SIGTERM) all ranks stop at one step,
    save, and end. Callbacks that write files (`WRITERS`) are told on rank 0 alone. `logged`: each
    epoch's metrics, and where its time went, come into the job's log.

    Raises:
        TrainingError: ranks that disagree, a checkpoint of another training, a loss that is no
            number any more, BackupAndRestore among the callbacks.
    """
    _refuse_other_copies(callbacks)
    check_agreement(network_digest(model), batches, validation, epochs, transport)
    kept = folder_of(checkpoints)
    found = newest_of(kept, batches, transport)
    callbacks = [item for item in callbacks if transport.rank == 0 or not isinstance(item, WRITERS)]
    history = keras.callbacks.History()
    clock = EpochClock(batches, transport)
    inner = [*callbacks, *([LogEpochs(clock)] if logged else []), history]
    state = TrainingState(model, inner, transport)
    restore = Restore(state, found) if found else None
    once = Once(inner, epochs, goes_on=found is not None and found.position.step > 0)
    with stopping() as stop:
        save = Save(state, batches, stop, kept, checkpoint_s, restore, clock)
        parts = [
            clock,
            *([restore] if restore else []),
            Synchronize(transport, validation),
            once,
            save,
        ]
        calls = _calls(found, epochs)
        if not calls:
            _take_over(model, parts)
        try:
            with _averages_aside(model.optimizer):
                for first, step, end in calls:
                    batches.begin_at(first, step)
                    model.fit(
                        batches,
                        initial_epoch=first,
                        epochs=end,
                        validation_data=validation,
                        callbacks=[*parts],
                        class_weight=class_weight,
                        shuffle=False,  # whole batches, and on each rank differently
                        verbose=0,
                    )
                    if model.stop_training:
                        break
            check_steps(model.optimizer, at_end=True)
            model.optimizer.finalize_variable_values(model.trainable_variables)
            once.finish()
        except Stopped:
            pass
    return {name: [*map(plain, values)] for name, values in history.history.items()}


def _refuse_other_copies(callbacks: Sequence[Any]) -> None:
    if any(isinstance(item, keras.callbacks.BackupAndRestore) for item in callbacks):
        raise TrainingError(
            "BackupAndRestore would set weights of its own over those of the checkpoint from which "
            "the training goes on: leave it out, and give checkpoint_s"
        )


def _calls(found: Checkpoint | None, epochs: int) -> list[tuple[int, int, int]]:
    """Return (first epoch, first step, end) of each `fit`: it takes an epoch's length for all."""
    at = found.position if found else Position()
    if at.epoch >= epochs or (found is not None and found.state.get("is_over")):
        return []
    if not at.step:
        return [(at.epoch, 0, epochs)]
    rest, others = (at.epoch, at.step, at.epoch + 1), (at.epoch + 1, 0, epochs)
    return [rest, others] if at.epoch + 1 < epochs else [rest]


@contextmanager
def _averages_aside(optimizer: Any) -> Iterator[None]:
    """Let `use_ema` put its averages in the place of weights once: not after each call of `fit`."""
    optimizer.finalize_variable_values = lambda _variables: None
    try:
        yield
    finally:
        del optimizer.finalize_variable_values


def _take_over(model: Any, parts: Sequence[Any]) -> None:
    """Bring a model to where a training was that is over: it was stopped after it, not in it."""
    for part in parts:
        part.set_model(model)
        part.on_train_begin()
