"""What the operation TrainTorch does, part by part."""

from __future__ import annotations

import copy
import inspect
from typing import Any

import numpy as np
import torch

from deepforge_hpc import training
from deepforge_hpc.operations.columns import column, split_rows, validating_rows
from deepforge_hpc.operations.spec import parse
from deepforge_hpc.operations.train_torch import TrainTorch
from deepforge_hpc.training import pytorch
from deepforge_hpc.training.augment import augmentation
from deepforge_hpc.training.errors import TrainingError


def _accuracy(outputs: Any, targets: Any) -> Any:
    return outputs.argmax(1) == targets


def _absolute(outputs: Any, targets: Any) -> Any:
    return (outputs - targets).abs().flatten(1).mean(1)


def _squared(outputs: Any, targets: Any) -> Any:
    return (outputs - targets).square().flatten(1).mean(1)


METRICS: dict[str, pytorch.Metric] = {
    "accuracy": _accuracy,
    "mean_absolute_error": _absolute,
    "mean_squared_error": _squared,
}
"""Means over all ranks' rows."""


def train(
    settings: TrainTorch, dataset: Any, validation: Any, initial: Any
) -> tuple[dict[str, Any], dict[str, list[float]], dict[str, Any]]:
    """Return weights, history and report."""
    team = training.connect("torch")
    module = _fresh(settings)
    if initial is not None:
        module.load_state_dict({name: torch.as_tensor(one) for name, one in initial.items()})
    if torch.cuda.is_available():
        module.cuda()
    batches, watched = _data(settings, module, dataset, validation, team)
    history = pytorch.fit(
        module,
        batches,
        _goal(settings, module),
        epochs=settings.epochs,
        transport=team,
        validation=watched,
        checkpoint_s=settings.checkpoint_s,
    )
    report = {"ranks": team.size, "transport": team.name, "rows": batches.order.rows}
    weights = {name: one.detach().cpu() for name, one in module.state_dict().items()}
    return weights, history, {**report, "steps_per_epoch": batches.order.steps}


def _fresh(settings: TrainTorch) -> Any:
    """Return the network with weights that follow from the seed."""
    torch.manual_seed(settings.seed)
    kind = type(settings.model)
    if inspect.signature(kind).parameters:  # of no architecture file
        return copy.deepcopy(settings.model)
    return kind()


def _goal(settings: TrainTorch, module: Any) -> pytorch.Goal:
    rate = {"lr": settings.learning_rate}
    optimizer = _made(torch.optim, settings.optimizer, rate, module.parameters())
    schedule = settings.schedule and _made(
        torch.optim.lr_scheduler, settings.schedule, {}, optimizer
    )
    if odd := [name for name in settings.metrics if name not in METRICS]:
        raise TrainingError(f"metrics: {', '.join(odd)}: there are {', '.join(METRICS)}")
    return pytorch.Goal(
        loss=_made(torch.nn, settings.loss, {}).to(next(module.parameters()).device),
        optimizer=optimizer,
        schedule=schedule or None,
        schedule_every=settings.schedule_every,
        metrics={name: METRICS[name] for name in settings.metrics},
        accumulate=settings.accumulate,
        clip_norm=settings.clip_norm,
    )


def _made(place: Any, spec: Any, defaults: dict[str, Any], *first: Any) -> Any:
    """Return what `Name` or `{Name: {argument: value}}` stands for."""
    name, arguments = parse(spec)
    weights = {n: torch.tensor(a) for n, a in arguments.items() if n in {"weight", "pos_weight"}}
    try:
        return getattr(place, name)(*first, **{**defaults, **arguments, **weights})
    except (AttributeError, TypeError, ValueError) as error:
        raise TrainingError(f"{name} cannot be made with {dict(arguments)}: {error}") from error


def _data(
    settings: TrainTorch, module: Any, dataset: Any, validation: Any, team: training.Transport
) -> tuple[training.RankBatches, training.RankBatches | None]:
    rows = np.arange(len(column(dataset, settings.target)))
    if validation is None:
        rows, kept = split_rows(rows, settings.validation_split, settings.seed, team.size)
        source = dataset
    else:
        kept, source = np.arange(len(column(validation, settings.target))), validation
        validating_rows(kept)
    made = _batches(settings, module, dataset, rows, team, shuffle=True)
    if not len(kept):
        return made, None
    return made, _batches(settings, module, source, kept, team, shuffle=False)


def _batches(
    settings: TrainTorch,
    module: Any,
    dataset: Any,
    rows: Any,
    team: training.Transport,
    *,
    shuffle: bool,
) -> training.RankBatches:
    names = list(getattr(module, "inputs", inspect.signature(module.forward).parameters))
    if odd := sorted(set(settings.inputs) - set(names)):
        raise TrainingError(f"inputs: the network has no input {odd}, but {names}")
    columns = {name: column(dataset, settings.inputs.get(name, name)) for name in names}
    augment = augmentation(settings.augment, columns) if shuffle else None
    return training.RankBatches(
        columns if len(columns) > 1 else columns[names[0]],
        column(dataset, settings.target)[:],
        batch_size=settings.batch_size,
        transport=team,
        seed=settings.seed,
        shuffle=shuffle,
        augment=augment,
        chosen=rows,
    )
