"""No number of a file is rounded or lost without a word, and what is unknown is no value."""

from __future__ import annotations

import zipfile
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from deepforge_hpc.operations.columns import column as training_column
from deepforge_hpc.operations.errors import OperationError
from deepforge_hpc.operations.evaluate import EvaluateRegression
from deepforge_hpc.operations.load import Convert, Load
from deepforge_hpc.operations.split import KFold, Split
from deepforge_hpc.training.errors import TrainingError

BIG = 2**53 + 1
"""The least whole number that floating point does not have."""


def csv(tmp_path: Path, text: str) -> Path:
    (tmp_path / "a.csv").write_text(text)
    return tmp_path / "a.csv"


def test_ids_beside_a_gap_stay_whole_where_the_row_is_dropped(tmp_path: Path) -> None:
    path = csv(tmp_path, f"id,u,z\n{BIG},{2**64 - 1},1\n,3,2\n{-BIG},4,\n{BIG + 1},5,3\n")
    table, report = Load(missing="drop").execute(path)
    assert table["id"].tolist() == [BIG, BIG + 1]
    assert table["u"].tolist() == [2**64 - 1, 5]
    assert [table[name].dtype.kind for name in ("id", "u", "z")] == ["i", "u", "i"]
    assert report["dropped"] == 2
    with pytest.raises(OperationError, match=rf"'id' has rows without a value.*its {BIG}: missing"):
        Load().execute(path)
    with pytest.raises(OperationError, match=r"'id' is NaN or empty in 1 rows, the first .* row 1"):
        Load(missing="refuse").execute(path)
    kept = Load(columns=["z"]).execute(path)[0]["z"]
    assert str(kept.tolist()) == "[1.0, 2.0, nan, 3.0]"


def test_ids_beside_a_gap_in_parquet(tmp_path: Path) -> None:
    import pyarrow as pa
    import pyarrow.parquet

    pyarrow.parquet.write_table(pa.table({"id": [BIG, None, 7]}), tmp_path / "a.parquet")
    table, _ = Load(missing="drop").execute(tmp_path / "a.parquet")
    assert table["id"].tolist() == [BIG, 7]
    with pytest.raises(OperationError, match="would round"):
        Load().execute(tmp_path / "a.parquet")


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        (["1", "1e400"], "a.csv:3: 'x' has 1e400, which is beyond the range"),
        (["1.5", str(BIG)], f"a.csv:3: 'x' has {BIG}, which floating point would round"),
        ([str(2**64 + 1), "-1"], "a.csv:2: 'x' has 18446744073709551617, which floating point"),
        (["1" * 5000], "a.csv:2: 'x' has 1+, which is beyond the range"),
    ],
)
def test_a_number_that_would_be_lost(tmp_path: Path, fields: list[str], message: str) -> None:
    rows = "".join(f"{field},1e999\n" for field in fields)
    path = csv(tmp_path, f"x,y\n{rows}")
    with pytest.raises(OperationError, match=rf"{message}.*; a.csv:2: 'y' has 1e999"):
        Load().execute(path)
    (tmp_path / "a.csv").write_text(f"w,x\n{''.join(f'1,{field}' + chr(10) for field in fields)}")
    assert Load(columns=["w"]).execute(path)[1]["rows"] == len(fields)  # left out, it is no fault


def test_what_reads_as_a_number_and_what_does_not(tmp_path: Path) -> None:
    text = "a,b,c,d,e,f\n007,1_000,-inf,+5,.5,nan\n008,2,1E3,-0,05.25,\n"
    table, _ = Load().execute(csv(tmp_path, text))
    assert table["a"].tolist() == ["007", "008"]
    assert table["b"].tolist() == ["1_000", "2"]
    assert table["c"].tolist() == [-np.inf, 1000.0]
    assert table["d"].tolist() == [5, 0]
    assert table["e"].tolist() == [0.5, 5.25]
    assert np.isnan(table["f"]).all()


def test_a_blank_line_of_one_column_is_an_empty_field(tmp_path: Path) -> None:
    assert str(Load().execute(csv(tmp_path, "z\n1\n\n2\n"))[0]["z"].tolist()) == "[1.0, nan, 2.0]"
    assert Load().execute(csv(tmp_path, "z,y\n1,1\n\n2,2\n"))[1]["rows"] == 2


