"""A file of arrays is data: loading one runs nothing."""

from __future__ import annotations

import os
import pickle
from pathlib import Path

import pytest

from deepforge_hpc.runtime.formats import FORMATS
from deepforge_hpc.training.checkpoints import Checkpoint, Position

np = pytest.importorskip("numpy")


class Planted:
    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.mkdir, ("planted",)


def plant(path: Path, kind: str) -> None:
    """Write a pickle where the loader of each kind would come upon it."""
    if kind == "npz":
        np.savez(path, x=np.array([Planted()], dtype=object))
    elif kind == "arrays":  # a list: the arrays of it are numbered
        np.savez(path, **{"0": np.array([Planted()], dtype=object)})
    elif kind == "npy":
        np.save(path, np.array([Planted()], dtype=object), allow_pickle=True)
    else:  # no elements, so that it is not memory-mapped, which alone would refuse objects
        with path.open("wb") as file:
            header = {"descr": "|O", "fortran_order": False, "shape": (0,)}
            np.lib.format.write_array_header_1_0(file, header)
            pickle.dump(Planted(), file)


@pytest.mark.parametrize(
    ("kind", "name"), [("npy", "npy"), ("npy", "empty"), ("npz", "npz"), ("arrays", "arrays")]
)
def test_a_pickle_in_an_array_is_not_loaded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str, name: str
) -> None:
    monkeypatch.chdir(tmp_path)
    path = tmp_path / f"x{FORMATS[kind].suffix}"
    plant(path, name)
    with pytest.raises(Exception, match=r"pickle|object"):
        FORMATS[kind].load(path, None)
    assert not (tmp_path / "planted").exists()


def test_a_pickle_in_a_checkpoint_is_not_loaded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "step-0000000001.npz"
    plant(path, "npz")
    with pytest.raises(ValueError, match="allow_pickle"):
        Checkpoint(path, Position()).arrays()
    assert not (tmp_path / "planted").exists()
