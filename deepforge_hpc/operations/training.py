"""What the operation Train does, part by part."""

from __future__ import annotations

from typing import Any

import keras

from deepforge_hpc import training
from deepforge_hpc.operations.beginning import begin, tell
from deepforge_hpc.operations.compiling import callbacks, goals, optimizer
from deepforge_hpc.operations.data import batches_of, output_names
from deepforge_hpc.operations.precision import cloned
from deepforge_hpc.operations.pretrained import pretrained
from deepforge_hpc.operations.rate import learning_rate
from deepforge_hpc.operations.rehearsal import rehearse
from deepforge_hpc.operations.train import Train
from deepforge_hpc.operations.weights import begin_with, by_place, freeze
from deepforge_hpc.training.errors import TrainingError
from deepforge_hpc.training.record import RecordInside


def train(
    settings: Train, dataset: Any, validation: Any, initial: Any
) -> tuple[Any, dict[str, list[Any]], dict[str, Any]]:
    """Return model, history and report."""
    transport = training.connect()
    keras.utils.set_random_seed(settings.seed)
    model = cloned(settings.model, settings.precision)  # fresh weights, drawn from our seed
    report: dict[str, Any] = {"ranks": transport.size, "transport": transport.name}
    if found := begin(
        settings.init_from,
        initial,
        transport,
        lambda: begin_with(model, *pretrained(settings.init_from)),
        lambda: begin_with(model, by_place(initial)),
    ):
        report["initial"] = found
    report["frozen"] = freeze(model, settings.freeze)
    if settings.synchronize:
        report["synchronized"] = training.synchronize_batch_normalization(model)
    wanted = goals(settings, output_names(model))
    batches, watched = batches_of(settings, model, dataset, validation, transport)
    _check_steps(settings, len(batches))
    chosen = callbacks(settings, wanted, validates=watched is not None)
    is_first = transport.rank == 0
    records = [RecordInside(settings.record, batches, is_first=is_first)] if settings.record else []
    rate, report["learning_rate"] = learning_rate(settings, len(batches))
    report |= {"steps_per_epoch": len(batches), "rows": batches.order.rows}
    rehearse(model, wanted, output_names(model), batches)
    model.compile(
        optimizer=training.distributed(optimizer(settings, rate), transport),
        jit_compile=False,  # XLA has none of the exchanges between ranks
        **wanted,
    )
    if is_first:
        tell(report)
    history = training.fit(
        model,
        batches,
        epochs=settings.epochs,
        transport=transport,
        validation=watched,
        callbacks=[*chosen, *records],
        checkpoint_s=settings.checkpoint_s,
        logged=True,
    )
    return _plain(settings.model, model), history, report


def _check_steps(settings: Train, batches: int) -> None:
    """Raise TrainingError where the optimizer would never make a step: Keras says nothing."""
    if settings.accumulate > (most := batches * settings.epochs):
        raise TrainingError(
            f"accumulate {settings.accumulate}: the training has {most} batches in all, so the "
            "optimizer would never make a step: lower it or batch_size, or raise epochs"
        )


def _plain(given: Any, trained: Any) -> Any:
    """Return the network as it was given, with what was learnt: no optimizer, no 16 bits."""
    model = cloned(given)
    model.set_weights(trained.get_weights())
    return model