@pytest.mark.parametrize("gap", ["", "NA", "null", " "])
def test_text_without_a_value_is_no_group(tmp_path: Path, gap: str) -> None:
    rows = "".join(f"{i},{'ab'[i % 2] if i % 5 else gap}\n" for i in range(20))
    path = csv(tmp_path, f"x,g\n{rows}")
    table, _ = Load().execute(path)
    for made in (Split(groups="g"), KFold(2, groups=["x", "g"])):
        with pytest.raises(
            OperationError, match=r"'g' is not known .* in 4 rows, which may belong"
        ):
            made.execute(table)
    table, report = Load(missing="drop").execute(path)
    assert (report["dropped"], sorted(set(table["g"]))) == (4, ["a", "b"])
    bytes_ = {"g": np.array([b"a", b"", b"b"])}
    with pytest.raises(OperationError, match="in 1 rows"):
        Split(groups="g").execute(bytes_)


@pytest.mark.parametrize("made", [Split(), KFold()])
def test_no_row_to_split(made: Any) -> None:
    with pytest.raises(OperationError, match="the table has no rows to split"):
        made.execute({"x": np.zeros(0)})


@pytest.mark.parametrize(
    ("table", "rename", "named"),
    [
        ({"a": 1, "b": 2}, {"a": ""}, "name ''"),
        ({"a": 1, ".": 2}, {}, "name '.'"),
        ({"a": 1, "a/b": 2}, {}, "name 'a'"),
        ({"a": 1, "b": 2}, {"a": "@a", "b": "x//y"}, "name '@a', 'x//y'"),
    ],
)
def test_names_that_no_file_can_have(table: Any, rename: Any, named: str) -> None:
    given = {name: np.arange(3) for name in table}
    with pytest.raises(OperationError, match=f"{named}.*another by rename"):
        Load(rename=rename).execute(given)


@pytest.mark.parametrize(
    ("kind", "message"),
    [
        ("external", "'inner/x' is a link to another file: copy"),
        ("dangling", "'inner/x' is a link that leads nowhere"),
        ("storage", "'inner/x' has its values in another file: copy"),
    ],
)
def test_what_lies_elsewhere_is_named(tmp_path: Path, kind: str, message: str) -> None:
    path = tmp_path / "a.h5"
    with h5py.File(path, "w") as file:
        file["z"] = np.arange(3)
        inner = file.create_group("inner")
        if kind == "storage":
            values = [(tmp_path / "secret", 0, 24)]
            inner.create_dataset("x", (3,), "i8", external=values)
        else:
            link = h5py.ExternalLink("other.h5", "/x") if kind == "external" else h5py.SoftLink("q")
            inner["x"] = link
    with pytest.raises(OperationError, match=message):
        Load().execute(path)
    said = "a link that leads nowhere" if kind == "dangling" else "lies in another file"
    with h5py.File(tmp_path / "other.h5", "w") as file:
        file["x"] = np.arange(3)
    with h5py.File(path) as file, pytest.raises(TrainingError, match=f"'inner/x' .* {said}"):
        training_column(file, "inner/x", "inputs")  # what Train takes


def test_a_link_within_the_file_is_a_column(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["raw/z"] = np.arange(3)
        file["z"] = h5py.SoftLink("/raw/z")
    table, _ = Load(columns=["z"]).execute(tmp_path / "a.h5")
    assert table["z"].tolist() == [0, 1, 2]


def test_more_than_memory_holds_is_said_with_file_and_column(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file.create_dataset("huge", (1 << 55,), "u1", chunks=(1000,))
    said = "column 'huge' does not fit into the job's memory"
    with pytest.raises(OperationError, match=said):
        Load().execute(tmp_path / "a.h5")
    with h5py.File(tmp_path / "a.h5") as file, pytest.raises(OperationError, match=said):
        EvaluateRegression("huge").execute(file)
    head = b"\x93NUMPY\x01\x00v\x00{'descr': '|u1', 'fortran_order': False, 'shape': (%d,), }"
    with zipfile.ZipFile(tmp_path / "a.npz", "w") as archive:
        archive.writestr("huge.npy", (head % (1 << 55)).ljust(127) + b"\n")
    with pytest.raises(OperationError, match=r"a.npz: 'huge' does not fit into the job's memory"):
        Load().execute(tmp_path / "a.npz")


def test_a_csv_of_large_numbers_and_of_names_that_meet(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DFH_SCRATCH", str(tmp_path))
    big = np.array([2**64 - 1, 1], dtype=np.uint64)
    table, _ = Load().execute(Convert("csv").execute({"id": big}))
    np.testing.assert_array_equal(table["id"], big)
    with pytest.raises(OperationError, match="two columns of the CSV would be called 'z_0'"):
        Convert("csv").execute({"z_0": np.arange(2), "z": np.ones((2, 2))})
