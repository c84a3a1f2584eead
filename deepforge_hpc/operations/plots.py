"""Figures of trainings, classes and points: plain matplotlib, which a job keeps for its report."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, Literal

import numpy as np

from deepforge_hpc.operations import classes as measure
from deepforge_hpc.operations.errors import OperationError, pyplot
from deepforge_hpc.operations.predictions import class_names, truth_and_probabilities
from deepforge_hpc.operations.tables import numbers, values

if TYPE_CHECKING:
    import h5py

_DASHED = {"color": "0.5", "linestyle": "--", "linewidth": 0.8}


class PlotHistory:
    """Draws loss and metrics over the epochs of a training, learnt from and validated.

    A metric of several numbers is drawn as their mean.

    Args:
        history: of `Train`: `{name: [a number an epoch]}`; `val_NAME` joins NAME.
        metrics: which to draw; all by default.
        scale: of the vertical axis.

    Source: Keras' History (https://keras.io/api/callbacks).

    >>> PlotHistory().execute({"loss": [2.0, 1.0], "val_loss": [2.1, 1.5]})
    """

    def __init__(
        self, metrics: list[str] | None = None, scale: Literal["linear", "log"] = "linear"
    ):
        self.metrics, self.scale = metrics, scale

    def execute(self, history: dict[str, Any]) -> None:
        names = self.metrics or [name for name in history if not name.startswith("val_")]
        if odd := [name for name in names if name not in history] or (not names and ["loss"]):
            raise OperationError(f"the history has no {odd[0]!r}; it has {', '.join(history)}")
        plt = pyplot()
        figure = plt.figure("History", figsize=(4.5 * len(names), 3.6), layout="constrained")
        for axes, name in zip(figure.subplots(1, len(names), squeeze=False)[0], names, strict=True):
            for key, label in ((name, "training"), (f"val_{name}", "validation")):
                if key in history:
                    course = [float(np.mean(value)) for value in history[key]]
                    axes.plot(range(1, len(course) + 1), course, marker=".", label=label)
            axes.set(ylabel=name.replace("_", " "), xlabel="epoch", yscale=self.scale)
            axes.xaxis.get_major_locator().set_params(integer=True)
            axes.legend(frameon=False)
        plt.show()


class PlotConfusion:
    """Draws a confusion matrix: rows are true classes, columns are predicted ones.

    Args:
        metrics: of `EvaluateClassification`.
        shares: colour and text are shares of a row (recall on the diagonal), else counts.

    Source: Sokolova and Lapalme 2009, Inf. Process. Manag. 45, 427.

    >>> PlotConfusion().execute({"confusion": [[3, 1], [0, 2]], "classes": {"a": {}, "b": {}}})
    """

    def __init__(self, shares: bool = True):
        self.shares = shares

    def execute(self, metrics: dict[str, Any]) -> None:
        counts = np.asarray(metrics["confusion"], dtype=np.float64)
        names = list(metrics["classes"])
        shown = counts
        if self.shares:  # a class without rows has none
            shown = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
        plt = pyplot()
        size = max(3.5, 0.55 * len(names) + 1.5)
        figure = plt.figure("Confusion", figsize=(size + 0.8, size), layout="constrained")
        axes = figure.add_subplot()
        image = axes.imshow(shown, cmap="Blues", vmin=0)
        for (row, column), value in np.ndenumerate(shown) if len(names) <= 20 else ():
            colour = "white" if value > shown.max() / 2 else "black"
            text = f"{value:.2f}" if self.shares else f"{value:.0f}"
            if self.shares and not counts[row].any():
                text = "-"
            axes.text(column, row, text, ha="center", va="center", color=colour, fontsize=8)
        places = range(len(names))
        axes.set_xticks(places, names, rotation=90 if len(names) > 6 else 0)
        axes.set_yticks(places, names)
        axes.set(xlabel="predicted", ylabel="true")
        figure.colorbar(image, label="share of the true class" if self.shares else "rows")
        plt.show()


class PlotROC:
    """Draws the ROC and the precision-recall curve of each class against all others.

    Args:
        predictions: a table with a row for each prediction.
        truth: column of the class numbers from 0, or of rows with one 1.
        prediction: column of what was predicted, (n, k), or (n,) of two classes.
        kind: what it holds.
        names: of the classes, in order.
        missing: of rows that are not finite: `refuse` the table, or `drop` them.

    Source: Fawcett 2006, Pattern Recognit. Lett. 27, 861; Davis and Goadrich 2006, ICML 23.

    >>> PlotROC().execute({"label": np.array([0, 1, 1]), "prediction": np.array([0.2, 0.9, 0.4])})
    """

    def __init__(
        self,
        truth: str = "label",
        prediction: str = "prediction",
        kind: Literal["probabilities", "logits"] = "probabilities",
        names: list[str] | None = None,
        missing: Literal["refuse", "drop"] = "refuse",
    ):
        if truth == prediction:
            raise OperationError(f"truth and prediction are one column, {truth!r}: name both")
        self.read = (truth, prediction, kind, missing)
        self.names = names

    def execute(self, predictions: h5py.File) -> None:
        true, scores, _ = truth_and_probabilities(predictions, *self.read)
        names = class_names(self.names, scores.shape[1])
        shown = range(scores.shape[1]) if scores.shape[1] > 2 else [1]
        plt = pyplot()
        figure = plt.figure("ROC", figsize=(9, 4.2), layout="constrained")
        left, right = figure.subplots(1, 2)
        for k in shown:
            positive = true == k
            if not 0 < np.count_nonzero(positive) < len(true):
                continue  # no curve: one side has no row
            hits, alarms = measure.thresholds(positive, scores[:, k])
            name = names[k]
            area = measure.roc_auc(positive, scores[:, k])
            found, wrong = hits / hits[-1], alarms / alarms[-1]
            left.plot([0, *wrong], [0, *found], label=f"{name}: area {area:.3f}")
            mean = measure.average_precision(positive, scores[:, k])
            steps = {"drawstyle": "steps-pre", "label": f"{name}: average {mean:.3f}"}
            right.plot([0, *found], [1, *(hits / (hits + alarms))], **steps)
        left.plot([0, 1], [0, 1], **_DASHED)
        left.set(xlabel="false positive rate", ylabel="true positive rate", title="ROC")
        right.set(xlabel="recall", ylabel="precision", title="precision and recall")
        right.set_ylim(0, 1.03)
        for axes in (left, right):
            if right.lines:
                axes.legend(fontsize=8, frameon=False)
            else:
                axes.text(0.5, 0.6, "no curve: all rows are of one class", ha="center")
        plt.show()


class PlotCalibration:
    """Draws how often predictions of some confidence were right, and how many there were.

    Args:
        predictions: a table with a row for each prediction.
        truth: column of the class numbers from 0, or of rows with one 1.
        prediction: column of what was predicted, (n, k), or (n,) of two classes.
        kind: what it holds.
        bins: of the confidence.
        missing: of rows that are not finite: `refuse` the table, or `drop` them.

    Source: Guo et al. 2017, ICML 34 (the calibration error); Niculescu-Mizil and Caruana 2005, ICML
    22 (the diagram).

    >>> PlotCalibration().execute({"label": np.array([0, 1]), "prediction": np.array([0.2, 0.9])})
    """

    def __init__(
        self,
        truth: str = "label",
        prediction: str = "prediction",
        kind: Literal["probabilities", "logits"] = "probabilities",
        bins: Annotated[int, {"min": 1, "max": 1000}] = 15,
        missing: Literal["refuse", "drop"] = "refuse",
    ):
        if truth == prediction:
            raise OperationError(f"truth and prediction are one column, {truth!r}: name both")
        self.read = (truth, prediction, kind, missing)
        self.bins = bins

    def execute(self, predictions: h5py.File) -> None:
        true, scores, _ = truth_and_probabilities(predictions, *self.read)
        confidence, right = scores.max(axis=1), scores.argmax(axis=1) == true
        count, said, found = measure.reliability(confidence, right, self.bins)
        error = measure.calibration_error(confidence, right, self.bins)
        plt = pyplot()
        figure = plt.figure("Calibration", figsize=(4.5, 5.4), layout="constrained")
        upper, lower = figure.subplots(2, 1, sharex=True, height_ratios=[3, 1])
        upper.plot([0, 1], [0, 1], **_DASHED)
        has = count > 0
        upper.plot(said[has], found[has], marker="o")
        upper.set(ylabel="share of right ones", title=f"calibration error {error:.4f}")
        edges = np.linspace(0, 1, self.bins + 1)
        lower.stairs(count, edges, fill=True, alpha=0.5)
        lower.set(xlabel="confidence", ylabel="rows", xlim=(0, 1))
        plt.show()


class PlotEmbedding:
    """Draws points in two or three dimensions, coloured by a column.

    Args:
        embedding: of `PCA`, `TSNE` or `UMAP`.
        colour: column that colours them: numbers, or up to 20 texts; none by default. Whole numbers
            have a colour each where there are up to 20, as classes do.
        title: above the figure.

    Source: van der Maaten and Hinton 2008, J. Mach. Learn. Res. 9, 2579.

    >>> PlotEmbedding("z").execute({"points": np.eye(3), "z": np.arange(3.0)})
    """

    def __init__(self, colour: str = "", title: str = ""):
        self.colour, self.title = colour, title

    def execute(self, embedding: h5py.File) -> None:
        points = numbers(embedding, "points")
        if points.ndim != 2 or points.shape[1] not in {2, 3}:
            raise OperationError(f"points has the shape {points.shape}: it needs 2 or 3 a row")
        groups = self._groups(embedding, len(points))
        plt = pyplot()
        figure = plt.figure("Embedding", figsize=(7, 5.6), layout="constrained")
        solid = points.shape[1] == 3
        axes = figure.add_subplot(projection="3d" if solid else None)
        for label, chosen, style in groups:
            shown = axes.scatter(*points[chosen].T, s=12, label=label, **style)
        if self.colour and "c" in style:
            figure.colorbar(shown, label=self.colour, shrink=0.8, pad=0.1 if solid else 0.05)
        elif self.colour:
            axes.legend(fontsize=8)
        axes.set_title(self.title or f"{len(points):,} rows")
        for name in "xyz"[: points.shape[1]]:
            label = f"dimension {'xyz'.index(name) + 1}"
            getattr(axes, f"set_{name}label")(label, labelpad=-10 if solid else None)
        # Only neighbourhood has a meaning in these coordinates: no numbers.
        axes.set(xticklabels=[], yticklabels=[], **({"zticklabels": []} if solid else {}))
        plt.show()

    def _groups(self, embedding: Any, count: int) -> list[tuple[str, Any, dict[str, Any]]]:
        whole = np.ones(count, dtype=bool)
        if not self.colour:
            return [("", whole, {})]
        found = values(embedding, self.colour)
        if found.shape != (count,):
            raise OperationError(f"{self.colour!r} has the shape {found.shape}: one value a row")
        names = np.unique(found)
        if found.dtype.kind != "U" and (found.dtype.kind not in "biu" or len(names) > 20):
            return [("", whole, {"c": found, "cmap": "viridis"})]
        if len(names) > 20:
            raise OperationError(f"{self.colour!r} has {len(names)} texts: too many colours")
        return [(str(name), found == name, {}) for name in names]
