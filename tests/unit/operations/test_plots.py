"""Figures show the numbers that they are of, and refuse what they cannot show."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from sklearn import metrics as reference

from deepforge_hpc.operations.errors import OperationError
from deepforge_hpc.operations.plots import (
    PlotCalibration,
    PlotConfusion,
    PlotEmbedding,
    PlotHistory,
    PlotROC,
)
from deepforge_hpc.operations.plots_redshift import PlotDensities, PlotPIT, PlotRedshifts

RNG = np.random.default_rng(0)
TRUE = RNG.integers(0, 3, 200)
SCORES = RNG.dirichlet(np.ones(3), 200) / 2 + np.eye(3)[TRUE] / 2
CLASSES = {"label": TRUE, "prediction": SCORES}


def axes_of(pyplot: Any, name: str) -> list[Any]:
    assert pyplot.get_figlabels() == [name]
    figure = pyplot.figure(name)
    figure.canvas.draw()
    return figure.axes


def test_history(pyplot: Any) -> None:
    PlotHistory(scale="log").execute(
        {"loss": [2.0, 1.0], "val_loss": [3.0, 2.0], "f1": [[0.2, 0.4], [0.4, 0.6]]}
    )
    loss, f1 = axes_of(pyplot, "History")
    assert [line.get_ydata().tolist() for line in loss.lines] == [[2, 1], [3, 2]]
    assert f1.lines[0].get_ydata().tolist() == pytest.approx([0.3, 0.5])
    assert (loss.get_yscale(), loss.get_ylabel(), f1.get_ylabel()) == ("log", "loss", "f1")


def test_confusion(pyplot: Any) -> None:
    metrics = {"confusion": [[3, 1], [0, 0]], "classes": {"a": {}, "b": {}}}
    PlotConfusion().execute(metrics)
    axes, _bar = axes_of(pyplot, "Confusion")
    assert axes.images[0].get_array().tolist() == [[0.75, 0.25], [0, 0]]
    assert [text.get_text() for text in axes.texts] == ["0.75", "0.25", "-", "-"]


def test_curves_as_scikit_learn(pyplot: Any) -> None:
    PlotROC(names=["a", "b", "c"]).execute(CLASSES)
    left, right = axes_of(pyplot, "ROC")
    for k in range(3):
        curve = left.lines[k]
        area = np.trapezoid(curve.get_ydata(), curve.get_xdata())
        assert area == pytest.approx(reference.roc_auc_score(k == TRUE, SCORES[:, k]))
        recall, precision = right.lines[k].get_data()
        expected = reference.average_precision_score(k == TRUE, SCORES[:, k])
        assert (np.diff(recall) * precision[1:]).sum() == pytest.approx(expected)
        assert curve.get_label() == f"{'abc'[k]}: area {area:.3f}"


def test_a_class_without_rows_has_no_curve(pyplot: Any) -> None:
    PlotROC().execute({"label": np.zeros(4, int), "prediction": np.full((4, 3), 1 / 3)})
    left, right = axes_of(pyplot, "ROC")
    assert len(left.lines) == 1  # the diagonal
    for axes in (left, right):
        assert [text.get_text() for text in axes.texts] == ["no curve: all rows are of one class"]


def test_calibration(pyplot: Any) -> None:
    PlotCalibration(bins=5).execute(CLASSES)
    upper, lower = axes_of(pyplot, "Calibration")
    assert lower.patches[0].get_data().values.sum() == 200
    assert len(upper.lines[1].get_xdata()) <= 5


@pytest.mark.parametrize("dimensions", [2, 3])
def test_points_by_numbers_and_by_texts(pyplot: Any, dimensions: int) -> None:
    table = {"points": RNG.normal(size=(9, dimensions)), "z": np.arange(9.0)}
    table["kind"] = np.array(list("aabbccaab"))
    PlotEmbedding("z").execute(table)
    axes, bar = axes_of(pyplot, "Embedding")
    assert bar.get_ylabel() == "z"
    assert (axes.get_xlabel(), axes.get_ylabel()) == ("dimension 1", "dimension 2")
    assert axes.collections[0].get_array().tolist() == list(range(9))
    pyplot.close("all")
    PlotEmbedding("kind").execute(table)
    (axes,) = axes_of(pyplot, "Embedding")
    assert [len(item.get_offsets()) for item in axes.collections] == [4, 3, 2]
    pyplot.close("all")
    PlotEmbedding("label").execute({**table, "label": np.arange(9) % 2})
    (axes,) = axes_of(pyplot, "Embedding")
    assert [text.get_text() for text in axes.get_legend().texts] == ["0", "1"]


REDSHIFTS = {
    "redshift": np.array([0.1, 0.2, 0.3]),
    "predicted": np.array([0.11, 0.2, 0.38]),
    "pdf": np.full((3, 4), 0.25),
    "row": np.array([2, 0, 1]),
    "@max_redshift": 0.4,
}


def test_redshifts(pyplot: Any) -> None:
    PlotRedshifts().execute(REDSHIFTS)
    upper, lower = axes_of(pyplot, "Redshifts")
    names = [text.get_text() for text in upper.get_legend().texts]
    assert names == ["2 objects", r"1 outliers ($|\Delta z|/(1 + z) > 0.05$)"]
    assert list(lower.texts) == []
    PlotRedshifts(outlier=0.02).execute(REDSHIFTS)
    lower = pyplot.figure("Redshifts").axes[-1]
    assert [text.get_text() for text in lower.texts] == ["1 beyond"]  # 0.0615 of at most 0.06


def test_pit(pyplot: Any) -> None:
    PlotPIT(bins=4).execute({**REDSHIFTS, "redshift": np.array([0.12, 0.22, 0.33])})
    (axes,) = axes_of(pyplot, "PIT")
    assert axes.patches[0].get_data().values.tolist() == [0, 1, 1, 1]


@pytest.mark.parametrize("scale", [200, 1.0])
def test_densities_with_pictures(pyplot: Any, scale: float) -> None:
    kind = np.uint8 if scale > 1 else float
    pixels = (RNG.random((3, 4, 4, 5)) * scale).astype(kind)
    images = {"pixels": pixels, **({"row": np.array([0, 1, 2])} if scale > 1 else {})}
    PlotDensities(objects=5, channels=[3, 2, 1]).execute(REDSHIFTS, images)
    axes = axes_of(pyplot, "Densities")[:3]
    assert [one.lines[0].get_xdata()[0] for one in axes] == [0.1, 0.2, 0.3]
    figure = pyplot.figure("Densities")
    assert (figure.get_supxlabel(), figure.get_supylabel()) == ("redshift", "probability density")
    (legend,) = figure.legends
    assert [text.get_text() for text in legend.texts] == ["density", "true", "predicted"]
    places = [one.child_axes[0].get_position().x0 - one.get_position().x0 for one in axes]
    assert places[0] > 0.1 > places[2]  # beside the peak, not upon it
    heights, edges, _ = axes[0].patches[0].get_data()
    assert (heights * np.diff(edges)).sum() == pytest.approx(1)
    if scale > 1:
        shown = axes[0].child_axes[0].images[0].get_array()
        assert (shown == pixels[2][..., [3, 2, 1]]).all()


@pytest.mark.parametrize(
    ("made", "given", "message"),
    [
        (PlotHistory(["acc"]), {"loss": [1.0]}, "the history has no 'acc'; it has loss"),
        (PlotHistory(), {}, "the history has no 'loss'"),
        (PlotEmbedding(), {"points": np.ones((3, 4))}, "2 or 3 a row"),
        (PlotEmbedding("points"), {"points": np.ones((3, 2))}, "one value a row"),
        (
            PlotEmbedding("k"),
            {"points": np.ones((30, 2)), "k": np.arange(30).astype("U")},
            "30 texts",
        ),
        (PlotROC(names=["a"]), CLASSES, "names has 1, and there are 3 classes"),
        (
            PlotRedshifts(),
            {**REDSHIFTS, "redshift": np.array([0.1, -1.0, 1])},
            "'redshift' holds no redshifts",
        ),
        (PlotPIT(high=0.4), {**REDSHIFTS, "redshift": np.array([0.1, np.nan, 1])}, "not finite"),
    ],
)
def test_what_cannot_be_shown(made: Any, given: Any, message: str, pyplot: Any) -> None:
    with pytest.raises(OperationError, match=message):
        made.execute(given)
    assert pyplot.get_fignums() == []


def test_pictures_are_found_by_the_row_that_they_are_of(pyplot: Any) -> None:
    """Rows that were dropped on the way moved the others up."""
    one = {name: item[:1] if name[:1] != "@" else item for name, item in REDSHIFTS.items()}
    pixels = np.arange(48, dtype=np.uint8).reshape(3, 4, 4, 1).repeat(3, axis=3)
    images = {"pixels": pixels, "row": np.array([9, 2, 5])}
    PlotDensities().execute(one, images)
    (axes,) = axes_of(pyplot, "Densities")[:1]
    assert (axes.child_axes[0].images[0].get_array() == pixels[1]).all()
    with pytest.raises(OperationError, match="0 of its rows have the row 2, not one"):
        PlotDensities().execute(one, {**images, "row": np.array([9, 8, 5])})


def test_pictures_without_such_channels(pyplot: Any) -> None:
    with pytest.raises(OperationError, match=r"no channels \[0, 1, 2\]"):
        PlotDensities().execute(REDSHIFTS, {"pixels": np.ones((3, 4, 4, 1))})
