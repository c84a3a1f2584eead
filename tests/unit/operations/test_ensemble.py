"""Ensembles: rows are paired by name, and what does not pair is refused."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from deepforge_hpc.operations.ensemble import Ensemble
from deepforge_hpc.operations.errors import OperationError


def members(count: int = 3, rows: int = 20) -> list[dict[str, Any]]:
    rng = np.random.default_rng(0)
    found = []
    for _ in range(count):
        order = rng.permutation(rows)
        pdf = rng.dirichlet(np.ones(4), rows)
        found.append({"row": order + 100, "prediction": pdf, "z": order / 10, "@max": 0.4})
    return found


def by_name(table: dict[str, Any], column: str) -> Any:
    return table[column][np.argsort(table["row"])]


@pytest.mark.parametrize("weights", [None, [1.0, 0.0, 3.0]])
def test_the_mean_of_each_row(weights: Any) -> None:
    tables = members()
    joined = Ensemble(weights=weights).execute(tables)
    stack = np.stack([by_name(table, "prediction") for table in tables])
    expected = np.average(stack, axis=0, weights=weights)
    np.testing.assert_allclose(by_name(joined, "prediction"), expected)
    np.testing.assert_allclose(by_name(joined, "prediction_spread"), stack.std(axis=0))
    assert (joined["z"] == (joined["row"] - 100) / 10).all()
    assert joined["@max"] == 0.4


def test_the_median_of_probabilities_sums_to_one() -> None:
    tables = members(5)
    joined = Ensemble(how="median").execute(tables)
    median = np.median([by_name(table, "prediction") for table in tables], axis=0)
    found = by_name(joined, "prediction")
    np.testing.assert_allclose(found, median / median.sum(axis=1, keepdims=True))
    apart = [{"prediction": row[None]} for row in np.eye(3)]
    found = Ensemble(how="median", ids="").execute(apart)["prediction"]
    np.testing.assert_allclose(found, np.full((1, 3), 1 / 3))
    plain = [{"prediction": np.array([x])} for x in (1.0, 5.0, 2.0)]
    assert Ensemble(how="median", ids="").execute(plain)["prediction"].tolist() == [2]


def test_one_member_is_itself() -> None:
    (table,) = members(1)
    joined = Ensemble().execute([table])
    np.testing.assert_array_equal(joined["prediction"], table["prediction"])
    assert (joined["prediction_spread"] == 0).all()


def changed(**more: Any) -> list[dict[str, Any]]:
    one, two, _ = members()
    return [one, {**two, **more}]


@pytest.mark.parametrize(
    ("made", "tables", "message"),
    [
        (Ensemble(), changed(row=np.arange(20)), "member 1 has other rows.*20 are missing, 20"),
        (Ensemble(), changed(row=np.zeros(20)), "of member 1 names two rows alike"),
        (
            Ensemble(),
            changed(**{"@max": 0.6}),
            "attribute 'max' is 0.4 in member 0 and 0.6 in member 1",
        ),
        (Ensemble(), [], "no member to join"),
        (Ensemble(), changed(row=np.full(20, np.nan)), "'row' of member 1 names 20 rows not"),
        (Ensemble(ids="name"), changed(), "no 'name'"),
        (Ensemble(ids=""), changed(prediction=np.ones((3, 4))), "other shapes"),
        (Ensemble(), changed(prediction=np.full((20, 4), np.nan)), "member 1 is not finite"),
        (Ensemble(weights=[1.0]), changed(), "weights has 1, and there are 2"),
        (Ensemble(), changed(prediction_spread=np.ones(20))[::-1], "'prediction_spread', whose"),
    ],
)
def test_what_cannot_be_joined(made: Any, tables: Any, message: str) -> None:
    with pytest.raises(OperationError, match=message):
        made.execute(tables)
