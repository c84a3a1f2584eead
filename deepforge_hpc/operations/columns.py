"""Data sets of an HDF5 file and their rows, for the training in any framework."""

from __future__ import annotations

from typing import Any

import numpy as np

from deepforge_hpc.training.errors import TrainingError


def split_rows(rows: Any, part: float, seed: int, ranks: int) -> tuple[Any, Any]:
    """Return rows to learn from and rows to validate with: the same for any number of ranks."""
    mixed = np.random.default_rng(seed).permutation(rows)
    count = int(len(rows) * part)
    if 0 < count < ranks:
        raise TrainingError(
            f"validation_split {part} of {len(rows)} rows keeps {count} for "
            f"{ranks} ranks: raise it, or set it to 0"
        )
    return np.sort(mixed[count:]), np.sort(mixed[:count])


def marked(dataset: Any, name: str, count: int, mark: int = 1) -> Any:
    """Return the numbers of the rows that a column marks.

    TrainingError unless it has a 0 or 1 for each of `count` rows: what another value means, nobody
    has said.
    """
    marks = column(dataset, name, "rows")
    if marks.shape != (count,):
        raise TrainingError(
            f"rows: {name!r} has the shape {marks.shape}, and there are {count} rows: it needs one "
            "mark, 0 or 1, for each"
        )
    found = np.asarray(marks[:])
    odd = ~np.isin(found, [0, 1])
    if odd.any():
        raise TrainingError(
            f"rows: {name!r} marks by 0 and 1, and {int(odd.sum())} of its {count} rows have "
            f"others, as {found[odd][0]!r}"
        )
    return np.flatnonzero(found == mark)


def validating_rows(rows: Any) -> None:
    """Raise TrainingError where the input that was given to validate with has no row to use."""
    if not len(rows):
        raise TrainingError(
            "the input validation has no rows to validate with: leave it out to keep a part of the "
            "dataset's (validation_split), or set that to 0 to go without"
        )


def is_group(item: Any) -> bool:
    """Tell whether something of an HDF5 file holds others."""
    return item is not None and not hasattr(item, "shape")


def _lies_elsewhere(found: Any, dataset: Any) -> bool:
    """Tell whether a link, or storage outside, leads away from an HDF5 file."""
    if getattr(found, "external", None):
        return True
    return hasattr(found, "file") and hasattr(dataset, "file") and found.file != dataset.file


def column(dataset: Any, name: str, by: str) -> Any:
    """Return a data set; TrainingError with those that there are, and the attribute that asked."""
    found = dataset.get(name)
    if found is None:
        if name in dataset:
            raise TrainingError(f"{by}: {name!r} of the dataset is a link that leads nowhere")
        has = ", ".join(sorted(dataset))
        raise TrainingError(f"{by}: the dataset has no {name!r}; it has {has}")
    if _lies_elsewhere(found, dataset):
        raise TrainingError(
            f"{by}: {name!r} of the dataset lies in another file: copy it into this one"
        )
    if is_group(found):
        has = ", ".join(f"{name}/{item}" for item in sorted(found))
        raise TrainingError(f"{by}: {name!r} is a group of the dataset, no data set; it has {has}")
    if not found.shape:
        raise TrainingError(f"{by}: {name!r} of the dataset is a single value, and has no rows")
    return found
