"""Rows to learn from and their columns, by the settings of a training, for any framework."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

from deepforge_hpc.operations.columns import column, is_group, marked, split_rows, validating_rows
from deepforge_hpc.operations.errors import tell
from deepforge_hpc.operations.spec import match_outputs
from deepforge_hpc.operations.tables import attributes
from deepforge_hpc.training.errors import TrainingError
from deepforge_hpc.training.transports import Transport

if TYPE_CHECKING:
    from deepforge_hpc.operations.train import Train

B = TypeVar("B")
_GIB = 1 << 30


def in_parts(
    settings: Train,
    outputs: Sequence[str],
    dataset: Any,
    validation: Any,
    transport: Transport,
    batches: Callable[[Any, Any, bool], B],
) -> tuple[B, B | None]:
    """Return the batches to learn from, and those to validate with, if there are any.

    `batches` makes those of a dataset, of its rows, and whether they are to learn from.
    """
    rows, kept, source = _parts(settings, outputs, dataset, validation, transport)
    made = batches(dataset, rows, True)
    return made, batches(source, kept, False) if len(kept) else None


def _parts(
    settings: Train,
    outputs: Sequence[str],
    dataset: Any,
    validation: Any,
    transport: Transport,
) -> tuple[Any, Any, Any]:
    """Return rows to learn from, and rows to validate with and the dataset that has those."""
    rows = _rows(settings, outputs, dataset)
    if not len(rows):
        by = f"rows: {settings.rows!r} marks none of them" if settings.rows else "it is empty"
        raise TrainingError(f"the dataset has no rows to learn from: {by}")
    if validation is None:
        share = settings.validation_split
        learnt, kept = split_rows(rows, share, settings.seed, transport.size)
        if share and not len(kept) and transport.rank == 0:
            tell(
                f"validation_split {share} of {len(rows)} rows keeps none, and nothing is "
                "validated: raise it, or set it to 0"
            )
        return learnt, kept, dataset
    kept = _rows(settings, outputs, validation)
    validating_rows(kept)
    return rows, kept, validation


def refuse_unwatched(early_stopping: Mapping[str, Any] | None, *, validates: bool) -> None:
    """Raise TrainingError for an early_stopping whose val_loss there is not.

    Train refuses a split of 0 itself, which the check sees; one may be too small for a row, too.
    """
    if early_stopping is not None and not validates and "monitor" not in early_stopping:
        raise TrainingError(
            "early_stopping watches val_loss, and no rows are kept to validate with: set "
            "validation_split, give the input validation, or say {monitor: loss}"
        )


def _rows(settings: Train, outputs: Sequence[str], dataset: Any) -> Any:
    """Return the numbers of the rows that `rows` marks; of all without it."""
    first = next(iter(_target_names(settings.target, outputs, dataset).values()))
    count = len(column(dataset, first, "target"))
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


def targets_of(
    settings: Train, outputs: Sequence[str], dataset: Any
) -> tuple[dict[str, Any], dict[str, str]]:
    """Return the targets of each output in memory, and the data sets that they came from."""
    named = _target_names(settings.target, outputs, dataset)
    found = {name: column(dataset, named[name], "target")[:] for name in outputs}
    counts = {named[name]: len(values) for name, values in found.items()}
    if len(set(counts.values())) > 1:
        said = ", ".join(f"{name} has {count}" for name, count in counts.items())
        raise TrainingError(f"target: the outputs must be of the same rows: {said}")
    return found, named


def bins_of(dataset: Any) -> dict[str, int]:
    """Return how many bins the columns of the operation Bin are numbers of."""
    return {
        name.removeprefix("@bins_"): int(value)
        for name, value in attributes(dataset).items()
        if name.startswith("@bins_") and isinstance(value, (int, np.integer))
    }


def inputs_of(
    settings: Train, inputs: Sequence[str], dataset: Any
) -> tuple[dict[str, Any], dict[str, str]]:
    """Return the data sets of a network's inputs as they lie, and what they are called."""
    names = {name: settings.inputs.get(name, name) for name in inputs}
    if odd := set(settings.inputs) - set(names):
        raise TrainingError(f"inputs: the network has no input {sorted(odd)}, but {sorted(names)}")
    return {name: column(dataset, source, "inputs") for name, source in names.items()}, names


def in_memory(settings: Train, columns: Mapping[str, Any]) -> dict[str, Any]:
    """Return data sets as arrays if they are as small as the settings say, else as they lie."""
    size = sum(item.dtype.itemsize * item.size for item in columns.values())
    if size > settings.memory_gib * _GIB:
        return dict(columns)
    return {name: item[:] for name, item in columns.items()}


def one(columns: Mapping[str, Any]) -> Any:
    """Return the only one of some columns as it is, and several by their names."""
    return columns if len(columns) > 1 else next(iter(columns.values()))
