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


def is_group(item: Any) -> bool:
    """Tell whether something of an HDF5 file holds others."""
    return item is not None and not hasattr(item, "shape")


def column(dataset: Any, name: str) -> Any:
    """Return a data set; TrainingError with those that there are."""
    if name not in dataset:
        raise TrainingError(f"the dataset has no {name!r}; it has {', '.join(sorted(dataset))}")
    found = dataset[name]
    if is_group(found):
        has = ", ".join(f"{name}/{item}" for item in sorted(found))
        raise TrainingError(f"{name!r} is a group of the dataset, no data set; it has {has}")
    return found
