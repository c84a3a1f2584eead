"""Splits of a table into rows to learn from and rows to judge by, so that nothing leaks."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import numpy as np

from deepforge_hpc.operations.errors import OperationError
from deepforge_hpc.operations.fields import unknown
from deepforge_hpc.operations.tables import columns, no_numbers, rewrite, row_count, values

if TYPE_CHECKING:
    import h5py


class Split:
    """Splits a table into train, validation and test.

    Rows that share a value in any column of `groups` (a patient, a galaxy seen twice) come into the
    same part, whatever else links them. With `strata` each part has the same mix: rows, or whole
    groups, of each stratum are spread evenly, as in systematic sampling: of rows without groups a
    part has its share of each stratum, to the next row or two. The same seed gives the
    same parts. Rows keep their order, and `row` says where each was, unless the table has one.

    Args:
        dataset: the table.
        validation: share of the rows, 0 for none; and those rows.
        test: share of the rows, 0 for none; and those rows.
        groups: column, or columns, whose equal values stay together.
        strata: column by which the parts are alike.
        strata_bins: cut `strata`, a number, into so many bins of equally many rows.
        seed: of all that is random.
        train: the rest of the rows.
        report: rows of each part, and of each stratum in it.

    Source: Cochran 1977, Sampling Techniques, chapter 8 (systematic sampling within strata).

    >>> table = {"x": np.arange(10.0), "patient": np.arange(10) // 2}
    >>> train, validation, test, report = Split(0.2, 0.2, groups="patient").execute(table)
    >>> report["rows"]
    {'train': 6, 'validation': 2, 'test': 2}
    >>> set(train["patient"]) & set(test["patient"])
    set()
    """

    def __init__(
        self,
        validation: Annotated[float, {"min": 0.0, "max": 0.9}] = 0.1,
        test: Annotated[float, {"min": 0.0, "max": 0.9}] = 0.1,
        groups: str | list[str] = "",
        strata: str = "",
        strata_bins: Annotated[int, {"min": 0, "max": 1000}] = 0,
        seed: int = 0,
    ):
        if validation + test >= 1:
            raise OperationError(
                f"validation {validation:g} and test {test:g} leave no row to learn from"
            )
        if strata_bins and not strata:
            raise OperationError(
                f"strata_bins: {strata_bins} bins of no column: name one by strata"
            )
        self.validation, self.test = validation, test
        self.groups, self.strata, self.strata_bins, self.seed = groups, strata, strata_bins, seed

    def execute(self, dataset: h5py.File) -> tuple[h5py.File, h5py.File, h5py.File, dict[str, Any]]:
        count = row_count(dataset)
        rows = np.arange(count)
        order = _SplitOrder(dataset, self.groups, self.strata, self.strata_bins, self.seed)
        limits = np.cumsum([round(self.test * count), round(self.validation * count)])
        part = np.searchsorted(limits, order.middle, side="right")
        parts = {"train": rows[part == 2], "validation": rows[part == 1], "test": rows[part == 0]}
        shares = {"train": 1.0, "validation": self.validation, "test": self.test}
        for name, chosen in parts.items():
            if shares[name] and not len(chosen):
                hint = f"{count} rows in {order.units} groups do not give each part some"
                raise OperationError(f"no row is left for {name}: {hint}")
        train, validation, test = (_take(dataset, chosen) for chosen in parts.values())
        report = _report(parts, order)
        return train, validation, test, report


class KFold:
    """Takes one of k folds to validate with, and the others to learn from.

    Each row is in one fold. All k operations of a cross-validation have equal `folds` and `seed`,
    and another `fold` each. Groups and strata are as in `Split`; take the rows for a final test off
    before, by a `Split`.

    Args:
        dataset: the table.
        folds: how many.
        fold: which one to validate with, from 0.
        groups: column, or columns, whose equal values stay together.
        strata: column by which the folds are alike.
        strata_bins: cut `strata`, a number, into so many bins of equally many rows.
        seed: of all that is random.
        train: the rows of the other folds.
        validation: the rows of this fold.
        report: rows of both, and of each stratum in them.

    Source: Stone 1974, J. R. Statist. Soc. B 36, 111 (cross-validation).

    >>> table = {"x": np.arange(9.0)}
    >>> folds = [KFold(3, fold).execute(table)[1] for fold in range(3)]
    >>> sorted(int(row) for fold in folds for row in fold["row"])
    [0, 1, 2, 3, 4, 5, 6, 7, 8]
    """

    def __init__(
        self,
        folds: Annotated[int, {"min": 2, "max": 1000}] = 5,
        fold: Annotated[int, {"min": 0, "max": 999}] = 0,
        groups: str | list[str] = "",
        strata: str = "",
        strata_bins: Annotated[int, {"min": 0, "max": 1000}] = 0,
        seed: int = 0,
    ):
        if fold >= folds:
            raise OperationError(f"fold {fold} is none of the {folds}: they count from 0")
        if strata_bins and not strata:
            raise OperationError(
                f"strata_bins: {strata_bins} bins of no column: name one by strata"
            )
        self.folds, self.fold, self.seed = folds, fold, seed
        self.groups, self.strata, self.strata_bins = groups, strata, strata_bins

    def execute(self, dataset: h5py.File) -> tuple[h5py.File, h5py.File, dict[str, Any]]:
        count = row_count(dataset)
        order = _SplitOrder(dataset, self.groups, self.strata, self.strata_bins, self.seed)
        fold = np.floor(order.middle * self.folds / count).astype(int)
        if empty := set(range(self.folds)) - set(fold.tolist()):
            hint = f"{count} rows in {order.units} groups"
            raise OperationError(f"{len(empty)} of {self.folds} folds have no row: {hint}")
        rows = np.arange(count)
        parts = {"train": rows[fold != self.fold], "validation": rows[fold == self.fold]}
        train, validation = (_take(dataset, chosen) for chosen in parts.values())
        report = _report(parts, order)
        return train, validation, report


class _SplitOrder:
    """An order of the rows, groups together, in which each stretch has the mix of the whole."""

    def __init__(
        self, table: Any, groups: str | list[str], strata: str, bins: int, seed: int
    ) -> None:
        count = row_count(table)
        if not count:
            raise OperationError("the table has no rows to split")
        rng = np.random.default_rng(seed)
        names = [groups] if isinstance(groups, str) and groups else list(groups)
        unit = _units(table, names, count)
        sizes = np.bincount(unit)
        self.units = len(sizes)
        self.labels, self.stratum = _strata(table, strata, bins, count)
        of_unit = _majority(unit, self.stratum, self.units)
        key = np.empty(self.units)
        mixed = rng.permutation(self.units)
        for stratum in range(len(self.labels)):
            members = mixed[of_unit[mixed] == stratum]
            size = sizes[members]
            before = np.cumsum(size) - size
            key[members] = (before + rng.random() * size) / max(1, size.sum())
        order = mixed[np.argsort(key[mixed], kind="stable")]
        middle = np.empty(self.units)
        middle[order] = np.cumsum(sizes[order]) - sizes[order] / 2
        self.middle = middle[unit]
        """Of each row: where its group's middle lies in the order, from 0 to the number of rows."""


def _units(table: Any, names: list[str], count: int) -> Any:
    """Return the number of each row's group: what shares a value in any column is one."""
    label = np.arange(count)
    codes = [_codes(table, name, count) for name in names]
    if len(codes) == 1:
        return codes[0]
    changed = bool(codes)
    while changed:
        before = label
        for code in codes:
            least = np.full(code.max() + 1, count)
            np.minimum.at(least, code, label)
            label = least[code]
        changed = bool((label != before).any())
    return np.unique(label, return_inverse=True)[1]


def _codes(table: Any, name: str, count: int) -> Any:
    found = _of_rows(table, name, count)
    if missing := int(unknown(found).sum()):
        raise OperationError(
            f"groups: {name!r} is not known (NaN, empty, NA) in {missing} rows, which may belong "
            "to any group; missing: drop of Load leaves such rows out"
        )
    return np.unique(found, return_inverse=True)[1].reshape(-1)


def _strata(table: Any, name: str, bins: int, count: int) -> tuple[list[str], Any]:
    if not name:
        return ["all"], np.zeros(count, dtype=int)
    found = _of_rows(table, name, count)
    if bins:
        if found.dtype.kind not in "biuf":
            raise no_numbers(name, found)
        edges = np.nanquantile(found, np.linspace(0, 1, bins + 1)[1:-1])
        found = np.where(np.isnan(found), -1, np.searchsorted(edges, found, side="right"))
    labels, code = np.unique(found, return_inverse=True)
    return [str(label) for label in labels], code.reshape(-1)


def _of_rows(table: Any, name: str, count: int) -> Any:
    found = values(table, name)
    if found.shape != (count,):
        raise OperationError(f"{name!r} has the shape {found.shape}: it needs one value a row")
    return found


def _majority(unit: Any, stratum: Any, units: int) -> Any:
    """Return the stratum that most rows of each group have; of equals, the first."""
    kinds = int(stratum.max()) + 1
    pairs, counts = np.unique(unit * kinds + stratum, return_counts=True)
    order = np.lexsort((-pairs, counts))  # the last to be written wins
    found = np.empty(units, dtype=int)
    found[pairs[order] // kinds] = pairs[order] % kinds
    return found


def _take(table: Any, rows: Any) -> Any:
    return rewrite(table, rows, extra=None if "row" in columns(table) else {"row": rows})


def _report(parts: dict[str, Any], order: _SplitOrder) -> dict[str, Any]:
    report: dict[str, Any] = {"rows": {name: len(rows) for name, rows in parts.items()}}
    report["groups"] = order.units
    if len(order.labels) > 1:
        report["strata"] = {
            label: {
                name: int(np.count_nonzero(order.stratum[rows] == number))
                for name, rows in parts.items()
            }
            for number, label in enumerate(order.labels)
        }
    return report
