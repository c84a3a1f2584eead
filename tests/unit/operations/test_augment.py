"""Copies: the row itself first, each copy by its own seed, all images of a row turned alike."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from deepforge_hpc.operations import tables
from deepforge_hpc.operations.augmentation import Augment
from deepforge_hpc.operations.errors import OperationError


def images(count: int = 6) -> Any:
    return np.random.default_rng(0).normal(size=(count, 4, 4, 2))


def eight(image: Any) -> list[Any]:
    turned = [np.rot90(image, turn) for turn in range(4)]
    return turned + [one[:, ::-1] for one in turned]


def test_copies_are_positions_of_the_row(monkeypatch: pytest.MonkeyPatch) -> None:
    data = {"i": images(), "mask": images()[..., :1], "k": np.arange(6)}
    found = Augment(["i", "mask"], copies=3).execute(data)
    assert found["k"].tolist() == np.repeat(np.arange(6), 4).tolist() == found["row"].tolist()
    for place, (row, copy) in enumerate(zip(found["row"], found["copy"], strict=True)):
        alike = [np.array_equal(found["i"][place], one) for one in eight(data["i"][row])]
        masks = [np.array_equal(found["mask"][place], one) for one in eight(data["mask"][row])]
        assert alike == masks
        assert alike[0] if copy == 0 else any(alike)
    monkeypatch.setattr(tables, "BLOCK_BYTES", 700)
    again = Augment(["mask", "i"], copies=3).execute(data)
    assert all(np.array_equal(found[name], again[name]) for name in found)
    assert not np.array_equal(found["i"], Augment(["i"], copies=3, seed=1).execute(data)["i"])


def test_noise_has_its_size_and_leaves_the_row() -> None:
    found = Augment(["x"], "none", noise=0.5, copies=50).execute({"x": np.zeros((40, 3))})
    assert (found["x"][found["copy"] == 0] == 0).all()
    assert found["x"][found["copy"] > 0].std() == pytest.approx(0.5, rel=0.05)


@pytest.mark.parametrize(
    ("made", "column", "message"),
    [
        (Augment(["x"]), np.ones((3, 4)), "images, rows x columns x channels"),
        (Augment(["x"]), np.ones((3, 4, 5, 1)), "no square"),
        (Augment(["x"], "flip", 0.1), np.ones((3, 4, 4, 1), int), "floating point"),
        (Augment(["y"]), np.ones(3), "the table has no 'y'"),
    ],
)
def test_what_cannot_be_is_said(made: Any, column: Any, message: str) -> None:
    with pytest.raises(OperationError, match=message):
        made.execute({"x": column})
