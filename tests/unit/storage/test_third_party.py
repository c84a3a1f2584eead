"""An adapter of an installed package, that of the documentation: its contract, found by its scheme."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from deepforge_hpc.errors import UsageError
from deepforge_hpc.plugins import registry
from deepforge_hpc.plugins.storage import Storage, open_place, scheme_of
from deepforge_hpc.runtime.storage.local import LocalStorage
from deepforge_hpc.testing import StorageContract

PAGE = Path(__file__).parents[3] / "docs" / "developer" / "add-a-storage-adapter.md"


def documented() -> Any:
    """Return the module of the documentation."""
    (source,) = re.findall(
        r"cat > memory_storage.py <<'END'\n(.*?)^END$", PAGE.read_text(), re.DOTALL | re.MULTILINE
    )
    module = ModuleType("memory_storage")
    exec(compile(source, "memory_storage.py", "exec"), vars(module))
    return module


MODULE = documented()
MemoryStorage = MODULE.MemoryStorage


class TestMemory(StorageContract):
    @pytest.fixture
    def storage(self) -> Storage:
        return MemoryStorage("memory://trial")

    def set_raw(self, storage: Any, name: str, data: bytes) -> None:
        storage.kept[name] = data

    def get_raw(self, storage: Any, name: str) -> bytes:
        return storage.kept[name]

    def names_raw(self, storage: Any) -> set[str]:
        return set(storage.kept)


@pytest.fixture
def installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Lay a package where Python finds it that registers this module's adapter, and worse ones."""
    info = tmp_path / "lib" / "places-1.0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: places\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(
        "[deepforge_hpc.storage]\nmemory = places:MemoryStorage\n"
        "odd = places:Path\ngone = places:Nowhere\nfile = places:MemoryStorage\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path / "lib"))
    MODULE.Path = Path
    monkeypatch.setitem(sys.modules, "places", MODULE)


def test_a_place_is_opened_by_its_scheme(installed: None, tmp_path: Path) -> None:
    assert isinstance(open_place("memory://trial"), MemoryStorage)
    for root in (tmp_path, str(tmp_path), f"file://{tmp_path}"):
        place = open_place(root)
        assert isinstance(place, LocalStorage), "an installed package cannot take `file` over"
        assert Path(place.root) == tmp_path


def test_a_scheme_of_the_table_is_in_this_version(monkeypatch: pytest.MonkeyPatch) -> None:
    ours = "deepforge_hpc.runtime.storage.local:LocalStorage"
    monkeypatch.setitem(registry._BUILT_IN["storage"], "sftp", ours)
    assert isinstance(open_place("sftp://host/x"), LocalStorage)


@pytest.mark.parametrize(
    ("uri", "message", "hint"),
    [
        ("s3://bucket/x", "s3:// is not in this version", "by hand"),
        ("GLOBUS://c/x", "globus:// is not in this version", "by hand"),
        ("memroy://x", "no 'memroy'", "Did you mean 'memory'?"),
        ("odd://x", "does not keep the contract", "Update or remove"),
        ("gone://x", "cannot be imported", "Reinstall or remove"),
    ],
)
def test_what_cannot_be_opened_is_said(installed: None, uri: str, message: str, hint: str) -> None:
    with pytest.raises(UsageError) as caught:
        open_place(uri)
    assert message in caught.value.message
    assert hint in caught.value.hint


def test_a_path_has_no_scheme() -> None:
    assert scheme_of("S3://x") == "s3"
    for text in ("data/x.h5", "/data/x.h5", "a:b", "x/s3://y", ""):
        assert scheme_of(text) == ""
