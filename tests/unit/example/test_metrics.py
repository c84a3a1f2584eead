from __future__ import annotations

import math

import numpy as np
import pytest


class _Table(dict):
    """What an operation sees of an HDF5 file, with its attributes."""

    attrs = {"max_redshift": 0.4}  # noqa: RUF012


def test_metrics_are_those_of_a_case_worked_by_hand(capsys: pytest.CaptureFixture[str]) -> None:
    from operations.evaluate import Evaluate

    redshift = np.array([0.0, 0.25, 0.0, 0.25])
    predicted = np.array([0.01, 0.2625, -0.02, 0.35])  # dz = 0.01 0.01 -0.02 0.08
    pdf = np.zeros((4, 4))
    pdf[:, 0] = 1.0
    metrics = Evaluate().execute(_Table(redshift=redshift, predicted=predicted, pdf=pdf))
    assert capsys.readouterr().out
    assert metrics["bias"] == pytest.approx(0.02)
    # median 0.01; |dz - median| = 0 0 0.03 0.07; median 0.015
    assert metrics["sigma_mad"] == pytest.approx(1.4826 * 0.015)
    assert metrics["outlier_fraction"] == 0.25
    # all mass in [0, 0.1]: right for z = 0; for z = 0.25 the CDF is 1 too early at 0.1 and 0.2
    assert metrics["crps"] == pytest.approx((0 + 0.2 + 0 + 0.2) / 4)
    assert metrics["galaxies"] == 4


def test_crps_tends_to_its_closed_form_for_a_normal_distribution() -> None:
    from operations.evaluate import crps

    mean, width, true, bins = 0.2, 0.02, 0.23, 4000
    edges = np.linspace(0, 0.4, bins + 1)
    cdf = np.array([0.5 * (1 + math.erf((x - mean) / width / math.sqrt(2))) for x in edges])
    x = (true - mean) / width
    normal = math.exp(-(x**2) / 2) / math.sqrt(2 * math.pi)
    # Gneiting & Raftery 2007 (JASA 102, 359), equation 21
    exact = width * (x * math.erf(x / math.sqrt(2)) + 2 * normal - 1 / math.sqrt(math.pi))
    assert crps(np.diff(cdf)[None], np.array([true]), 0.4) == pytest.approx(exact, abs=2e-4)


def test_a_distribution_that_ignores_the_truth_scores_worse() -> None:
    from operations.evaluate import crps

    redshift = np.array([0.05, 0.15, 0.25, 0.35])
    right = np.eye(4)
    assert crps(right, redshift, 0.4) < crps(np.full((4, 4), 0.25), redshift, 0.4)
    assert crps(right, redshift, 0.4) < crps(right[::-1], redshift, 0.4)


def test_the_upper_limit_belongs_to_the_last_bin_and_beyond_is_refused() -> None:
    from operations.bins import expectation, labels

    assert list(labels(np.array([0.0, 0.0999, 0.1, 0.4]), 4, 0.4)) == [0, 0, 1, 3]
    with pytest.raises(ValueError, match="set max_redshift"):
        labels(np.array([0.41]), 4, 0.4)
    assert expectation(np.eye(4), 0.4) == pytest.approx([0.05, 0.15, 0.25, 0.35])
