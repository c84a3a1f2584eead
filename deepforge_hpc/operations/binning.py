"""Numbers as classes, and distributions over such classes as numbers again."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, Literal

import numpy as np

from deepforge_hpc.operations.errors import OperationError, tell
from deepforge_hpc.operations.numbers import cumulative
from deepforge_hpc.operations.predictions import complete, densities
from deepforge_hpc.operations.tables import column, columns, numbers, rewrite, row_count

if TYPE_CHECKING:
    import h5py


class Bin:
    """Numbers the bins that values lie in: a regression becomes a classification.

    Bin k of `bins` equal ones holds low + k w <= value < low + (k + 1) w, w = (high - low) / bins;
    `high` itself belongs to the last. The table gets the attributes `min_COLUMN`, `max_COLUMN` and
    `bins_COLUMN`; of a column `redshift` the operations that judge or draw distributions take them
    from there, else `low` and `high` tell them. By `bins_NAME` Train refuses a network with another
    number of outputs. Values that no bin holds stop the job unless `beyond` says otherwise; how
    many they were is in report and log.

    Args:
        dataset: the table.
        column: of one number a row.
        low: where the first bin begins.
        high: where the last bin ends.
        bins: how many.
        name: column of the numbers of the bins.
        beyond: of values that no bin holds: `refuse` the table, `drop` the rows, or `clip` them
            into the first or the last bin (the value itself stays as it is).
        binned: the table with it, and `row`, where each row was, unless the table has one.
        report: rows in each bin, below and above all of them, and dropped.

    Source: Pasquet et al. 2019, A&A 621, A26, section 3 (redshifts as classes).

    >>> table = {"redshift": np.array([0.0, 0.15, 0.4, 0.5])}
    >>> binned, report = Bin("redshift", 0.4, 4, beyond="drop").execute(table)
    >>> binned["bin"].tolist(), report["above"], report["counts"]
    ([0, 1, 3], 1, [1, 1, 0, 1])
    """

    def __init__(
        self,
        column: str,
        high: float,
        bins: Annotated[int, {"min": 2, "max": 100000}],
        low: float = 0.0,
        name: str = "bin",
        beyond: Literal["refuse", "drop", "clip"] = "refuse",
    ):
        self.column, self.low, self.high, self.bins = column, low, high, bins
        self.name, self.beyond = name, beyond

    def execute(self, dataset: h5py.File) -> tuple[h5py.File, Annotated[dict[str, Any], "extra"]]:
        if not self.low < self.high:
            raise OperationError(f"low {self.low:g} must be below high {self.high:g}")
        if self.name in columns(dataset):
            raise OperationError(f"the table has a column {self.name!r} already: set name")
        count = row_count(dataset)
        found = numbers(dataset, self.column)
        if found.shape != (count,):
            raise OperationError(
                f"{self.column!r} has the shape {found.shape}: it needs one number a row"
            )
        complete({self.column: found}, "refuse")
        low, high = self._rounded(column(dataset, self.column).dtype)
        below, above = found < low, found > high
        keep = self._kept(found, below | above)
        edges = np.linspace(self.low, self.high, self.bins + 1)
        places = np.clip(np.searchsorted(edges, found, side="right") - 1, 0, self.bins - 1)
        places = places.astype(np.int32)
        extra = {self.name: places[keep], **self._limits()}
        if "row" not in columns(dataset):
            extra["row"] = keep
        binned = rewrite(dataset, keep, extra=extra)
        report = {
            "rows": len(keep),
            "below": int(below.sum()),
            "above": int(above.sum()),
            "dropped": count - len(keep),
            "counts": np.bincount(places[keep], minlength=self.bins).tolist(),
        }
        return binned, report

    def _limits(self) -> dict[str, Any]:
        limits = {"min": self.low, "max": self.high, "bins": self.bins}
        found = {f"@{name}_{self.column}": value for name, value in limits.items()}
        return {**found, f"@bins_{self.name}": self.bins}

    def _rounded(self, dtype: Any) -> tuple[float, float]:
        """Return the limits: 0.4 in 32 bits is a little more, and still the upper limit."""
        if dtype.kind != "f":
            return self.low, self.high
        return min(self.low, float(dtype.type(self.low))), max(
            self.high, float(dtype.type(self.high))
        )

    def _kept(self, found: Any, beyond: Any) -> Any:
        """Return the numbers of the rows that stay."""
        if not beyond.any():
            return np.arange(len(found))
        said = (
            f"{self.column!r} is beyond the bins, {self.low:g} to {self.high:g}, in "
            f"{int(beyond.sum())} of {len(found)} rows (from {found[beyond].min():g} to "
            f"{found[beyond].max():g})"
        )
        if self.beyond == "refuse":
            raise OperationError(
                f"{said}: set low and high, or beyond to drop (such rows are left out) or to clip "
                "(they count as the first or the last bin)"
            )
        if self.beyond == "drop" and beyond.all():
            raise OperationError(f"{said}: no row would be left")
        did = "dropped" if self.beyond == "drop" else "put into the first or the last bin"
        tell(f"{said}: {did}")
        return np.flatnonzero(~beyond) if self.beyond == "drop" else np.arange(len(found))


class PointEstimate:
    """Adds to distributions over bins one number for each, and how wide they are.

    Taken as even within each bin: `mean` = sum p m, m the middles; `median`, where F = 1/2; `mode`,
    the middle of the bin that is densest (of equals the first). `NAME_deviation` is the standard
    deviation, sqrt(sum p (m^2 + w^2 / 12) - mean^2), w the widths. Probabilities are divided by
    their sum.

    Args:
        predictions: a table with a distribution in each row.
        pdf: column of the distributions, (n, bins).
        how: which number.
        name: column of it.
        low: lower limit of the bins; the table's `min_redshift`, or 0.
        high: upper limit of the bins; the table's `max_redshift`.
        edges: data set of the edges of the bins, in place of both.
        estimated: the table with both columns.

    Source: Wilks 2011, Statistical Methods in the Atmospheric Sciences, chapter 4 (moments).

    >>> table = {"pdf": np.array([[0.5, 0.5, 0.0, 0.0]]), "row": np.array([0])}
    >>> estimated = PointEstimate(high=0.4).execute(table)
    >>> [round(float(estimated[name][0]), 4) for name in ("predicted", "predicted_deviation")]
    [0.1, 0.0577]
    """

    def __init__(
        self,
        pdf: str = "pdf",
        how: Literal["mean", "median", "mode"] = "mean",
        name: str = "predicted",
        low: float | None = None,
        high: float | None = None,
        edges: str = "",
    ):
        self.pdf, self.how, self.name, self.limits = pdf, how, name, (low, high, edges)

    def execute(self, predictions: h5py.File) -> h5py.File:
        pdf, edges = densities(predictions, self.pdf, *self.limits)
        complete({self.pdf: pdf}, "refuse")
        new = [self.name, f"{self.name}_deviation"]
        if taken := [name for name in new if name in columns(predictions)]:
            raise OperationError(f"the table has a column {taken[0]!r} already: set name")
        middle, width = (edges[1:] + edges[:-1]) / 2, np.diff(edges)
        share = pdf / pdf.sum(axis=1, keepdims=True)
        mean = share @ middle
        square = share @ (middle**2 + width**2 / 12)
        number = {
            "mean": lambda: mean,
            "median": lambda: _median(share, edges),
            "mode": lambda: middle[(share / width).argmax(axis=1)],
        }[self.how]()
        deviation = np.sqrt(np.maximum(square - mean**2, 0))
        extra = dict(zip(new, (number, deviation), strict=True))
        estimated = rewrite(predictions, np.arange(len(pdf)), extra=extra)
        return estimated


def _median(pdf: Any, edges: Any) -> Any:
    """Return where the distribution of each row reaches 1/2."""
    below = cumulative(pdf)
    place = (below[:, 1:] < 0.5).sum(axis=1)
    rows = np.arange(len(pdf))
    low, high = below[rows, place], below[rows, place + 1]
    return edges[place] + (0.5 - low) / (high - low) * np.diff(edges)[place]
