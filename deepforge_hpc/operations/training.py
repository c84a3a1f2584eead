"""What the operation Train does, part by part."""

from __future__ import annotations

import inspect
from typing import Any

import keras
import numpy as np

from deepforge_hpc import training
from deepforge_hpc.job import log
from deepforge_hpc.operations.named import find, make, parse
from deepforge_hpc.operations.rate import learning_rate
from deepforge_hpc.operations.train import Train
from deepforge_hpc.operations.weights import begin_with, freeze
from deepforge_hpc.training.augment import NAMES
from deepforge_hpc.training.batches import Augment
from deepforge_hpc.training.errors import TrainingError

_GIB = 1 << 30
_LOGS_OWN = frozenset({"t", "step", "not_finite"})


def train(
    settings: Train, dataset: Any, validation: Any, initial: Any
) -> tuple[Any, dict[str, list[Any]], dict[str, Any]]:
    """Return model, history and report."""
    team = training.connect()
    keras.utils.set_random_seed(settings.seed)
    model = keras.models.clone_model(settings.model)  # fresh weights, drawn from our seed
    report: dict[str, Any] = {"ranks": team.size, "transport": team.name}
    if initial is not None:
        report["initial"] = begin_with(model, initial)
    report["frozen"] = freeze(model, settings.freeze)
    if settings.synchronize:
        report["synchronized"] = training.synchronize_batch_normalization(model)
    _use_precision(model, settings.precision)
    batches, watched = _data(settings, model, dataset, validation, team)
    rate, report["learning_rate"] = learning_rate(settings, len(batches))
    report |= {"steps_per_epoch": len(batches), "rows": batches.order.rows}
    model.compile(
        optimizer=training.distributed(_optimizer(settings, rate), team),
        loss=make("loss", settings.loss),
        metrics=_metrics(settings),
        jit_compile=False,  # XLA has none of the exchanges between ranks
    )
    if team.rank == 0:
        _tell(report)
    history = training.fit(
        model,
        batches,
        epochs=settings.epochs,
        transport=team,
        validation=watched,
        callbacks=_callbacks(settings, watched),
        class_weight={int(key): value for key, value in (settings.class_weight or {}).items()}
        or None,
        checkpoint_s=settings.checkpoint_s,
    )
    return _plain(settings.model, model), history, report


def _metrics(settings: Train) -> list[Any]:
    found = [make("metric", item) for item in settings.metrics]
    for item in found:
        if (name := getattr(item, "name", "")) in _LOGS_OWN:
            raise TrainingError(
                f"metrics: none can be named {name}, which the log of metrics uses itself"
            )
    return found


def _data(
    settings: Train, model: Any, dataset: Any, validation: Any, team: training.Transport
) -> tuple[training.Batches, training.Batches | None]:
    rows = _rows(settings, dataset)
    if validation is None:
        rows, kept = _split(settings, rows, team.size)
        source = dataset
    else:
        kept, source = _rows(settings, validation), validation
    made = _batches(settings, model, dataset, rows, team, shuffle=True)
    if not len(kept):
        return made, None
    return made, _batches(settings, model, source, kept, team, shuffle=False)


def _split(settings: Train, rows: Any, ranks: int) -> tuple[Any, Any]:
    """Return rows to learn from and rows to validate with: the same for any number of ranks."""
    mixed = np.random.default_rng(settings.seed).permutation(rows)
    count = int(len(rows) * settings.validation_split)
    if 0 < count < ranks:
        raise TrainingError(
            f"validation_split {settings.validation_split} of {len(rows)} rows keeps {count} for "
            f"{ranks} ranks: raise it, or set it to 0"
        )
    return np.sort(mixed[count:]), np.sort(mixed[:count])


def _rows(settings: Train, dataset: Any) -> Any:
    """Return the numbers of the rows that `rows` marks; of all without it."""
    count = len(_column(dataset, settings.target))
    if not settings.rows:
        return np.arange(count)
    marks = _column(dataset, settings.rows)
    if marks.shape != (count,):
        raise TrainingError(
            f"rows: {settings.rows} has the shape {marks.shape}, and {settings.target} has {count} "
            "rows: it needs one 0 or 1 for each"
        )
    return np.flatnonzero(marks[:])


