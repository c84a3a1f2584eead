"""Tables from HDF5 files, small and large, with text and constants."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from deepforge_hpc.operations import tables
from deepforge_hpc.operations.errors import OperationError, needed
from deepforge_hpc.operations.normalise import FitNormalisation
from deepforge_hpc.operations.split import Split


@pytest.fixture
def path(tmp_path: Path) -> Path:
    with h5py.File(tmp_path / "t.h5", "w") as file:
        file["image"] = np.arange(60, dtype=np.float32).reshape(10, 3, 2)
        file["inner/name"] = np.asarray([f"n{i}" for i in range(10)]).astype(h5py.string_dtype())
        file["edges"] = np.linspace(0, 1, 4)
        file["label"] = "a single text"
        file.attrs["limit"] = 0.4
    return tmp_path / "t.h5"


def test_a_file_is_as_a_dict(path: Path) -> None:
    with h5py.File(path) as file:
        found = tables.rewrite(file, np.array([1, 1, 9]))
    assert (found["image"] == np.arange(60).reshape(10, 3, 2)[[1, 1, 9]]).all()
    assert found["inner/name"].tolist() == ["n1", "n1", "n9"]
    assert found["edges"].shape == (4,)
    assert found["label"] == "a single text"
    assert found["@limit"] == 0.4


def test_a_large_one_is_written_in_blocks_and_is_the_same(
    path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = np.array([0, 2, 2, 3, 8])
    twice = {"image": lambda part, _places: part.astype(np.float64) * 2}
    with h5py.File(path) as file:
        expected = tables.rewrite(file, rows, twice, {"new": np.arange(5)})
        monkeypatch.setattr(tables, "BLOCK_BYTES", 50)  # two images
        monkeypatch.setattr(tables, "_IN_MEMORY", 10)
        monkeypatch.setenv("DFH_SCRATCH", str(tmp_path))
        written = [tables.rewrite(file, rows, twice, {"new": np.arange(5)}) for _ in range(2)]
    assert len(set(written)) == 2
    with h5py.File(written[1]) as file:
        assert set(tables.columns(file)) | {"@limit"} == set(expected)
        for name in tables.columns(file):
            assert (tables.values(file, name) == expected[name]).all()
            assert tables.values(file, name).dtype.kind == np.asarray(expected[name]).dtype.kind
        assert file.attrs["limit"] == 0.4


@pytest.mark.parametrize(
    ("rows", "most"),
    [(np.arange(0, 1000, 10), 50), ([3, 999], 50), (np.repeat(np.arange(1000), 5), 10)],
)
def test_no_more_is_read_at_a_time_than_a_block(
    rows: Any, most: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tables, "BLOCK_BYTES", 8 * 50)
    sizes: list[int] = []

    def reading(item: object, rows: object = ...) -> object:
        found = original(item, rows)
        sizes.append(len(found))
        return found

    original = tables.read
    monkeypatch.setattr(tables, "read", reading)
    rows = np.asarray(rows)
    change = {"x": lambda part, places: part + rows[places]}
    found = tables.rewrite({"x": np.arange(1000.0)}, rows, change)
    assert (found["x"] == 2 * rows).all()
    assert max(sizes) == most


def test_no_row_at_all(path: Path) -> None:
    with h5py.File(path) as file:
        found = tables.rewrite(file, np.array([], dtype=int))
    assert found["image"].shape == (0, 3, 2)
    assert found["inner/name"].shape == (0,)


@pytest.mark.parametrize(
    "take",
    [
        lambda table: FitNormalisation(["x"]).execute(table),
        lambda table: FitNormalisation(["x"], "robust").execute(table),
        lambda table: Split(0.25, 0.25).execute({**table, "y": np.zeros(4)}),
        lambda table: tables.numbers(table, "x"),
    ],
)
def test_what_memory_does_not_hold_is_named(take: Any) -> None:
    table = {"x": np.broadcast_to(np.float32(1), (4, 1 << 46))}  # which says more than it holds
    with pytest.raises(OperationError, match=r"'x' does not fit into the job's memory.*resources"):
        take(table)


def test_a_missing_package_names_its_extra() -> None:
    with (
        pytest.raises(OperationError, match=r"pip install 'deepforge-hpc\[umap\]' into"),
        needed("umap-learn", "umap"),
    ):
        import no_such_package_at_all  # noqa: F401
