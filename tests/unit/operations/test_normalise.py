"""Normalisation: against scikit-learn, on what scikit-learn refuses, and the way back."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn.preprocessing import MinMaxScaler, RobustScaler, StandardScaler

from deepforge_hpc.operations import tables
from deepforge_hpc.operations.errors import OperationError
from deepforge_hpc.operations.load import Load
from deepforge_hpc.operations.normalise import FitNormalisation, Normalise

SCALERS = {"standard": StandardScaler, "minmax": MinMaxScaler, "robust": RobustScaler}


def data(seed: int = 0) -> Any:
    values = np.random.default_rng(seed).normal(1e6, [1.0, 10.0, 1e-3], (200, 3))
    values[:, 2] = 0.1 + 0.2  # all equal, but not representable
    values[::7, 1] = np.nan
    return values


@pytest.mark.parametrize("method", SCALERS)
@pytest.mark.parametrize("block", [1 << 20, 24 * 11])
def test_as_scikit_learn(method: Any, block: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tables, "BLOCK_BYTES", block)
    train, other = data(), data(1)
    scaling = FitNormalisation(["x"], method).execute({"x": train})
    reference = SCALERS[method]().fit(train)
    for values in (train, other):
        found = Normalise(dtype="float64").execute({"x": values}, scaling)["x"]
        np.testing.assert_allclose(found, reference.transform(values), rtol=1e-7, atol=1e-9)
        back = Normalise(invert=True, dtype="float64").execute({"x": found}, scaling)["x"]
        np.testing.assert_allclose(back, values, rtol=1e-12)


def test_per_channel_and_per_column() -> None:
    images = np.random.default_rng(0).normal(5, [1, 2, 3], (20, 4, 4, 3))
    one = FitNormalisation(["i"], per="channel").execute({"i": images})["columns"]["i"]
    np.testing.assert_allclose(one["scale"], images.std(axis=(0, 1, 2)))
    whole = FitNormalisation(["i"], per="column").execute({"i": images})
    np.testing.assert_allclose(whole["columns"]["i"]["offset"], images.mean())
    changed = Normalise().execute({"i": images, "k": np.arange(20)}, whole)
    assert changed["i"].dtype == np.float32
    assert changed["k"].tolist() == list(range(20))


@pytest.mark.parametrize(
    ("column", "message"),
    [
        (np.array([np.nan, np.nan]), "no value at all"),
        (np.array([1.0, np.inf]), "infinite"),
        (np.array(["a", "b"]), "no numbers"),
    ],
)
@pytest.mark.parametrize("method", SCALERS)
def test_what_cannot_be_scaled(method: Any, column: Any, message: str) -> None:
    with pytest.raises(OperationError, match=message):
        FitNormalisation(["x"], method).execute({"x": column})


def test_what_does_not_fit() -> None:
    scaling = FitNormalisation(["x"]).execute({"x": np.ones((3, 2))})
    with pytest.raises(OperationError, match=r"rows of the shape \(3,\), and the scaling is for"):
        Normalise().execute({"x": np.ones((3, 3))}, scaling)
    with pytest.raises(OperationError, match="the table has no 'x'; it has y"):
        Normalise().execute({"y": np.ones(3)}, scaling)
    with pytest.raises(OperationError, match="name at least one"):
        FitNormalisation([]).execute({"x": np.ones(3)})
    with pytest.raises(OperationError, match="'x' holds no numbers, but text: 'a' of row 0"):
        Normalise().execute({"x": np.array([["a", "b"]])}, scaling)


def test_what_made_a_column_text_is_named(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("x\n0.5\n\nNA\n-\n3,5\n")
    table, _ = Load(columns=["x"], delimiter=";").execute(tmp_path / "a.csv")
    with pytest.raises(OperationError, match=r"text: '-' of row 3 \(from 0\) is none"):
        FitNormalisation(["x"]).execute(table)
    for dtype, message in (("S", "no numbers, but text: 'b' of row 1"), ("c8", "but complex64")):
        column = np.array(["1", "b"]) if dtype == "S" else np.ones(2)
        with pytest.raises(OperationError, match=message):
            FitNormalisation(["x"]).execute({"x": column.astype(dtype)})


@pytest.mark.parametrize(
    ("scaling", "message"),
    [
        ([], "it has no `columns`"),
        ({"loss": [1.0]}, "it has no `columns`"),
        ({"columns": {}}, "it has no `columns`"),
        ({"columns": {"x": 3}}, "'x' needs an offset and a scale"),
        ({"columns": {"x": {"offset": 1}}}, "'x' needs an offset and a scale"),
        ({"columns": {"x": {"offset": "a", "scale": 1}}}, "'x' needs an offset and a scale"),
        ({"columns": {"x": {"offset": 0.0, "scale": 0.0}}}, "no scale of 0"),
        ({"columns": {"x": {"offset": [0.0, 1], "scale": [1.0, 0]}}}, "no scale of 0"),
        ({"columns": {"x": {"offset": 0.0, "scale": float("nan")}}}, "finite numbers"),
    ],
)
def test_what_is_no_scaling(scaling: Any, message: str) -> None:
    with pytest.raises(OperationError, match=message):
        Normalise().execute({"x": np.ones(3)}, scaling)
