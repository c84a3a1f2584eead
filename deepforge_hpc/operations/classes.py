"""Measures of a classification, on plain arrays: nothing is averaged over what is not defined.

`truth`: (n,) class numbers; `scores`: (n,) of one class; `probabilities`: (n, k), rows sum to 1.
"""

from __future__ import annotations

from typing import Any

import numpy as np

_LEAST = np.finfo(np.float64).eps
"""A probability of 0 for what happened would make a logarithm infinite: it counts as this."""


def confusion(truth: Any, predicted: Any, classes: int) -> Any:
    """Return (k, k) counts: rows are true classes, columns are predicted ones."""
    counts = np.bincount(truth * classes + predicted, minlength=classes * classes)
    return counts.reshape(classes, classes)


def ratio(part: float, whole: float) -> float | None:
    """Return part / whole; None of nothing: no row says anything about it."""
    return float(part / whole) if whole else None


def mean_of(values: list[float | None]) -> float | None:
    """Return the mean of those that are defined; None without any."""
    known = [value for value in values if value is not None]
    return float(np.mean(known)) if known else None


def roc_auc(positive: Any, scores: Any) -> float | None:
    """Return the area under the ROC curve: the chance that a positive scores above a negative.

    (U / (n+ n-), with U of Mann and Whitney 1947, Ann. Math. Statist. 18, 50; ties count half.)
    None without a positive or without a negative.
    """
    plus = int(np.count_nonzero(positive))
    minus = len(positive) - plus
    if not plus or not minus:
        return None
    return float((mid_ranks(scores)[positive].sum() - plus * (plus + 1) / 2) / (plus * minus))


def mid_ranks(values: Any) -> Any:
    """Return ranks from 1; equal values share the mean of theirs."""
    _, place, counts = np.unique(values, return_inverse=True, return_counts=True)
    last = np.cumsum(counts)
    return (last - (counts - 1) / 2)[place.reshape(-1)]


def thresholds(positive: Any, scores: Any) -> tuple[Any, Any]:
    """Return how many positives and negatives score as high or higher, for each score."""
    order = np.argsort(-scores, kind="stable")
    ordered, hits = scores[order], positive[order]
    ends = np.append(np.flatnonzero(ordered[1:] != ordered[:-1]), len(ordered) - 1)
    true = np.cumsum(hits)[ends]
    return true, ends + 1 - true


def average_precision(positive: Any, scores: Any) -> float | None:
    """Return sum over thresholds of (recall - recall before) precision; None without a positive.

    Not a trapezium: between thresholds there is no classifier (Davis and Goadrich 2006, ICML 23).
    """
    plus = int(np.count_nonzero(positive))
    if not plus:
        return None
    true, false = thresholds(positive, scores)
    gained = np.diff(true, prepend=0) / plus
    return float(np.sum(gained * true / (true + false)))


def log_loss(truth: Any, probabilities: Any) -> float:
    """Return -mean log p(true class), in nats (Good 1952, J. R. Statist. Soc. B 14, 107)."""
    own = np.clip(probabilities[np.arange(len(truth)), truth], _LEAST, 1.0)
    return float(-np.log(own).mean())


def brier(truth: Any, probabilities: Any) -> float:
    """Return mean sum_k (p_k - [k is true])^2, 0 to 2 (Brier 1950, Mon. Weather Rev. 78, 1)."""
    hit = np.zeros_like(probabilities)
    hit[np.arange(len(truth)), truth] = 1.0
    return float(((probabilities - hit) ** 2).sum(axis=1).mean())


def reliability(confidence: Any, right: Any, bins: int) -> tuple[Any, Any, Any]:
    """Return count, mean confidence and share of right ones of bins (0, 1/b], (1/b, 2/b], ...

    What is exactly 0 is in the first. Of empty bins the means are NaN.
    """
    place = np.clip(np.ceil(confidence * bins).astype(int) - 1, 0, bins - 1)
    count = np.bincount(place, minlength=bins)
    with np.errstate(invalid="ignore"):
        said = np.bincount(place, confidence, bins) / count
        found = np.bincount(place, right, bins) / count
    return count, said, found


def calibration_error(confidence: Any, right: Any, bins: int) -> float:
    """Return sum over bins of their share of rows times |confidence - share of right ones|.

    (Guo et al. 2017, ICML 34, equation 3.)
    """
    count, said, found = reliability(confidence, right, bins)
    has = count > 0
    return float(np.sum(count[has] * np.abs(said[has] - found[has])) / count.sum())


def matthews(counts: Any) -> float | None:
    """Return the correlation of truth and prediction from a confusion matrix, -1 to 1.

    (Gorodkin 2004, Comput. Biol. Chem. 28, 367.) None where one of them is constant.
    """
    counts = counts.astype(np.float64)
    total, right = counts.sum(), np.trace(counts)
    true, said = counts.sum(axis=1), counts.sum(axis=0)
    spread = (total**2 - said @ said) * (total**2 - true @ true)
    return float((right * total - true @ said) / np.sqrt(spread)) if spread > 0 else None
