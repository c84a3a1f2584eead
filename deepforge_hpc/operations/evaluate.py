"""How good predictions are: classes, numbers, and redshifts with their distributions."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, Literal

import numpy as np

from deepforge_hpc.job import log
from deepforge_hpc.operations import classes as measure
from deepforge_hpc.operations import numbers as distance
from deepforge_hpc.operations.errors import OperationError
from deepforge_hpc.operations.predictions import (
    class_names,
    complete,
    densities,
    redshift_errors,
    truth_and_probabilities,
)
from deepforge_hpc.operations.tables import columns, numbers

if TYPE_CHECKING:
    import h5py


class EvaluateClassification:
    """Measures predicted classes against true ones.

    accuracy; balanced_accuracy = mean recall of the classes that occur; f1 = 2 TP / (2 TP + FP +
    FN), its mean over classes that occur or are predicted (macro) and by their rows (weighted);
    roc_auc and average_precision of each class against all others; log_loss = -mean log p(true), in
    nats; brier = mean sum (p - [true])^2; calibration_error of the largest probability; matthews,
    the correlation of classes. What no row says anything about, as the recall of a class without
    rows or the correlation of one class alone, is null, and counts in no mean. Equal probabilities:
    the first class is predicted. Of labels there are no probabilities, so what needs them is left
    out.

    Args:
        predictions: a table with a row for each prediction.
        truth: column of the class numbers from 0, or of rows with one 1.
        prediction: column of what was predicted, (n, k), or (n,) of two classes.
        kind: what it holds.
        names: of the classes, in order.
        top: also the share of rows whose true class is among so many largest ones.
        bins: of the calibration error.
        missing: of rows that are not finite: `refuse` the table, or `drop` and count them.
        metrics: all of this, `confusion` (rows are true classes) and `classes`, one by one.

    Source: Sokolova and Lapalme 2009, Inf. Process. Manag. 45, 427; each formula's in classes.py.

    >>> table = {"label": np.array([0, 1, 1]), "prediction": np.array([0.2, 0.9, 0.4])}
    >>> metrics = EvaluateClassification().execute(table)
    >>> round(metrics["accuracy"], 3), metrics["roc_auc"], metrics["confusion"]
    (0.667, 1.0, [[1, 0], [1, 1]])
    """

    def __init__(
        self,
        truth: str = "label",
        prediction: str = "prediction",
        kind: Literal["probabilities", "logits", "labels"] = "probabilities",
        names: list[str] | None = None,
        top: Annotated[int, {"min": 1}] = 1,
        bins: Annotated[int, {"min": 1, "max": 1000}] = 15,
        missing: Literal["refuse", "drop"] = "refuse",
    ):
        if truth == prediction:
            raise OperationError(f"truth and prediction are one column, {truth!r}: name both")
        if names and len(set(names)) < len(names):
            raise OperationError(f"names: two classes have one name: {names}")
        if kind == "labels" and top > 1:
            raise OperationError(f"top: of labels there are no {top} largest: kind is labels")
        self.truth, self.prediction, self.kind, self.names = truth, prediction, kind, names
        self.top, self.bins, self.missing = top, bins, missing

    def execute(self, predictions: h5py.File) -> dict[str, Any]:
        true, scores, dropped = truth_and_probabilities(
            predictions, self.truth, self.prediction, self.kind, self.missing
        )
        count, classes = scores.shape
        names = class_names(self.names, classes)
        said = scores.argmax(axis=1)
        counts = measure.confusion(true, said, classes)
        has_scores = self.kind != "labels"
        each = [_of_class(counts, k, true == k, scores[:, k], has_scores) for k in range(classes)]
        metrics: dict[str, Any] = {"rows": count, "dropped": dropped} | _overall(counts, each)
        if has_scores:
            metrics |= self._of_scores(true, said, scores)
            for name in ("roc_auc", "average_precision"):
                metrics[name] = (
                    each[1][name] if classes == 2 else measure.mean_of([one[name] for one in each])
                )
        metrics = _logged(metrics)
        metrics["confusion"] = counts.tolist()
        metrics["classes"] = dict(zip(names, each, strict=True))
        return metrics

    def _of_scores(self, true: Any, said: Any, scores: Any) -> dict[str, Any]:
        found = {
            "log_loss": measure.log_loss(true, scores),
            "brier": measure.brier(true, scores),
            "calibration_error": measure.calibration_error(
                scores.max(axis=1), said == true, self.bins
            ),
        }
        if self.top > 1:
            best = np.argsort(-scores, axis=1, kind="stable")[:, : self.top]
            found[f"top_{self.top}"] = float((best == true[:, None]).any(axis=1).mean())
        return found


class EvaluateRegression:
    """Measures predicted numbers against true ones.

    With e = prediction - truth: bias = mean e; mae = mean |e|; rmse = sqrt(mean e^2);
    median_absolute_error; max_error = max |e|; sigma_mad = 1.4826 median|e - median e|; r2 = 1 -
    sum e^2 / sum (truth - mean)^2; pearson and spearman, the correlations of values and of ranks.
    r2 and correlations of constant values are null, and so is what no number holds. Of several
    numbers a row, each has its own under `targets`, and the whole is their mean.

    Args:
        predictions: a table with a row for each prediction.
        truth: column of the true numbers, (n,) or (n, d).
        prediction: column of the predicted ones.
        missing: of rows that are not finite: `refuse` the table, or `drop` and count them.
        metrics: all of this.

    Source: Wilks 2011, Statistical Methods in the Atmospheric Sciences, chapter 8.

    >>> table = {"target": np.array([1.0, 2.0, 3.0]), "prediction": np.array([1.0, 2.0, 6.0])}
    >>> metrics = EvaluateRegression().execute(table)
    >>> metrics["mae"], metrics["r2"], metrics["spearman"]
    (1.0, -3.5, 1.0)
    """

    def __init__(
        self,
        truth: str = "target",
        prediction: str = "prediction",
        missing: Literal["refuse", "drop"] = "refuse",
    ):
        if truth == prediction:
            raise OperationError(f"truth and prediction are one column, {truth!r}: name both")
        self.truth, self.prediction, self.missing = truth, prediction, missing

    def execute(self, predictions: h5py.File) -> dict[str, Any]:
        given = {
            self.truth: numbers(predictions, self.truth, "truth"),
            self.prediction: numbers(predictions, self.prediction, "prediction"),
        }
        found, dropped = complete(given, self.missing)
        true, said = (item.reshape(len(item), -1) for item in found.values())
        if true.shape != said.shape:
            shapes = f"{true.shape} against {said.shape}"
            raise OperationError(f"{self.truth!r} and {self.prediction!r} do not pair: {shapes}")
        each = [_of_numbers(*pair) for pair in zip(true.T, said.T, strict=True)]
        metrics: dict[str, Any] = {"rows": len(true), "dropped": dropped}
        metrics |= {name: measure.mean_of([one[name] for one in each]) for name in each[0]}
        metrics = _logged(metrics)
        if len(each) > 1:
            metrics["targets"] = distance.finite(each)
        return metrics


class EvaluateRedshift:
    """Measures predicted redshifts, and their distributions if there are any.

    With dz = (predicted - true) / (1 + true): bias = mean dz; sigma_mad = 1.4826 median|dz -
    median dz|; outlier_fraction = share of |dz| > outlier. Of distributions over bins, taken as
    even within each: crps = mean integral of (F(x) - [true <= x])^2 dx, in redshift; PIT = F(true),
    which is uniform where the distributions are right: its mean (1/2), deviation (0.289),
    histogram, and distance D from uniform. beyond_bins counts true values that no bin holds.

    Args:
        predictions: a table with a row for each object.
        truth: column of the true redshifts.
        prediction: column of the predicted ones; `""`: the means of the distributions.
        pdf: column of the distributions, (n, bins); may be left out of the table.
        low: lower limit of the bins; the table's `min_redshift`, or 0.
        high: upper limit of the bins; the table's `max_redshift`.
        edges: data set of the edges of the bins, in place of both.
        outlier: |dz| above which an object is one.
        pit_bins: of the histogram of the PIT.
        missing: of rows that are not finite: `refuse` the table, or `drop` and count them.
        metrics: all of this.

    Source: Pasquet et al. 2019, A&A 621, A26, section 4; Hersbach 2000, Weather and Forecasting 15,
    559 (CRPS); Dawid 1984, J. R. Statist. Soc. A 147, 278 (PIT).

    >>> table = {"redshift": np.array([0.1, 0.3]), "predicted": np.array([0.1, 0.43])}
    >>> metrics = EvaluateRedshift().execute(table)
    >>> round(metrics["bias"], 3), metrics["outlier_fraction"]
    (0.05, 0.5)
    """

    def __init__(  # noqa: PLR0913, PLR0917 - the keys of a pipeline file
        self,
        truth: str = "redshift",
        prediction: str = "predicted",
        pdf: str = "pdf",
        low: float | None = None,
        high: float | None = None,
        edges: str = "",
        outlier: Annotated[float, {"min": 0.0}] = 0.05,
        pit_bins: Annotated[int, {"min": 1, "max": 1000}] = 20,
        missing: Literal["refuse", "drop"] = "refuse",
    ):
        if truth in {prediction, pdf}:
            raise OperationError(
                f"truth and what was predicted are one column, {truth!r}: name both"
            )
        if not prediction and not pdf:
            raise OperationError("prediction and pdf are empty: name one of them at least")
        if low is not None and high is not None and not low < high:
            raise OperationError(
                f"the bins begin at {low:g} and end at {high:g}: low is below high"
            )
        if edges and (low is not None or high is not None):
            raise OperationError(
                f"edges: {edges!r} stands in place of low and high: leave those out"
            )
        self.truth, self.prediction, self.pdf = truth, prediction, pdf
        self.limits = (low, high, edges)
        self.outlier, self.pit_bins, self.missing = outlier, pit_bins, missing

    def execute(self, predictions: h5py.File) -> dict[str, Any]:
        given = {self.truth: numbers(predictions, self.truth, "truth")}
        edges = None
        if self.pdf in columns(predictions):
            given[self.pdf], edges = densities(predictions, self.pdf, *self.limits)
        if self.prediction:
            given[self.prediction] = numbers(predictions, self.prediction, "prediction")
        elif edges is None:
            raise OperationError(f"the table has no {self.pdf!r} to predict by")
        found, dropped = complete(given, self.missing)
        true = found[self.truth].reshape(-1)
        pdf = found.get(self.pdf)
        said = found[self.prediction] if self.prediction else _means(pdf, edges)
        if said.reshape(-1).shape != true.shape:
            raise OperationError(f"{self.prediction!r} needs one number a row, not {said.shape}")
        dz = redshift_errors(self.truth, true, said.reshape(-1))
        metrics: dict[str, Any] = {
            "objects": len(dz),
            "dropped": dropped,
            "bias": float(dz.mean()),
            "sigma_mad": distance.sigma_mad(dz),
            "outlier_fraction": float(np.mean(np.abs(dz) > self.outlier)),
        }
        histogram: dict[str, Any] = {}
        if edges is not None:
            more, histogram = self._of_densities(pdf, true, edges)
            metrics |= more
        metrics = _logged(metrics)
        metrics |= histogram
        return metrics

    def _of_densities(self, pdf: Any, true: Any, edges: Any) -> tuple[dict[str, Any], Any]:
        pit = distance.pit(pdf, true, edges)
        counts = np.histogram(pit, self.pit_bins, (0.0, 1.0))[0]
        return {
            "crps": float(distance.crps(pdf, true, edges).mean()),
            "pit_mean": float(pit.mean()),
            "pit_deviation": float(pit.std()),
            "pit_distance": distance.uniform_distance(pit),
            "beyond_bins": int(np.count_nonzero((true < edges[0]) | (true > edges[-1]))),
        }, {"pit_histogram": counts.tolist()}


def _means(pdf: Any, edges: Any) -> Any:
    """Return the mean of each distribution: (n, k), (k + 1,) to (n,)."""
    return pdf @ ((edges[1:] + edges[:-1]) / 2) / pdf.sum(axis=1)


def _of_class(counts: Any, k: int, positive: Any, scores: Any, has_scores: bool) -> dict[str, Any]:
    right, true, said = int(counts[k, k]), int(counts[k].sum()), int(counts[:, k].sum())
    found: dict[str, Any] = {
        "rows": true,
        "predicted": said,
        "precision": measure.ratio(right, said),
        "recall": measure.ratio(right, true),
        "f1": measure.ratio(2 * right, true + said),
    }
    if has_scores:
        found["roc_auc"] = measure.roc_auc(positive, scores)
        found["average_precision"] = measure.average_precision(positive, scores)
    return found


def _overall(counts: Any, each: list[dict[str, Any]]) -> dict[str, Any]:
    total = counts.sum()
    weighted = sum(one["rows"] * (one["f1"] or 0.0) for one in each)
    return {
        "accuracy": float(np.trace(counts) / total),
        "balanced_accuracy": measure.mean_of([one["recall"] for one in each]),
        "macro_f1": measure.mean_of([one["f1"] for one in each]),
        "weighted_f1": float(weighted / total),
        "matthews": measure.matthews(counts),
    }


@np.errstate(over="ignore", invalid="ignore")  # what is too large for a number is null
def _of_numbers(true: Any, said: Any) -> dict[str, Any]:
    error = said - true
    return {
        "bias": float(error.mean()),
        "mae": float(np.abs(error).mean()),
        "rmse": float(np.sqrt((error**2).mean())),
        "median_absolute_error": float(np.median(np.abs(error))),
        "max_error": float(np.abs(error).max()),
        "sigma_mad": distance.sigma_mad(error),
        "r2": distance.r_squared(true, said),
        "pearson": distance.pearson(true, said),
        "spearman": distance.spearman(true, said),
    }


def _logged(metrics: dict[str, Any]) -> dict[str, Any]:
    """Return metrics with null for what is not finite; all others are in the job's log too."""
    found: dict[str, Any] = distance.finite(metrics)
    log(**{name: value for name, value in found.items() if value is not None})
    return found
