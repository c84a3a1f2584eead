"""Measures of classes: those of scikit-learn where it has an answer, and a word where it has none."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import pytest
from sklearn import metrics as reference

from deepforge_hpc.operations import classes
from deepforge_hpc.operations.errors import OperationError
from deepforge_hpc.operations.evaluate import EvaluateClassification


def predictions(seed: int, rows: int = 300, kinds: int = 4, steps: int = 0) -> Any:
    """Return labels and probabilities; `steps`: rounded, so that there are many ties."""
    rng = np.random.default_rng(seed)
    true = rng.integers(0, kinds, rows)
    scores = rng.dirichlet(np.ones(kinds), rows) + 0.4 * np.eye(kinds)[true]
    if steps:
        scores = np.round(scores * steps) + 0.5
    return true, scores / scores.sum(axis=1, keepdims=True)


def evaluate(true: Any, scores: Any, **settings: Any) -> dict[str, Any]:
    return EvaluateClassification(**settings).execute({"label": true, "prediction": scores})


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("steps", [0, 3])
@pytest.mark.parametrize("kinds", [2, 4])
def test_as_scikit_learn(seed: int, steps: int, kinds: int) -> None:
    true, scores = predictions(seed, kinds=kinds, steps=steps)
    found = evaluate(true, scores, top=2)
    said = scores.argmax(axis=1)
    assert found["confusion"] == reference.confusion_matrix(true, said).tolist()
    for name, value in {
        "accuracy": reference.accuracy_score(true, said),
        "balanced_accuracy": reference.balanced_accuracy_score(true, said),
        "macro_f1": reference.f1_score(true, said, average="macro"),
        "weighted_f1": reference.f1_score(true, said, average="weighted"),
        "matthews": reference.matthews_corrcoef(true, said),
        "log_loss": reference.log_loss(true, scores),
    }.items():
        assert found[name] == pytest.approx(value, abs=1e-12), name
    if kinds > 2:
        auc = reference.roc_auc_score(true, scores, multi_class="ovr")
        precision = reference.average_precision_score(np.eye(kinds)[true], scores)
        top = reference.top_k_accuracy_score(true, scores, k=2)
        if not steps:  # of ties, scikit-learn takes the last class
            assert found["top_2"] == pytest.approx(top)
    else:
        auc = reference.roc_auc_score(true, scores[:, 1])
        precision = reference.average_precision_score(true, scores[:, 1])
        assert found["brier"] == pytest.approx(2 * reference.brier_score_loss(true, scores[:, 1]))
    assert found["roc_auc"] == pytest.approx(auc, abs=1e-12)
    assert found["average_precision"] == pytest.approx(precision, abs=1e-12)
    for k, one in enumerate(found["classes"].values()):
        each = reference.precision_recall_fscore_support(true, said, labels=[k], zero_division=0)
        assert (one["precision"], one["recall"], one["f1"]) == pytest.approx(
            [x[0] for x in each[:3]]
        )
        assert one["roc_auc"] == pytest.approx(reference.roc_auc_score(true == k, scores[:, k]))


def test_area_is_what_all_pairs_say() -> None:
    rng = np.random.default_rng(5)
    for _ in range(20):
        positive, scores = rng.integers(0, 2, 12) == 1, rng.integers(0, 4, 12) / 4
        if 0 < positive.sum() < 12:
            pairs = [(a > b) + (a == b) / 2 for a in scores[positive] for b in scores[~positive]]
            assert classes.roc_auc(positive, scores) == pytest.approx(np.mean(pairs))


def test_a_class_without_rows_counts_in_no_mean() -> None:
    true, scores = predictions(1)
    scores = np.column_stack([scores * 0.9, np.full(len(true), 0.1)])  # nobody is a 4
    found = evaluate(true, scores)
    four = found["classes"]["4"]
    assert (four["rows"], four["recall"], four["roc_auc"], four["average_precision"]) == (
        0,
        None,
        None,
        None,
    )
    assert found["balanced_accuracy"] is not None
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # scikit-learn's own of the absent class
        expected = reference.balanced_accuracy_score(true, scores.argmax(axis=1))
        macro = reference.f1_score(true, scores.argmax(axis=1), average="macro")
    assert found["balanced_accuracy"] == pytest.approx(expected)
    assert found["macro_f1"] == pytest.approx(macro)
    assert 0.5 < found["roc_auc"] < 1


def test_one_class_alone_has_no_curve() -> None:
    found = evaluate(np.zeros(5, int), np.tile([0.7, 0.3], (5, 1)))
    assert found["accuracy"] == 1
    assert found["roc_auc"] is None
    assert found["classes"]["1"]["precision"] is None
    assert found["matthews"] is None
    assert found["log_loss"] == pytest.approx(-np.log(0.7))


def test_a_certain_mistake_stays_finite() -> None:
    found = evaluate(np.array([0, 1]), np.array([[0.0, 1.0], [0.0, 1.0]]))
    assert found["log_loss"] == pytest.approx(-np.log(np.finfo(float).eps) / 2)
    assert found["brier"] == 1
    assert found["calibration_error"] == pytest.approx(0.5)


def test_calibration_of_what_keeps_its_word() -> None:
    confidence = np.repeat([0.25, 0.75], 4)
    right = np.array([1, 0, 0, 0, 1, 1, 1, 0])
    assert classes.calibration_error(confidence, right, 4) == 0
    count, said, found = classes.reliability(np.array([0.0, 0.5, 0.51, 1.0]), np.ones(4), 2)
    assert count.tolist() == [2, 2]
    assert said.tolist() == [0.25, 0.755]
    assert classes.reliability(np.array([0.9]), np.ones(1), 2)[0].tolist() == [0, 1]
    assert np.isnan(classes.reliability(np.array([0.9]), np.ones(1), 2)[1][0])
    assert found.tolist() == [1, 1]


def test_the_same_by_all_ways_of_saying_it() -> None:
    true, scores = predictions(2, kinds=2)
    whole = evaluate(true, scores)
    one = evaluate(true, scores[:, 1])
    logits = evaluate(true, np.log(scores[:, 1] / scores[:, 0])[:, None], kind="logits")
    both = evaluate(np.eye(2)[true], np.log(scores), kind="logits")
    for other in (one, logits, both):
        assert other["log_loss"] == pytest.approx(whole["log_loss"])
        assert other["roc_auc"] == pytest.approx(whole["roc_auc"])
        assert other["confusion"] == whole["confusion"]
    labels = evaluate(true, scores.argmax(axis=1), kind="labels")
    assert labels["macro_f1"] == whole["macro_f1"]
    assert "roc_auc" not in labels
    assert "log_loss" not in labels
    huge = evaluate(np.array([0, 1]), np.array([[1e4, 0.0], [-1e4, 0.0]]), kind="logits")
    assert huge["log_loss"] == pytest.approx(0)


def test_rows_that_are_not_finite() -> None:
    true, scores = predictions(3)
    holed = scores.copy()
    holed[7, 1] = np.nan
    with pytest.raises(OperationError, match=r"'prediction' is not finite in 1 of 300 rows.*row 7"):
        evaluate(true, holed)
    keep = np.arange(300) != 7
    found = evaluate(true, holed, missing="drop")
    expected = evaluate(true[keep], scores[keep])
    assert found.pop("dropped") == 1
    assert expected.pop("dropped") == 0
    assert found == expected


@pytest.mark.parametrize(
    ("true", "scores", "settings", "message"),
    [
        ([0, 1], [[0.5, 0.6], [0.5, 0.5]], {}, "no probabilities: row 0 sums to 1.1"),
        ([0, 1], [[1.2, -0.2], [0.5, 0.5]], {}, "the least value is -0.2; is it of another kind"),
        ([0, 2], [[0.5, 0.5], [0.5, 0.5]], {}, "has the class 2, and 'prediction' knows 2: 0 to 1"),
        ([0, 0.5], [[0.5, 0.5]] * 2, {}, "no class numbers from 0"),
        ([0, -1], [[0.5, 0.5]] * 2, {}, "no class numbers from 0: -1"),
        ([0, 1.5, 1], [[0.5, 0.5]] * 3, {}, "no class numbers from 0: 1.5 is none"),
        ([0, 1e9], [0, 1], {"kind": "labels"}, r"from 0: 1e\+09 is none .whole, and below 10,000"),
        (np.zeros((2, 2, 2)), [[0.5, 0.5]] * 2, {}, "one class a row"),
        ([[1, 1], [0, 1]], [[0.5, 0.5]] * 2, {}, "each row needs one 1"),
        ([0], [[0.5, 0.5]] * 2, {}, "different lengths"),
        ([0, 1], [[0.5, 0.5]] * 2, {"names": ["a"]}, "names has 1, and there are 2 classes"),
        ([np.nan], [[0.5, 0.5]], {"missing": "drop"}, "no row to judge by: 1 rows"),
        ([], np.zeros((0, 2)), {}, "no row to judge by: 0 rows"),
    ],
)
def test_what_cannot_be_measured(true: Any, scores: Any, settings: Any, message: str) -> None:
    with pytest.raises(OperationError, match=message):
        evaluate(np.asarray(true, float), np.asarray(scores), **settings)
