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


def _sigma_mad(table: dict[str, np.ndarray], columns: list[str]) -> float:
    from operations.baselines import Baseline

    from deepforge_hpc.operations.evaluate import EvaluateRedshift

    predictions = Baseline(columns, trees=30).execute(table)  # type: ignore[arg-type]
    return EvaluateRedshift().execute(predictions)["sigma_mad"]  # type: ignore[no-any-return]


def test_the_tables_hold_the_baselines_that_come_out(example: Path) -> None:
    table = _table(example)
    columns = {"mean": [], "magnitudes": ["magnitudes"], "both": ["magnitudes", "errors"]}
    found = {name: _sigma_mad(table, chosen) for name, chosen in columns.items()}
    for page in (example / "README.md", example.parents[1] / "README.md"):
        for name, words in TABLE.items():
            (value,) = re.findall(
                rf"^\| {re.escape(words)} \| (0\.\d{{4}}) \|$", page.read_text(), re.MULTILINE
            )
            assert found[name] == pytest.approx(float(value), abs=5e-4), (page, words)
    assert f"for all: {found['mean']:.4f})" in (example / "demo.sh").read_text()
    assert found["both"] < found["magnitudes"]


def test_the_galaxies_that_are_judged_by_teach_nothing(example: Path) -> None:
    from operations.baselines import Baseline

    table = _table(example, slice(4_990, 5_010))
    first = Baseline(["magnitudes", "errors"], trees=5).execute(table)  # type: ignore[arg-type]
    table["redshift"][10:] = 9.0
    again = Baseline(["magnitudes", "errors"], trees=5).execute(table)  # type: ignore[arg-type]
    assert first["row"].tolist() == list(range(5_000, 5_010))
    assert np.array_equal(first["predicted"], again["predicted"])


def test_summed_pixels_are_the_magnitudes_of_the_catalogue(example: Path, tmp_path: Path) -> None:
    from operations.baselines import numbers_of, with_colours
    from operations.images import RenderCutouts

    table = _table(example, slice(60))
    cutouts = RenderCutouts().execute(table)  # type: ignore[arg-type]
    with h5py.File(tmp_path / "cutouts.h5", "w") as file:
        file["pixels"], file.attrs["noise"] = cutouts["pixels"], cutouts["@noise"]
        summed = numbers_of(file, "pixels")
    error = summed - table["magnitudes"]
    assert np.median(np.abs(error[:, 1:4])) < 0.02
    assert with_colours(summed)[:, 5:] == pytest.approx(-np.diff(summed, axis=1))
