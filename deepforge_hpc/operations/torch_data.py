"""The batches that the operation Train learns from, for a network of PyTorch."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from deepforge_hpc import training
from deepforge_hpc.operations.columns import column
from deepforge_hpc.operations.rows import bins_of, in_memory, in_parts, inputs_of, one, targets_of
from deepforge_hpc.operations.torch_named import for_outputs, named
from deepforge_hpc.operations.torch_terms import OF_CLASSES, RANGES
from deepforge_hpc.operations.values import (
    check_bins,
    check_classes,
    check_numbers,
    check_range,
    check_weights,
    fits,
    if_labels,
    weigh,
)
from deepforge_hpc.training.augment import augmentation
from deepforge_hpc.training.errors import TrainingError
from deepforge_hpc.training.rank_batches import native
from deepforge_hpc.training.torch_losses import refuse_ignored

if TYPE_CHECKING:
    from deepforge_hpc.operations.train import Train

_ONLY = "output"
"""What the only output of a network is called, which has no name in its code."""
_LOOK = 2
"""Rows that a network is given to see its outputs."""
_ONE_NUMBER = (
    "; a column of one number a row is the input [], without an axis: {stack: {dim: 1}} joins "
    "several, {unsqueeze: {dim: 1}} gives one the axis"
)


def input_names(module: Any) -> list[str]:
    """Return the names of a network's inputs."""
    return list(getattr(module, "inputs", inspect.signature(module.forward).parameters))


def output_names(module: Any) -> list[str]:
    """Return the names of a network's outputs."""
    return list(getattr(module, "outputs", (_ONLY,)))


def batches_of(
    settings: Train, module: Any, dataset: Any, validation: Any, transport: training.Transport
) -> tuple[training.RankBatches, training.RankBatches | None]:
    """Return the batches to learn from, and those to validate with, if there are any."""
    make = partial(_batches, settings, module, transport)
    return in_parts(settings, output_names(module), dataset, validation, transport, make)


def _batches(
    settings: Train,
    module: Any,
    transport: training.Transport,
    dataset: Any,
    rows: Any,
    shuffle: bool,
) -> training.RankBatches:
    outputs = output_names(module)
    columns, names = inputs_of(settings, input_names(module), dataset)
    for name, item in columns.items():
        check_numbers(f"inputs: {names[name]}", item)
    augment = augmentation(settings.augment, columns, channels_first=True) if shuffle else None
    targets, where = targets_of(settings, outputs, dataset)
    shapes = _shapes(module, columns, rows)
    losses = for_outputs(settings.loss, outputs, "loss")
    bins = bins_of(dataset)
    for name, shape in shapes.items():
        kind, arguments = named("loss", losses[name])
        if kind in OF_CLASSES and shape:
            check_bins(f"target {where[name]}", name, bins.get(where[name]), shape[0])
        if "ignore_index" in arguments:
            refuse_ignored(transport.size)
    fitted = {
        name: _fitted(
            losses[name], name, f"target {where[name]}", targets[name], shapes[name], rows
        )
        for name in outputs
    }
    weights = None
    if settings.sample_weight:
        weights = column(dataset, settings.sample_weight, "sample_weight")[:]
        check_weights(settings.sample_weight, weights, rows)
        weights = np.asarray(weights, np.float32).reshape(-1)
    if settings.class_weight and shuffle:  # those of classes count in training alone
        classes = next(iter(shapes.values()))[:1] or (1,)
        weights = weigh(settings.class_weight, classes[0], targets, where, weights, rows)
    return training.RankBatches(
        one(in_memory(settings, columns)),
        one(fitted),
        weights,
        batch_size=settings.batch_size,
        transport=transport,
        seed=settings.seed,
        shuffle=shuffle,
        augment=augment,
        chosen=rows,
    )


def _shapes(module: Any, columns: Mapping[str, Any], rows: Any) -> dict[str, tuple[int, ...]]:
    """Return the shape of each output for a row, by giving the network some.

    Raises TrainingError with what PyTorch says of rows that it cannot take.
    """
    like = next(module.parameters())
    kinds = getattr(module, "inputs", {})
    given = []
    for name, item in columns.items():
        look = [int(row) for row in rows[:_LOOK] if row < len(item)]
        if not look:
            raise TrainingError(f"inputs: {name} has no row {rows[0]}, and the target has")
        found = native(np.stack([item[row] for row in look]))
        kind = kinds.get(name, like.dtype)
        kind = like.dtype if kind.is_floating_point else kind
        given.append(torch.from_numpy(found).to(like.device, kind))
    was = module.training
    module.eval()
    try:
        with torch.no_grad():
            found = module(*given)
    except (RuntimeError, TypeError, ValueError, IndexError) as error:
        shapes = ", ".join(f"{name} {tuple(item.shape[1:])}" for name, item in columns.items())
        said = " ".join(str(error).split())[:300]
        hint = "" if all(len(item.shape) > 1 for item in columns.values()) else _ONE_NUMBER
        raise TrainingError(f"the network cannot take rows of {shapes}: {said}{hint}") from error
    finally:
        module.train(was)
    several = found if isinstance(found, (list, tuple)) else (found,)
    names = output_names(module)
    if len(several) != len(names):
        raise TrainingError(
            f"the network gives {len(several)} outputs and names {len(names)}: let its class have "
            "outputs = (name, ...)"
        )
    return {name: tuple(one.shape[1:]) for name, one in zip(names, several, strict=True)}


def _fitted(
    loss: Any, output: str, where: str, values: Any, shape: tuple[int, ...], rows: Any
) -> Any:
    """Return targets in the numbers and the shape that a loss takes.

    Raises TrainingError for others: PyTorch stretches shapes that differ to each other.
    """
    check_numbers(where, values)
    name, arguments = named("loss", loss)
    if name in OF_CLASSES and not _are_shares(name, values, shape):
        return _labels(name, output, where, values, shape, rows, arguments.get("ignore_index"))
    if not fits(values.shape[1:], shape):
        raise TrainingError(
            f"{where} has the shape {values.shape[1:]} for each row, and the output {output} "
            f"{shape}: the loss {name} compares them number by number"
            + if_labels(values, shape, "CrossEntropyLoss")
        )
    check_range(where, name, RANGES.get(name), "CrossEntropyLoss", values[rows])
    found = values.reshape((len(values), *shape))
    if name == "MultiLabelMarginLoss":
        return found.astype(np.int64)
    return found if found.dtype == np.float64 else found.astype(np.float32)


def _are_shares(name: str, values: Any, shape: tuple[int, ...]) -> bool:
    """Tell whether targets give each class its probability."""
    is_one_each = name == "CrossEntropyLoss" and values.dtype.kind == "f"
    return is_one_each and len(shape) > 0 and values.shape[1:] == shape


def _labels(
    name: str,
    output: str,
    where: str,
    values: Any,
    shape: tuple[int, ...],
    rows: Any,
    ignored: int | None,
) -> Any:
    wanted = shape[1:]
    if not fits(values.shape[1:], wanted) or not shape:
        raise TrainingError(
            f"{where} has the shape {values.shape[1:]} for each row, and the loss {name} takes one "
            f"label where the output {output} {shape} has a number for each class"
        )
    found = values.reshape((len(values), *wanted))
    used = found[rows]
    check_classes(where, output, used if ignored is None else used[used != ignored], shape[0])
    return found.astype(np.int64)
