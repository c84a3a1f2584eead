"""A file of arrays is data: loading one runs nothing."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from deepforge_hpc.runtime.formats import FORMATS

np = pytest.importorskip("numpy")


class Planted:
    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.mkdir, ("planted",)


@pytest.mark.parametrize("kind", ["npy", "npz"])
def test_a_pickle_in_an_array_is_not_loaded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    monkeypatch.chdir(tmp_path)
    array = np.array([Planted()], dtype=object)
    path = tmp_path / f"x.{kind}"
    if kind == "npy":
        np.save(path, array, allow_pickle=True)
    else:
        np.savez(path, x=array)
    with pytest.raises(Exception, match=r"pickle|object"):
        FORMATS[kind].load(path, None)
    assert not (tmp_path / "planted").exists()
