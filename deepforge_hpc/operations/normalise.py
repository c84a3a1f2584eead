"""Normalisation: measured on the rows to learn from, applied to all others."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from deepforge_hpc.operations.errors import OperationError, fits
from deepforge_hpc.operations.tables import blocks, column, no_numbers, read, rewrite, row_count

if TYPE_CHECKING:
    import h5py


class FitNormalisation:
    """Measures offset and scale of columns, on the rows to learn from and on no others.

    `standard`: mean and standard deviation (of the population, ddof 0). `minmax`: the least, and
    the range. `robust`: the median, and the distance of the quartiles. NaN does not count. Where
    all values are equal the scale is 1. `Normalise` applies it: x' = (x - offset) / scale.

    Args:
        train: the rows to learn from.
        columns: which columns, by name.
        method: how offset and scale are measured.
        per: `feature`: each place of a row has its own; `channel`: each last axis (an image's
            bands) has; `column`: one for all of the column.
        scaling: offset, scale and number of values, by column.

    Source: Chan, Golub, LeVeque 1983, American Statistician 37, 242 (variances of parts, joined).

    >>> fit = FitNormalisation(["x"]).execute({"x": np.array([1.0, 3.0, np.nan])})
    >>> fit["columns"]["x"]["offset"], fit["columns"]["x"]["scale"]
    (2.0, 1.0)
    """

    def __init__(
        self,
        columns: list[str],
        method: Literal["standard", "minmax", "robust"] = "standard",
        per: Literal["feature", "channel", "column"] = "feature",
    ):
        if not columns:
            raise OperationError("columns: name at least one")
        self.columns, self.method, self.per = columns, method, per

    def execute(self, train: h5py.File) -> dict[str, Any]:
        found = {name: self._fit(name, column(train, name)) for name in self.columns}
        scaling = {"method": self.method, "per": self.per, "columns": found}
        return scaling

    def _fit(self, name: str, item: Any) -> dict[str, Any]:
        if item.dtype.kind not in "biuf":
            raise no_numbers(name, item)
        measure = _robust if self.method == "robust" else _by_blocks
        parts = (self._by_place(name, read(item, rows)) for rows in blocks(item))
        with fits(f"what is measured of {name!r}"):
            count, offset, scale = measure(parts, self.method)
        if not np.all(count):
            raise OperationError(f"{name!r} has no value at all in some place, only NaN")
        scale = np.where(scale == 0, 1.0, scale)
        return {"offset": offset.tolist(), "scale": scale.tolist(), "values": int(np.max(count))}

    def _by_place(self, name: str, part: Any) -> Any:
        """Return a block in float64 whose first axis is what is measured over."""
        part = part.astype(np.float64)
        if np.isinf(part).any():
            raise OperationError(f"{name!r} has infinite values: nothing scales them")
        if self.per == "column" or part.ndim == 1:
            return part.reshape(-1)
        return part.reshape(-1, part.shape[-1]) if self.per == "channel" else part


class Normalise:
    """Applies a normalisation that was measured elsewhere: x' = (x - offset) / scale.

    NaN stays NaN. Other columns go along as they are.

    Args:
        dataset: the table.
        scaling: of `FitNormalisation`.
        invert: the way back: x = x' scale + offset.
        dtype: of the columns that are changed.
        normalised: the table, with these columns changed.

    Source: x' as in Bishop 2006, Pattern Recognition and Machine Learning, section 9.1.

    >>> scaling = {"columns": {"x": {"offset": 2.0, "scale": 0.5}}}
    >>> Normalise().execute({"x": np.array([1.0, 3.0])}, scaling)["x"].tolist()
    [-2.0, 2.0]
    """

    def __init__(
        self,
        invert: bool = False,
        dtype: Literal["float32", "float64"] = "float32",
    ):
        self.invert, self.dtype = invert, dtype

    def execute(self, dataset: h5py.File, scaling: dict[str, Any]) -> h5py.File:
        change = {}
        for name, (offset, scale) in _scaling(scaling).items():
            item = column(dataset, name)
            shape = item.shape[1:]
            if item.dtype.kind not in "biuf":
                raise no_numbers(name, item)
            if offset.ndim and shape[-offset.ndim :] != offset.shape:
                raise OperationError(
                    f"{name!r} has rows of the shape {shape}, and the scaling is for {offset.shape}"
                )
            change[name] = self._change(offset, scale)
        normalised = rewrite(dataset, np.arange(row_count(dataset)), change)
        return normalised

    def _change(self, offset: Any, scale: Any) -> Any:
        def change(part: Any, _places: Any) -> Any:
            part = part.astype(np.float64)
            part = part * scale + offset if self.invert else (part - offset) / scale
            return part.astype(self.dtype)

        return change


def _scaling(given: Any) -> dict[str, tuple[Any, Any]]:
    """Return offset and scale of each column; OperationError of what FitNormalisation gives not."""
    fits = given.get("columns") if isinstance(given, dict) else None
    if not isinstance(fits, dict) or not fits:
        raise OperationError("scaling is none of FitNormalisation's: it has no `columns`")
    found = {}
    for name, fit in fits.items():
        offset, scale = _array(fit, "offset"), _array(fit, "scale")
        if not (offset.size and scale.size and scale.shape in {(), offset.shape} and scale.all()):
            raise OperationError(
                f"scaling: {name!r} needs an offset and a scale, finite numbers, and no scale of 0"
            )
        found[name] = offset, scale
    return found


def _array(fit: Any, key: str) -> Any:
    """Return finite numbers; an empty array of anything else."""
    try:
        found = np.asarray(fit[key], dtype=np.float64)
    except (KeyError, TypeError, ValueError):
        return np.zeros(0)
    return found if np.isfinite(found).all() else np.zeros(0)


def _by_blocks(parts: Any, method: str) -> tuple[Any, Any, Any]:
    """Return count, offset and scale of mean or least, one block at a time."""
    count: Any = 0
    mean: Any = 0.0
    squares: Any = 0.0
    low: Any = np.inf
    high: Any = -np.inf
    for part in parts:
        known = ~np.isnan(part)
        n = known.sum(axis=0)
        filled = np.where(known, part, 0.0)
        m = filled.sum(axis=0) / np.maximum(n, 1)
        both = count + n
        step = np.where(n > 0, m - mean, 0.0)
        own = (np.where(known, part - m, 0.0) ** 2).sum(axis=0)
        squares = squares + own + step**2 * count * n / np.maximum(both, 1)
        mean, count = mean + step * n / np.maximum(both, 1), both
        low = np.minimum(low, np.where(known, part, np.inf).min(axis=0, initial=np.inf))
        high = np.maximum(high, np.where(known, part, -np.inf).max(axis=0, initial=-np.inf))
    if method == "minmax":
        return count, low, high - low
    # Of equal values, what is left of the squares is rounding.
    squares = np.where(low == high, 0.0, squares)
    return count, np.where(low == high, low, mean), np.sqrt(squares / np.maximum(count, 1))


def _robust(parts: Any, _method: str) -> tuple[Any, Any, Any]:
    """Return count, median and distance of the quartiles, of all values at once."""
    whole = np.concatenate(list(parts))
    count = (~np.isnan(whole)).sum(axis=0)
    if not np.all(count):
        return count, np.float64(0), np.float64(1)
    low, middle, high = np.nanquantile(whole, [0.25, 0.5, 0.75], axis=0)
    return count, middle, high - low
