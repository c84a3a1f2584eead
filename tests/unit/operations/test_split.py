"""Splits: exact sizes, no group in two parts, the same mix in each, the same for the same seed."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from deepforge_hpc.operations.errors import OperationError
from deepforge_hpc.operations.split import KFold, Split


def table(count: int, **columns: Any) -> dict[str, Any]:
    return {"x": np.arange(count) * 1.5, **columns}


def rows(*parts: dict[str, Any]) -> list[list[int]]:
    return [part["row"].tolist() for part in parts]


@pytest.mark.parametrize(("count", "sizes"), [(10, (8, 1, 1)), (101, (81, 10, 10)), (7, (5, 1, 1))])
def test_each_row_is_in_one_part_in_its_order(count: int, sizes: tuple[int, ...]) -> None:
    *parts, report = Split().execute(table(count))
    found = rows(*parts)
    assert tuple(map(len, found)) == sizes == tuple(report["rows"].values())
    assert sorted(row for part in found for row in part) == list(range(count))
    for part, own in zip(parts, found, strict=True):
        assert own == sorted(own)
        assert (part["x"] == np.asarray(own) * 1.5).all()


def test_the_seed_alone_decides() -> None:
    first, again, other = (rows(*Split(seed=s).execute(table(50))[:3]) for s in (1, 1, 2))
    assert first == again != other


def test_no_group_is_in_two_parts() -> None:
    rng = np.random.default_rng(0)
    group = rng.integers(0, 40, 500)
    train, validation, test, report = Split(0.2, 0.2, groups="g").execute(table(500, g=group))
    sets = [set(part["g"].tolist()) for part in (train, validation, test)]
    assert sum(map(len, sets)) == len(set().union(*sets)) == 40
    assert report["groups"] == 40
    assert abs(len(test["x"]) - 100) <= np.bincount(group).max()


def test_rows_that_share_either_column_stay_together() -> None:
    # Rows 0-1 share a, 1-2 share b, 2-3 share a: one chain. So do 4 to 7, and so on.
    count = 40
    a = np.arange(count) // 2
    b = (np.arange(count) + 1) // 2
    b[::4] = 1000 + np.arange(0, count, 4)  # the chain ends after each fourth row
    train, validation, test, report = Split(0.2, 0.3, groups=["a", "b"]).execute(
        table(count, a=a, b=b)
    )
    assert report["groups"] == count // 4
    for part in (train, validation, test):
        chains, sizes = np.unique(part["row"] // 4, return_counts=True)
        assert len(chains)
        assert (sizes == 4).all()


@pytest.mark.parametrize("seed", range(5))
def test_each_part_has_the_mix_of_the_whole(seed: int) -> None:
    kind = np.asarray(["a"] * 70 + ["b"] * 27 + ["c"] * 3)
    *parts, report = Split(0.2, 0.1, strata="kind", seed=seed).execute(table(100, kind=kind))
    for name, share in (("train", 0.7), ("validation", 0.2), ("test", 0.1)):
        for label, total in (("a", 70), ("b", 27), ("c", 3)):
            assert abs(report["strata"][label][name] - share * total) <= 2
    assert [len(part["x"]) for part in parts] == [70, 20, 10]


def test_a_stratum_of_one_row_comes_into_any_part() -> None:
    kind = np.asarray(["a"] * 19 + ["b"])
    made = (Split(0.3, 0.3, strata="kind", seed=seed) for seed in range(60))
    reports = [one.execute(table(20, kind=kind))[3]["strata"]["b"] for one in made]
    for name in ("train", "validation", "test"):
        assert 5 < sum(report[name] for report in reports) < 40


def test_a_number_is_cut_into_bins_and_unknown_is_a_stratum() -> None:
    z = np.linspace(0, 1, 200) ** 3
    z[:20] = np.nan
    *_, report = Split(0.0, 0.5, strata="z", strata_bins=4).execute(table(200, z=z))
    assert list(report["strata"]) == ["-1", "0", "1", "2", "3"]
    assert all(abs(parts["train"] - parts["test"]) <= 2 for parts in report["strata"].values())


def test_groups_and_strata_together() -> None:
    group = np.repeat(np.arange(100), 3)
    kind = np.repeat(np.arange(100) % 2, 3)
    *_, report = Split(0.2, 0.2, groups="g", strata="k").execute(table(300, g=group, k=kind))
    for parts in report["strata"].values():
        assert parts["train"] % 3 == parts["test"] % 3 == 0
        assert abs(parts["test"] - 30) <= 3


def test_folds_hold_each_row_once_and_no_group_twice() -> None:
    group = np.random.default_rng(1).integers(0, 30, 200)
    data = table(200, g=group)
    seen: list[int] = []
    for fold in range(5):
        train, validation, _ = KFold(5, fold, groups="g", seed=3).execute(data)
        assert not set(train["g"].tolist()) & set(validation["g"].tolist())
        assert len(train["x"]) + len(validation["x"]) == 200
        seen += validation["row"].tolist()
    assert sorted(seen) == list(range(200))


def test_sizes_of_folds_differ_by_one() -> None:
    sizes = {len(KFold(4, fold).execute(table(30))[1]["x"]) for fold in range(4)}
    assert sizes == {7, 8}


@pytest.mark.parametrize(
    ("made", "data", "message"),
    [
        (Split(groups="g"), table(4, g=np.array([1.0, np.nan, 2, 3])), "NaN.*in 1 rows"),
        (Split(groups="h"), table(4), "the table has no 'h'; it has x"),
        (Split(0.1, 0.1), table(4), "no row is left for validation: 4 rows"),
        (Split(0.9, 0.0), table(1), "no row is left for train"),
        (Split(groups="x"), {"x": np.ones((5, 2))}, "one value a row"),
        (Split(strata="t", strata_bins=2), table(4, t=np.array(list("abcd"))), "no numbers"),
        (KFold(3, 0, groups="g"), table(9, g=np.zeros(9)), "2 of 3 folds have no row"),
        (Split(), {"x": np.float64(3)}, "no column with rows"),
    ],
)
def test_what_cannot_be_is_said(made: Any, data: dict[str, Any], message: str) -> None:
    with pytest.raises(OperationError, match=message):
        made.execute(data)


def test_what_has_no_rows_goes_along_and_row_is_kept() -> None:
    data = {"x": np.arange(10), "y": np.arange(10), "edges": np.arange(3.0), "@limit": 0.4}
    data["row"] = np.arange(100, 110)
    train, *_ = Split().execute(data)
    assert train["edges"].tolist() == [0, 1, 2]
    assert train["@limit"] == 0.4
    assert (train["row"] == train["x"] + 100).all()
