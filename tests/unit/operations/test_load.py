"""Files in, files out: the same values come back, and what is wrong is said with its place."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from deepforge_hpc.operations.errors import OperationError
from deepforge_hpc.operations.load import Convert, Load

TABLE = {
    "id": np.array([3, 1, 2]),
    "z": np.array([0.1, np.nan, 1 / 3]),
    "name": np.array(["a,b", 'say "c"', "é"]),
}


@pytest.fixture(autouse=True)
def _scratch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DFH_SCRATCH", str(tmp_path))


@pytest.mark.parametrize("kind", ["csv", "npz", "parquet", "hdf5"])
def test_what_is_written_reads_back_the_same(kind: Any) -> None:
    path = Convert(kind).execute(TABLE)
    table, report = Load().execute(path)
    assert report == {"rows": 3, "dropped": 0, "columns": list(table)}
    assert sorted(table) == sorted(TABLE)
    for name, values in TABLE.items():
        np.testing.assert_array_equal(table[name], values)
        assert table[name].dtype.kind == values.dtype.kind


def test_columns_of_several_numbers() -> None:
    wide = {"p": np.arange(6.0).reshape(3, 2), "id": np.arange(3)}
    assert Convert("csv").execute(wide).read_text().splitlines()[0] == "p_0,p_1,id"
    table, _ = Load().execute(Convert("parquet").execute(wide))
    np.testing.assert_array_equal(table["p"], wide["p"])
    np.testing.assert_array_equal(
        Load().execute(Convert("npy", ["p"]).execute(wide))[0]["values"], wide["p"]
    )


def test_what_the_pipeline_has_read_already_is_a_table_too() -> None:
    import pandas as pd

    frame = pd.DataFrame({"id": [1, 2], "name": ["x", None]})
    table, _ = Load(rename={"id": "key"}).execute(frame)
    assert table["key"].tolist() == [1, 2]
    assert table["name"].tolist() == ["x", ""]
    fields = np.array([(1, 2.0)], dtype=[("a", "i4"), ("b", "f8")])
    assert list(Load().execute(fields)[0]) == ["a", "b"]
    assert list(Load(columns=["z"]).execute(TABLE)[0]) == ["z"]


def test_rows_without_a_value() -> None:
    table, report = Load(missing="drop").execute(TABLE)
    assert table["id"].tolist() == [3, 2]
    assert report["dropped"] == 1
    with pytest.raises(
        OperationError, match=r"'z' is NaN or empty in 1 rows, the first of them row 1"
    ):
        Load(missing="refuse").execute(TABLE)


def write(tmp_path: Path, text: str, name: str = "a.csv") -> Path:
    (tmp_path / name).write_text(text)
    return tmp_path / name


def test_types_of_a_csv(tmp_path: Path) -> None:
    big = 2**63 - 1
    path = write(tmp_path, f"a,b,c,d,e\n{big},1,1e3,NA, 7\n-1,,2,x,8\n")
    table, _ = Load().execute(path)
    assert table["a"].tolist() == [big, -1]
    assert str(table["b"].tolist()) == "[1.0, nan]"
    assert table["c"].tolist() == [1000.0, 2.0]
    assert table["d"].tolist() == ["NA", "x"]
    assert table["e"].tolist() == [7, 8]
    assert Load().execute(write(tmp_path, f"a\n{2**64}\n"))[0]["a"].tolist() == [2.0**64]
    assert Load().execute(write(tmp_path, "a\tb\n1\t2\n", "a.tsv"))[0]["b"].tolist() == [2]
    assert Load().execute(write(tmp_path, "a,b\n"))[0]["b"].shape == (0,)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a,b\n1,2\n3\n4,5,6\n", r"a.csv:3: 1 fields, and the header has 2; a.csv:4: 3 fields"),
        ("a,a\n1,2\n", "a.csv:1: needs a header"),
        ("", "a.csv:1: needs a header"),
        ('a\n"x\n', "a.csv:2: unexpected end"),
    ],
)
def test_a_csv_that_is_none(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(OperationError, match=message):
        Load().execute(write(tmp_path, text))


@pytest.mark.parametrize("name", ["a.npz", "a.npy", "a.parquet", "a.h5"])
def test_another_file_under_the_name(tmp_path: Path, name: str) -> None:
    with pytest.raises(OperationError, match=f"{name} cannot be read as "):
        Load().execute(write(tmp_path, "no such file at all, but text", name))


def test_nothing_is_unpickled(tmp_path: Path) -> None:
    path = tmp_path / "a.npy"
    np.save(path, np.array([{}], dtype=object), allow_pickle=True)
    with pytest.raises(OperationError, match="cannot be read as npy"):
        Load().execute(path)


@pytest.mark.parametrize(
    ("made", "source", "message"),
    [
        (Load(), Path("a.fits"), "the ending of a.fits says no format"),
        (Load(), 3, "a int is no table"),
        (Load(columns=["q"]), TABLE, "the table has no 'q'; it has id, name, z"),
        (Load(rename={"id": "z"}), TABLE, "two columns would have one name"),
        (Load(rename={"q": "z"}), TABLE, "the table has no 'q'"),
        (Convert("npy"), TABLE, "a npy holds one column: choose one of id, z, name"),
        (Convert("csv"), {"i": np.ones((2, 2, 2))}, "3 axes"),
        (Convert("npz"), {"file": np.ones(2)}, "cannot be called 'file'"),
    ],
)
def test_what_cannot_be_is_said(made: Any, source: Any, message: str) -> None:
    with pytest.raises(OperationError, match=message):
        made.execute(source)
