"""Values as numbers of bins, and distributions over bins as values: nothing happens in silence."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from deepforge_hpc.operations.binning import Bin, PointEstimate
from deepforge_hpc.operations.errors import OperationError
from deepforge_hpc.operations.evaluate import EvaluateRedshift
from deepforge_hpc.operations.load import Load

Z = {"redshift": np.array([0.0, 0.0999, 0.1, 0.4]), "x": np.arange(4)}


def test_each_value_has_its_bin_and_the_upper_limit_the_last() -> None:
    binned, report = Bin("redshift", 0.4, 4).execute(Z)
    assert binned["bin"].tolist() == [0, 0, 1, 3]
    assert binned["row"].tolist() == binned["x"].tolist() == [0, 1, 2, 3]
    assert report == {"rows": 4, "below": 0, "above": 0, "dropped": 0, "counts": [2, 1, 0, 1]}
    limits = {name: binned[f"@{name}_redshift"] for name in ("min", "max", "bins")}
    assert limits == {"min": 0.0, "max": 0.4, "bins": 4}
    assert binned["@bins_bin"] == 4  # of the labels


def test_bins_are_those_that_distributions_are_judged_by() -> None:
    """Float rounding moves no value that lies on an edge into another bin than the CRPS has."""
    edges = np.linspace(0.1, 0.7, 61)
    binned, _ = Bin("z", 0.7, 60, low=0.1).execute({"z": edges})
    assert binned["bin"].tolist() == [*range(60), 59]


def test_a_limit_of_32_bits_is_the_limit() -> None:
    assert float(np.float32(0.4)) > 0.4
    binned, _ = Bin("z", 0.4, 4).execute({"z": np.array([0.1, 0.4], dtype=np.float32)})
    assert binned["bin"].tolist() == [1, 3]


BEYOND = {"z": np.array([-0.01, 0.1, 0.5, 0.2]), "row": np.array([7, 8, 9, 10])}


def test_what_no_bin_holds_is_refused_with_its_range() -> None:
    said = "'z' is beyond the bins, 0 to 0.4, in 2 of 4 rows (from -0.01 to 0.5): set low and high"
    with pytest.raises(OperationError, match=re.escape(said)):
        Bin("z", 0.4, 4).execute(BEYOND)


@pytest.mark.parametrize(
    ("beyond", "bins", "rows", "words"),
    [
        ("drop", [1, 2], [8, 10], "dropped"),
        ("clip", [0, 1, 3, 2], [7, 8, 9, 10], "put into the first or the last bin"),
    ],
)
def test_or_it_is_dropped_or_clipped_and_told(
    beyond: Any, bins: list[int], rows: list[int], words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    binned, report = Bin("z", 0.4, 4, beyond=beyond).execute(BEYOND)
    assert binned["bin"].tolist() == bins
    assert binned["row"].tolist() == rows
    assert (report["below"], report["above"], report["dropped"]) == (1, 1, 4 - len(rows))
    told = f"dfh: 'z' is beyond the bins, 0 to 0.4, in 2 of 4 rows (from -0.01 to 0.5): {words}\n"
    assert capsys.readouterr().err == told


@pytest.mark.parametrize(
    ("made", "table", "message"),
    [
        (Bin("z", 0.4, 4), {"z": np.array([0.1, np.nan])}, r"not finite in 1 of 2 rows.*row 1"),
        (Bin("z", 0.4, 4, low=0.4), Z, "low 0.4 must be below high 0.4"),
        (Bin("z", 0.4, 4), Z, "no 'z'; it has redshift, x"),
        (Bin("x", 9, 4, name="redshift"), Z, "has a column 'redshift' already"),
        (Bin("z", 0.4, 4), {"z": np.ones((2, 2))}, "one number a row"),
        (Bin("z", 0.4, 4, beyond="drop"), {"z": np.ones(2)}, "no row would be left"),
    ],
)
def test_what_cannot_be_binned(made: Bin, table: Any, message: str) -> None:
    with pytest.raises(OperationError, match=message):
        made.execute(table)


def test_rows_of_the_file_stay_known_through_both(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "a.csv"
    path.write_text("z,g\n0.1,20\n0.2,\n0.9,21\n0.3,22\n,\n")
    table, _ = Load(missing="drop").execute(path)
    assert capsys.readouterr().err == ("dfh: 2 of 5 rows dropped: no value of 'z' in 1, 'g' in 2\n")
    binned, _ = Bin("z", 0.4, 4, beyond="drop").execute(table)
    assert binned["row"].tolist() == [0, 3]


PDF = np.array([[0.5, 0.5, 0.0, 0.0], [0.1, 0.2, 0.3, 0.4]])


def test_estimates_of_distributions() -> None:
    table = {"pdf": 2 * PDF / 2, "row": np.arange(2), "@max_redshift": 0.4}
    found = {
        how: PointEstimate(how=how).execute(table)["predicted"].tolist()  # type: ignore[arg-type]
        for how in ("mean", "median", "mode")
    }
    assert found["mean"] == pytest.approx([0.1, 0.05 * 0.1 + 0.15 * 0.2 + 0.25 * 0.3 + 0.35 * 0.4])
    assert found["median"] == pytest.approx([0.1, 0.2 + 0.1 * (0.2 / 0.3)])
    assert found["mode"] == pytest.approx([0.05, 0.35])
    estimated = PointEstimate().execute(table)
    # Drawn from the second distribution: its deviation.
    rng = np.random.default_rng(1)
    drawn = (rng.choice(4, 200_000, p=PDF[1]) + rng.random(200_000)) * 0.1
    deviation = estimated["predicted_deviation"]
    assert deviation[0] == pytest.approx(0.2 / np.sqrt(12))
    assert deviation[1] == pytest.approx(drawn.std(), rel=0.01)
    assert estimated["@max_redshift"] == 0.4
    with pytest.raises(OperationError, match="has a column 'predicted' already"):
        PointEstimate().execute(estimated)


def test_a_network_of_another_number_of_bins_is_refused(tmp_path: Path) -> None:
    binned, _ = Bin("redshift", 0.4, 8).execute({"redshift": np.array([0.1, 0.2])})
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["redshift"], file["pdf"] = binned["redshift"], PDF
        file.attrs.update({key[1:]: value for key, value in binned.items() if key[0] == "@"})
        for made in (PointEstimate(), EvaluateRedshift(prediction="")):
            with pytest.raises(OperationError, match=r"'pdf' has 4 bins, and the labels had 8"):
                made.execute(file)
