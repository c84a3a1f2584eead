"""Measures of numbers and of distributions: scikit-learn, closed forms, brute force."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
from scipy import stats
from sklearn import metrics as reference

from deepforge_hpc.operations import numbers
from deepforge_hpc.operations.errors import OperationError
from deepforge_hpc.operations.evaluate import EvaluateRedshift, EvaluateRegression


def regression(true: Any, said: Any, **settings: Any) -> dict[str, Any]:
    return EvaluateRegression(**settings).execute({"target": true, "prediction": said})


@pytest.mark.parametrize("seed", range(3))
def test_numbers_as_scikit_learn(seed: int) -> None:
    rng = np.random.default_rng(seed)
    true = rng.integers(0, 9, 80) * 1.0  # with ties
    said = true + rng.integers(-2, 3, 80)
    found = regression(true, said)
    for name, value in {
        "mae": reference.mean_absolute_error(true, said),
        "rmse": reference.root_mean_squared_error(true, said),
        "median_absolute_error": reference.median_absolute_error(true, said),
        "max_error": reference.max_error(true, said),
        "r2": reference.r2_score(true, said),
        "pearson": stats.pearsonr(true, said)[0],
        "spearman": stats.spearmanr(true, said)[0],
        "sigma_mad": 1.4826 * stats.median_abs_deviation(said - true),
        "bias": np.mean(said - true),
    }.items():
        assert found[name] == pytest.approx(value), name


def test_constant_and_single_values_have_no_correlation() -> None:
    for true, said in (([0.1] * 4, [1.0, 2, 3, 4]), ([2.0], [3.0]), ([1.0, 2], [0.3, 0.3])):
        found = regression(np.array(true), np.array(said))
        assert found["pearson"] is found["spearman"] is None
        assert (found["r2"] is None) == (len(set(true)) == 1)
    assert numbers.pearson(np.array([1e300, 2e300]), np.array([1e300, 2e300])) == 1


def test_what_no_number_holds_is_null() -> None:
    found = regression(np.array([1e200, -1e200]), np.array([-1e200, 1e200]))
    assert (found["rmse"], found["r2"], found["mae"]) == (None, None, 2e200)
    both = np.array([[1e200, 1.0], [-1e200, 2.0]])
    found = regression(both, -both)
    assert [one["rmse"] is None for one in found["targets"]] == [True, False]
    json.dumps(found, allow_nan=False)


def test_several_numbers_a_row() -> None:
    rng = np.random.default_rng(0)
    true = rng.normal(size=(50, 3))
    said = true + rng.normal(size=(50, 3))
    found = regression(true, said)
    assert found["r2"] == pytest.approx(reference.r2_score(true, said))
    each = reference.r2_score(true, said, multioutput="raw_values")
    assert [one["r2"] for one in found["targets"]] == pytest.approx(each)
    with pytest.raises(OperationError, match="do not pair"):
        regression(true, said[:, :2])
    assert regression(true[:, 0], said[:, :1])["rows"] == 50


EDGES = np.array([0.0, 0.1, 0.25, 0.4])


def by_brute_force(pdf: Any, truth: float) -> float:
    """Integrate on a fine grid, far beyond the bins."""
    x = np.linspace(-0.5, 1.0, 300_001)
    below = np.interp(x, EDGES, np.concatenate([[0], np.cumsum(pdf)]))
    return float(np.trapezoid((below - (truth <= x)) ** 2, x))


@pytest.mark.parametrize("truth", [0.0, 0.05, 0.1, 0.2, 0.4, 0.55, -0.2])
def test_crps_is_the_integral(truth: float) -> None:
    for pdf in ([0.2, 0.5, 0.3], [0.0, 1.0, 0.0], [1.0, 0.0, 0.0]):
        found = numbers.crps(np.array([pdf]), np.array([truth]), EDGES)[0]
        assert found == pytest.approx(by_brute_force(pdf, truth), abs=1e-5)


def test_crps_in_closed_form_and_by_draws() -> None:
    # Uniform on 0 to 1: u^2 - u + 1/3 (Grimit et al. 2006, Q. J. R. Meteorol. Soc. 132, 2925).
    u = np.linspace(0, 1, 11)
    for bins in (1, 2, 7):
        found = numbers.crps(np.full((11, bins), 1 / bins), u, np.linspace(0, 1, bins + 1))
        np.testing.assert_allclose(found, u**2 - u + 1 / 3, atol=1e-12)
    # E|X - z| - E|X - X'| / 2 (Gneiting and Raftery 2007, equation 21).
    rng = np.random.default_rng(1)
    pdf = np.array([0.2, 0.5, 0.3])
    place = rng.choice(3, (2, 200_000), p=pdf)
    x, other = EDGES[place] + rng.random(place.shape) * np.diff(EDGES)[place]
    for z in (0.07, 0.3, 0.6):
        draws = np.abs(x - z).mean() - np.abs(x - other).mean() / 2
        assert numbers.crps(pdf[None], np.array([z]), EDGES)[0] == pytest.approx(draws, abs=1e-3)


def test_pit_of_what_is_drawn_from_the_distributions_is_uniform() -> None:
    rng = np.random.default_rng(2)
    pdf = rng.dirichlet(np.ones(3), 4000)
    place = (rng.random(4000)[:, None] > np.cumsum(pdf, axis=1)).sum(axis=1)
    truth = EDGES[place] + rng.random(4000) * np.diff(EDGES)[place]
    pit = numbers.pit(pdf, truth, EDGES)
    expected = [
        np.interp(z, EDGES, [0, *np.cumsum(one)]) for z, one in zip(truth, pdf, strict=True)
    ]
    np.testing.assert_allclose(pit, expected, atol=1e-12)
    assert numbers.uniform_distance(pit) == pytest.approx(stats.kstest(pit, "uniform")[0])
    assert stats.kstest(pit, "uniform")[1] > 0.01
    assert numbers.pit(pdf[:2], np.array([-1.0, 9.0]), EDGES).tolist() == [0, 1]


def table(**more: Any) -> dict[str, Any]:
    pdf = np.array([[0.2, 0.5, 0.3], [0.1, 0.1, 0.8], [0.0, 0.0, 1.0]])
    true = np.array([0.2, 0.3, 0.5])
    return {"redshift": true, "pdf": pdf, "edges": EDGES, **more}


def test_redshifts() -> None:
    said = np.array([0.2, 0.36, 0.35])
    found = EvaluateRedshift(edges="edges").execute(table(predicted=said))
    dz = (said - [0.2, 0.3, 0.5]) / np.array([1.2, 1.3, 1.5])
    assert found["bias"] == pytest.approx(dz.mean())
    assert found["sigma_mad"] == pytest.approx(1.4826 * stats.median_abs_deviation(dz))
    assert found["outlier_fraction"] == pytest.approx(1 / 3)
    rows = zip(table()["pdf"], table()["redshift"], strict=True)
    assert found["crps"] == pytest.approx(np.mean([by_brute_force(*row) for row in rows]), abs=1e-5)
    assert found["beyond_bins"] == 1
    assert sum(found["pit_histogram"]) == 3


def test_redshifts_of_means_and_limits_of_the_table() -> None:
    even = table(**{"@max_redshift": 0.3})
    found = EvaluateRedshift(prediction="").execute(even)
    means = even["pdf"] @ [0.05, 0.15, 0.25]
    true = even["redshift"]
    assert found["bias"] == pytest.approx(((means - true) / (1 + true)).mean())
    assert found["crps"] == EvaluateRedshift(prediction="", high=0.3).execute(table())["crps"]
    del even["pdf"]
    even["predicted"] = means
    assert "crps" not in EvaluateRedshift().execute(even)


@pytest.mark.parametrize(
    ("made", "more", "message"),
    [
        (EvaluateRedshift(""), {}, "the table has no ''"),
        (EvaluateRedshift(prediction=""), {}, "no limits: set high"),
        (EvaluateRedshift(prediction="", high=-1.0), {}, "begin at 0 and end at -1: low is below"),
        (
            EvaluateRedshift(prediction="", edges="falling"),
            {"falling": EDGES[::-1]},
            r"do not rise: \[0.4",
        ),
        (
            EvaluateRedshift(high=1.0),
            {"predicted": np.zeros(3), "redshift": np.array([0.1, -1.0, -2.0])},
            "'redshift' holds no redshifts: .* 2 of 3 are -1 or less, as -1",
        ),
        (EvaluateRedshift(prediction="", edges="redshift"), {}, "3 bins need 4 edges that rise"),
        (EvaluateRedshift(prediction="", pdf="nothing"), {}, "no 'nothing' to predict by"),
        (EvaluateRedshift(prediction="", high=1.0), {"pdf": np.ones((3, 3))}, "no probabilities"),
        (EvaluateRedshift(high=1.0), {"predicted": np.ones((3, 2))}, "one number a row"),
        (
            EvaluateRedshift(high=1.0),
            {"predicted": np.array([1, np.nan, 2])},
            "not finite in 1 of 3",
        ),
    ],
)
def test_what_cannot_be_measured(made: Any, more: dict[str, Any], message: str) -> None:
    with pytest.raises(OperationError, match=message):
        made.execute(table(**more))
