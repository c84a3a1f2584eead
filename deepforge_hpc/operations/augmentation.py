"""More rows from those that there are."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, Literal

import numpy as np

from deepforge_hpc.operations.errors import OperationError
from deepforge_hpc.operations.tables import Change, column, columns, rewrite, row_count
from deepforge_hpc.training.augment import NAMES

if TYPE_CHECKING:
    import h5py


class Augment:
    """Adds changed copies of each row, behind the row itself.

    For what learns without changes of its own (`Train` has `augment`, which costs no space). Each
    copy has random numbers of its own, by seed, row and copy. `row` and `copy` say what it is of:
    in a later split let them stay together (`groups: row`), or better split first.

    Args:
        dataset: the table.
        columns: which columns are changed; images are rows x columns x channels.
        change: `flip`: left and right or not; `dihedral`: one of the 8 positions of a square;
            `none`: noise alone.
        noise: standard deviation of normal noise that is added.
        copies: of each row.
        seed: of all that is random.
        augmented: the table, `1 + copies` times as long.

    Source: Shorten and Khoshgoftaar 2019, J. Big Data 6, 60 (a survey).

    >>> table = {"image": np.arange(4.0).reshape(1, 2, 2, 1)}
    >>> augmented = Augment(["image"], "flip", copies=2).execute(table)
    >>> augmented["row"].tolist(), augmented["copy"].tolist()
    ([0, 0, 0], [0, 1, 2])
    """

    def __init__(
        self,
        columns: list[str],
        change: Literal["flip", "dihedral", "none"] = "dihedral",
        noise: Annotated[float, {"min": 0.0}] = 0.0,
        copies: Annotated[int, {"min": 1, "max": 100}] = 1,
        seed: int = 0,
    ):
        if not columns:
            raise OperationError("columns: name at least one")
        if change == "none" and not noise:
            raise OperationError("change: none without noise would make copies that are all equal")
        self.columns, self.change, self.noise = columns, change, noise
        self.copies, self.seed = copies, seed

    def execute(self, dataset: h5py.File) -> h5py.File:
        count, times = row_count(dataset), 1 + self.copies
        for name in self.columns:
            self._refuse(name, column(dataset, name))
        if "copy" in columns(dataset):
            raise OperationError(
                "the table has a column 'copy', which would say which copy a row is: Load can "
                "rename it"
            )
        rows = np.repeat(np.arange(count), times)
        extra = {"copy": np.tile(np.arange(times), count)}
        if "row" not in columns(dataset):
            extra["row"] = rows
        change = {
            name: self._changed(number, times) for number, name in enumerate(sorted(self.columns))
        }
        augmented = rewrite(dataset, rows, change, extra)
        return augmented

    def _refuse(self, name: str, item: Any) -> None:
        if self.change != "none" and len(item.shape) != 4:
            raise OperationError(
                f"{name!r} has rows of the shape {tuple(item.shape[1:])}: {self.change} is of "
                "images, rows x columns x channels"
            )
        if self.change == "dihedral" and item.shape[1] != item.shape[2]:
            raise OperationError(f"{name!r} is no square: dihedral would change its shape")
        if self.noise and item.dtype.kind != "f":
            raise OperationError(f"{name!r} is {item.dtype}: noise wants floating point numbers")

    def _changed(self, number: int, times: int) -> Change:
        def change(part: Any, places: Any) -> Any:
            result = np.array(part)
            for at, place in enumerate(places):
                row, copy = divmod(int(place), times)
                if copy:
                    # The turn is the row's; the noise each column's.
                    rng = np.random.default_rng([self.seed, row, copy])
                    found = part[at] if self.change == "none" else NAMES[self.change](part[at], rng)
                    rng = np.random.default_rng([self.seed, row, copy, number])
                    noise = rng.normal(0, self.noise, found.shape) if self.noise else 0
                    result[at] = found + noise
            return result

        return change
