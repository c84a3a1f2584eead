"""Measures of predicted numbers and of predicted distributions, on plain arrays."""

from __future__ import annotations

from typing import Any

import numpy as np

from deepforge_hpc.operations.classes import mid_ranks


def finite(found: Any) -> Any:
    """Return a document with None for each number that is NaN or infinite: JSON has none."""
    if isinstance(found, dict):
        return {name: finite(item) for name, item in found.items()}
    if isinstance(found, list):
        return [finite(item) for item in found]
    return None if isinstance(found, float) and not np.isfinite(found) else found


def r_squared(truth: Any, predicted: Any) -> float | None:
    """Return 1 - sum (y - p)^2 / sum (y - mean y)^2; None where all true values are equal."""
    if truth.min() == truth.max():
        return None
    spread = ((truth - truth.mean()) ** 2).sum()
    return float(1 - ((truth - predicted) ** 2).sum() / spread)


def pearson(one: Any, other: Any) -> float | None:
    """Return the correlation of two arrays; None where one of them is constant."""
    if one.min() == one.max() or other.min() == other.max():
        return None
    one, other = one - one.mean(), other - other.mean()
    one, other = one / np.abs(one).max(), other / np.abs(other).max()  # squares may overflow
    return float(np.clip((one @ other) / np.sqrt((one @ one) * (other @ other)), -1.0, 1.0))


def spearman(one: Any, other: Any) -> float | None:
    """Return the correlation of ranks, ties sharing the mean of theirs."""
    return pearson(mid_ranks(one), mid_ranks(other))


def sigma_mad(values: Any) -> float:
    """Return 1.4826 median|x - median(x)|: of a normal distribution, its sigma."""
    return float(1.4826 * np.median(np.abs(values - np.median(values))))


def cumulative(pdf: Any) -> Any:
    """Return (n, k + 1) probabilities below each edge of k bins, from 0 to 1."""
    sums = np.cumsum(pdf, axis=1)
    return np.concatenate([np.zeros((len(pdf), 1)), sums / sums[:, -1:]], axis=1)


def pit(pdf: Any, truth: Any, edges: Any) -> Any:
    """Return F(truth) of distributions that are even within each bin: (n, k), (n,), (k + 1,)."""
    below = cumulative(pdf)
    place = np.clip(np.searchsorted(edges, truth, side="right") - 1, 0, len(edges) - 2)
    rows = np.arange(len(truth))
    share = np.clip((truth - edges[place]) / (edges[place + 1] - edges[place]), 0.0, 1.0)
    return below[rows, place] * (1 - share) + below[rows, place + 1] * share


def crps(pdf: Any, truth: Any, edges: Any) -> Any:
    """Return the integral of (F(x) - [truth <= x])^2 over x, of each row.

    F is that of a distribution that is even within each bin, so the integral is exact: of a line
    from a to b over the width w it is w (a^2 + a b + b^2) / 3. A true value beyond the bins adds
    its distance.
    """
    below = cumulative(pdf)
    width = np.diff(edges)
    at = pit(pdf, truth, edges)
    place = np.clip(np.searchsorted(edges, truth, side="right") - 1, 0, len(width) - 1)
    low, high = below[:, :-1], below[:, 1:]
    before, after = width * _line(low, high), width * _line(low - 1, high - 1)
    bins = np.arange(len(width))
    whole = np.where(bins < place[:, None], before, np.where(bins > place[:, None], after, 0.0))
    inside = np.clip(truth, edges[0], edges[-1])
    rows = np.arange(len(truth))
    own = (inside - edges[place]) * _line(low[rows, place], at)
    own += (edges[place + 1] - inside) * _line(at - 1, high[rows, place] - 1)
    return whole.sum(axis=1) + own + np.abs(truth - inside)


def _line(start: Any, end: Any) -> Any:
    return (start**2 + start * end + end**2) / 3


def uniform_distance(values: Any) -> float:
    """Return the largest distance of their distribution from the uniform one on 0 to 1.

    (The statistic D of Kolmogorov and Smirnov.)
    """
    ordered = np.sort(values)
    count = len(ordered)
    above = np.arange(1, count + 1) / count - ordered
    below = ordered - np.arange(count) / count
    return float(max(above.max(), below.max()))