def _batches(
    settings: Train, model: Any, dataset: Any, rows: Any, team: training.Transport, *, shuffle: bool
) -> training.Batches:
    names = {item.name: settings.inputs.get(item.name, item.name) for item in model.inputs}
    if odd := set(settings.inputs) - set(names):
        raise TrainingError(f"inputs: the network has no input {sorted(odd)}, but {sorted(names)}")
    columns = {name: _column(dataset, column) for name, column in names.items()}
    size = sum(item.dtype.itemsize * item.size for item in columns.values())
    if size <= settings.memory_gib * _GIB:
        columns = {name: item[:] for name, item in columns.items()}
    weights = settings.sample_weight
    return training.Batches(
        columns if len(columns) > 1 else next(iter(columns.values())),
        _column(dataset, settings.target)[:],
        _column(dataset, weights)[:] if weights else None,
        batch_size=settings.batch_size,
        transport=team,
        seed=settings.seed,
        shuffle=shuffle,
        augment=_augment(settings.augment) if shuffle else None,
        chosen=rows,
    )


def _column(dataset: Any, name: str) -> Any:
    if name not in dataset:
        raise TrainingError(f"the dataset has no {name!r}; it has {', '.join(sorted(dataset))}")
    return dataset[name]


def _augment(name: str) -> Augment | None:
    if not name or name in NAMES:
        return NAMES[name] if name else None
    raise TrainingError(f"augment {name!r} is none of {', '.join(sorted(NAMES))}")


def _optimizer(settings: Train, rate: Any) -> Any:
    name, arguments = parse("optimizer", settings.optimizer)
    taken = inspect.signature(find("optimizer", name)).parameters
    more: dict[str, Any] = dict(settings.clip)
    if odd := [key for key in more if not key.endswith(("clipnorm", "clipvalue"))]:
        raise TrainingError(f"clip has {odd}; it takes clipnorm, global_clipnorm or clipvalue")
    if settings.accumulate > 1:
        more["gradient_accumulation_steps"] = settings.accumulate
    if "learning_rate" in taken:
        arguments = {**arguments, "learning_rate": rate}  # which began with the optimizer's own
    found = make("optimizer", {name: {**more, **arguments}})
    if settings.precision == "mixed_float16":
        return keras.optimizers.LossScaleOptimizer(found)
    return found


def _use_precision(model: Any, policy: str) -> None:
    """Let layers compute in 16 bits; what the network returns stays in 32, for the loss."""
    last = {id(item._keras_history.operation) for item in model.outputs}  # noqa: SLF001
    for layer in model.layers if policy else []:
        if id(layer) not in last and not isinstance(layer, keras.layers.InputLayer):
            layer.dtype_policy = keras.dtype_policies.get(policy)


def _callbacks(settings: Train, watched: Any) -> list[Any]:
    found = [make("callback", item) for item in settings.callbacks]
    monitor = "val_loss" if watched is not None else "loss"
    is_best = settings.keep == "best"
    stop = settings.early_stopping
    if stop is not None or is_best:
        patience = settings.epochs  # it never stops then, and keeps the best weights
        given = {"monitor": monitor, "patience": patience, "restore_best_weights": is_best}
        found.append(make("callback", {"EarlyStopping": {**given, **(stop or {})}}))
    return [*found, keras.callbacks.LambdaCallback(on_epoch_end=_log)]


def _log(epoch: int, logs: dict[str, Any]) -> None:
    # The history has each value of a metric of several, an F1 of each class, say; a log has one.
    log(step=epoch + 1, **{name: float(np.mean(value)) for name, value in logs.items()})


def _tell(report: dict[str, Any]) -> None:
    for name, value in report.items():
        shown = {key: len(items) for key, items in value.items()} if name == "initial" else value
        print(f"{name}: {shown}", flush=True)  # noqa: T201 - the log of the job


def _plain(given: Any, trained: Any) -> Any:
    """Return the network as it was given, with what was learnt: no optimizer, no 16 bits."""
    model = keras.models.clone_model(given)
    model.set_weights(trained.get_weights())
    return model
