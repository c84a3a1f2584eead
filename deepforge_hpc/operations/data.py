"""The batches that the operation Train learns from, for a network of Keras."""

from __future__ import annotations

import sys
from functools import partial
from typing import Any

from deepforge_hpc import training
from deepforge_hpc.operations.columns import column
from deepforge_hpc.operations.labels import check_inputs, check_labels
from deepforge_hpc.operations.rows import bins_of, in_memory, in_parts, inputs_of, one, targets_of
from deepforge_hpc.operations.train import Train
from deepforge_hpc.operations.values import check_weights, weigh
from deepforge_hpc.training.augment import augmentation


def output_names(model: Any) -> list[str]:
    """Return the names of a network's outputs; a Sequential's is that of its last layer."""
    names = getattr(model, "output_names", None)
    return list(names) if names else [model.layers[-1].name]


def batches_of(
    settings: Train, model: Any, dataset: Any, validation: Any, transport: training.Transport
) -> tuple[training.Batches, training.Batches | None]:
    """Return the batches to learn from, and those to validate with, if there are any."""
    make = partial(_batches, settings, model, transport)
    return in_parts(settings, output_names(model), dataset, validation, transport, make)


def _batches(
    settings: Train,
    model: Any,
    transport: training.Transport,
    dataset: Any,
    rows: Any,
    shuffle: bool,
) -> training.Batches:
    columns, names = inputs_of(settings, [item.name for item in model.inputs], dataset)
    check_inputs(model, columns, names)
    augment = augmentation(settings.augment, columns) if shuffle else None
    columns = in_memory(settings, columns)
    targets, named = targets_of(settings, output_names(model), dataset)
    odd_rows = check_labels(settings.loss, model, targets, rows, named, bins_of(dataset))
    if transport.rank == 0:
        sys.stderr.writelines(f"dfh: {text}\n" for text in odd_rows)
    weights = None
    if settings.sample_weight:
        weights = column(dataset, settings.sample_weight, "sample_weight")[:]
        check_weights(settings.sample_weight, weights, rows)
    if settings.class_weight and shuffle:  # those of classes count in training alone
        classes = model.outputs[0].shape[-1] or 0
        weights = weigh(settings.class_weight, classes, targets, named, weights, rows)
    return training.Batches(
        one(columns),
        one(targets),
        weights,
        batch_size=settings.batch_size,
        transport=transport,
        seed=settings.seed,
        shuffle=shuffle,
        augment=augment,
        chosen=rows,
    )
