"""The rows that the operation Train learns from, by the data sets of an HDF5 file."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from deepforge_hpc import training
from deepforge_hpc.operations.columns import column, is_group, marked, split_rows, validating_rows
from deepforge_hpc.operations.labels import check_inputs, check_labels, check_weights, weigh
from deepforge_hpc.operations.named import match_outputs
from deepforge_hpc.operations.train import Train
from deepforge_hpc.training.augment import augmentation
from deepforge_hpc.training.errors import TrainingError

_GIB = 1 << 30


def output_names(model: Any) -> list[str]:
    """Return the names of a network's outputs; a Sequential's is that of its last layer."""
    names = getattr(model, "output_names", None)
    return list(names) if names else [model.layers[-1].name]


def batches_of(
    settings: Train, model: Any, dataset: Any, validation: Any, team: training.Transport
) -> tuple[training.Batches, training.Batches | None]:
    """Return the batches to learn from, and those to validate with, if there are any."""
    rows = _rows(settings, model, dataset)
    if validation is None:
        rows, kept = split_rows(rows, settings.validation_split, settings.seed, team.size)
        source = dataset
    else:
        kept, source = _rows(settings, model, validation), validation
        validating_rows(kept)
    made = _batches(settings, model, dataset, rows, team, shuffle=True)
    if not len(kept):
        return made, None
    return made, _batches(settings, model, source, kept, team, shuffle=False)


def _rows(settings: Train, model: Any, dataset: Any) -> Any:
    """Return the numbers of the rows that `rows` marks; of all without it."""
    names = _target_names(settings.target, output_names(model), dataset)
    first = next(iter(names.values()))
    count = len(column(dataset, first))
    if not settings.rows:
        return np.arange(count)
    return marked(dataset, settings.rows, count)


def _target_names(
    target: str | dict[str, str], outputs: Sequence[str], dataset: Any
) -> dict[str, str]:
    """Return the data set of each output: named one by one, or the members of a group."""
    if isinstance(target, dict):
        names = match_outputs("target", target, outputs)
    elif is_group(dataset.get(target)):
        names = {name: f"{target}/{name}" for name in outputs}
        if len(outputs) == 1 and names[outputs[0]] not in dataset:
            has = ", ".join(f"{target}/{name}" for name in sorted(dataset[target]))
            raise TrainingError(f"target: {target!r} is a group; name a data set of it: {has}")
    elif len(outputs) == 1:
        names = {outputs[0]: target}
    else:
        form = ", ".join(f"{name}: ..." for name in outputs)
        raise TrainingError(
            f"target: the network has the outputs {', '.join(outputs)}, and {target!r} is one data "
            f"set: write {{{form}}}, or name a group with data sets of these names"
        )
    if absent := [name for name in outputs if name not in names]:
        raise TrainingError(f"target: the output {', '.join(absent)} has no data set")
    return names


def _batches(
    settings: Train, model: Any, dataset: Any, rows: Any, team: training.Transport, *, shuffle: bool
) -> training.Batches:
    names = {item.name: settings.inputs.get(item.name, item.name) for item in model.inputs}
    if odd := set(settings.inputs) - set(names):
        raise TrainingError(f"inputs: the network has no input {sorted(odd)}, but {sorted(names)}")
    columns = {name: column(dataset, source) for name, source in names.items()}
    check_inputs(model, columns, names)
    augment = augmentation(settings.augment, columns) if shuffle else None
    size = sum(item.dtype.itemsize * item.size for item in columns.values())
    if size <= settings.memory_gib * _GIB:
        columns = {name: item[:] for name, item in columns.items()}
    targets, named = _targets(settings, model, dataset)
    odd_rows = check_labels(settings.loss, model, targets, rows, named)
    if team.rank == 0:
        sys.stderr.writelines(f"dfh: {text}\n" for text in odd_rows)
    weights = column(dataset, settings.sample_weight)[:] if settings.sample_weight else None
    if weights is not None:
        check_weights(settings.sample_weight, weights, rows)
    if settings.class_weight and shuffle:  # those of classes count in training alone
        weights = weigh(settings.class_weight, model, targets, named, weights)
    return training.Batches(
        _one(columns),
        _one(targets),
        weights,
        batch_size=settings.batch_size,
        transport=team,
        seed=settings.seed,
        shuffle=shuffle,
        augment=augment,
        chosen=rows,
    )


def _one(columns: Mapping[str, Any]) -> Any:
    return columns if len(columns) > 1 else next(iter(columns.values()))


def _targets(settings: Train, model: Any, dataset: Any) -> tuple[dict[str, Any], dict[str, str]]:
    """Return the targets of each output in memory, and the data sets that they came from."""
    outputs = output_names(model)
    named = _target_names(settings.target, outputs, dataset)
    return {name: column(dataset, named[name])[:] for name in outputs}, named
