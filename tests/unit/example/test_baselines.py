"""What the network is compared with, and that the tables say what comes out."""

from __future__ import annotations

import re
from pathlib import Path

import h5py
import numpy as np
import pytest

TABLE = {
    "mean": "the mean redshift for all",
    "magnitudes": "extra trees on the catalogue's magnitudes and colours",
}


def _table(example: Path, rows: slice = slice(None)) -> dict[str, np.ndarray]:
    with h5py.File(example / "data" / "sdss_mgs.h5") as file:
        return {name: file[name][rows] for name in file}


def test_the_tables_hold_the_baselines_that_come_out(
    example: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from operations.baselines import Baselines

    table = _table(example)
    # The summed pixels have a test of their own: 10,000 cutouts take a while to render.
    monkeypatch.setattr(Baselines, "magnitudes", lambda self, dataset: table["magnitudes"])
    found = Baselines(trees=30).execute(table, {})
    assert "magnitudes_and_errors" in capsys.readouterr().out
    for page in (example / "README.md", example.parents[1] / "README.md"):
        for name, words in TABLE.items():
            (value,) = re.findall(
                rf"^\| {re.escape(words)} \| (0\.\d{{4}}) \|$", page.read_text(), re.MULTILINE
            )
            assert found[name] == pytest.approx(float(value), abs=5e-4), (page, words)
    assert f"for all: {found['mean']:.4f})" in (example / "demo.sh").read_text()
    assert found["magnitudes_and_errors"] < found["magnitudes"] == found["pixel_sums"]


def test_summed_pixels_are_the_magnitudes_of_the_catalogue(example: Path) -> None:
    from operations.baselines import Baselines, with_colours
    from operations.images import RenderCutouts

    table = _table(example, slice(60))
    summed = Baselines().magnitudes(RenderCutouts().execute(table))
    error = summed - table["magnitudes"]
    assert np.median(np.abs(error[:, 1:4])) < 0.02
    assert with_colours(summed)[:, 5:] == pytest.approx(-np.diff(summed, axis=1))
