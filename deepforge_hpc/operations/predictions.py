"""What measures and figures take from a table of predictions, checked."""

from __future__ import annotations

from typing import Any

import numpy as np

from deepforge_hpc.operations.errors import OperationError
from deepforge_hpc.operations.tables import attributes, numbers, values

SUM_OFF = 1e-3
"""How far from 1 the probabilities of a row may sum up: more than 32 bits leave."""


_MOST_CLASSES = 10_000


def complete(columns: dict[str, Any], missing: str) -> tuple[dict[str, Any], int]:
    """Return columns without the rows that hold NaN or infinities, and how many those were.

    Raises OperationError of them if `missing` is `refuse`, and where no row is left.
    """
    lengths = {name: len(item) for name, item in columns.items()}
    if len(set(lengths.values())) > 1:
        raise OperationError(f"columns of different lengths: {lengths}")
    count = next(iter(lengths.values()))
    good = np.ones(count, dtype=bool)
    for name, item in columns.items() if count else ():
        bad = ~np.isfinite(item).reshape(count, -1).all(axis=1)
        if bad.any() and missing == "refuse":
            raise OperationError(
                f"{name!r} is not finite in {int(bad.sum())} of {count} rows, the first of them "
                f"row {int(np.flatnonzero(bad)[0])} (from 0); missing: drop leaves such rows out, "
                "and counts them"
            )
        good &= ~bad
    if not good.any():
        raise OperationError(f"there is no row to judge by: {count} rows, none of them whole")
    return {name: item[good] for name, item in columns.items()}, int(count - good.sum())


def redshift_errors(name: str, truth: Any, predicted: Any) -> Any:
    """Return (predicted - true) / (1 + true); OperationError of what is no redshift."""
    bad = truth <= -1
    if bad.any():
        raise OperationError(
            f"{name!r} holds no redshifts: 1 + z must be above 0, and {int(bad.sum())} of "
            f"{len(truth)} are -1 or less, as {truth[bad][0]:g}"
        )
    return (predicted - truth) / (1 + truth)


def class_names(names: list[str] | None, classes: int) -> list[str]:
    """Return the names of classes, by default their numbers; OperationError of too few or many."""
    found = names or [str(number) for number in range(classes)]
    if len(found) != classes:
        raise OperationError(f"names has {len(found)}, and there are {classes} classes")
    return found


def truth_and_probabilities(
    table: Any, truth: str, prediction: str, kind: str, missing: str
) -> tuple[Any, Any, int]:
    """Return true classes (n,), probabilities (n, k), and how many rows were left out.

    `kind`: probabilities | logits | labels, of which the probabilities are 0 and 1.
    """
    given = {
        truth: numbers(table, truth, "truth"),
        prediction: numbers(table, prediction, "prediction"),
    }
    found, dropped = complete(given, missing)
    true = _labels(truth, found[truth])
    scores = found[prediction]
    if scores.ndim > 2:
        raise OperationError(f"{prediction!r} has rows of the shape {scores.shape[1:]}")
    if scores.ndim == 2 and scores.shape[1] == 1:
        scores = scores[:, 0]
    if kind == "labels":
        said = _labels(prediction, scores)
        scores = np.eye(int(max(true.max(), said.max())) + 1)[said]
    elif kind == "logits":
        scores = _softmax(scores)
    elif scores.ndim == 1:
        scores = np.stack([1 - scores, scores], axis=1)
    _refuse_no_probabilities(prediction, scores)
    if true.max() >= scores.shape[1]:
        raise OperationError(
            f"{truth!r} has the class {true.max()}, and {prediction!r} knows {scores.shape[1]}: "
            f"0 to {scores.shape[1] - 1}"
        )
    return true, scores, dropped  # as they are: to divide by the sum would break ties


def _labels(name: str, found: Any) -> Any:
    """Return class numbers; of rows of 0 and one 1, the place of the 1."""
    if found.ndim == 2 and found.shape[1] > 1:
        if not ((found == 0) | (found == 1)).all() or not (found.sum(axis=1) == 1).all():
            raise OperationError(f"{name!r}: each row needs one 1, and 0 elsewhere")
        return found.argmax(axis=1)
    if found.size != len(found):
        raise OperationError(f"{name!r} has rows of the shape {found.shape[1:]}: one class a row")
    found = found.reshape(-1)
    bad = (found < 0) | (found != np.floor(found)) | (found >= _MOST_CLASSES)
    if bad.any():
        raise OperationError(
            f"{name!r} holds no class numbers from 0: {found[bad][0]:g} is none (whole, and below "
            f"{_MOST_CLASSES:,})"
        )
    return found.astype(np.int64)


def _softmax(scores: Any) -> Any:
    if scores.ndim == 1:  # of one class against the other
        scores = np.stack([np.zeros_like(scores), scores], axis=1)
    powers = np.exp(scores - scores.max(axis=1, keepdims=True))
    return powers / powers.sum(axis=1, keepdims=True)


def _refuse_no_probabilities(name: str, scores: Any) -> None:
    sums = scores.sum(axis=1)
    worst = int(np.abs(sums - 1).argmax())
    if (scores < 0).any() or abs(sums[worst] - 1) > SUM_OFF:
        raise OperationError(
            f"{name!r} holds no probabilities: row {worst} sums to {sums[worst]:.4g}, the least "
            f"value is {scores.min():.4g}; is it of another kind, logits or labels?"
        )


def densities(
    table: Any, pdf: str, low: float | None, high: float | None, edges: str
) -> tuple[Any, Any]:
    """Return (n, k) probabilities of bins and their k + 1 edges.

    The edges are a data set of the table, or `low` to `high` in equal steps, which are the table's
    attributes `min_redshift` (0 without) and `max_redshift` if they are not given. As many bins as
    labels had (`bins_redshift`), if the table tells.
    """
    found = numbers(table, pdf, "pdf")
    if found.ndim != 2:
        raise OperationError(f"{pdf!r} has rows of the shape {found.shape[1:]}: it needs bins")
    if edges:
        limits = np.asarray(values(table, edges), dtype=np.float64)
    else:
        own = attributes(table)
        low = float(own.get("@min_redshift", 0.0)) if low is None else low
        high = own.get("@max_redshift") if high is None else high
        if high is None:
            raise OperationError("the bins have no limits: set high, or edges to a data set")
        if not low < float(high):
            raise OperationError(
                f"the bins begin at {low:g} and end at {high:g}: low is below high"
            )
        limits = np.linspace(low, float(high), found.shape[1] + 1)
        if own.get("@bins_redshift", found.shape[1]) != found.shape[1]:
            raise OperationError(
                f"{pdf!r} has {found.shape[1]} bins, and the labels had {own['@bins_redshift']} "
                "(the table's attribute bins_redshift): give the network as many outputs"
            )
    if limits.shape != (found.shape[1] + 1,):
        raise OperationError(
            f"{found.shape[1]} bins need {found.shape[1] + 1} edges that rise, not {limits.shape}"
        )
    if not (np.diff(limits) > 0).all():
        raise OperationError(f"the edges of the bins do not rise: {limits.tolist()[:5]}")
    finite = found[np.isfinite(found).all(axis=1)]
    if len(finite):
        _refuse_no_probabilities(pdf, finite)
    return found, limits
