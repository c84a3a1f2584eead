"""An adapter of an installed package: thirty lines that keep the contract, found by their scheme."""

from __future__ import annotations

import io
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

import pytest

from deepforge_hpc.errors import UsageError
from deepforge_hpc.plugins.storage import (
    Capabilities,
    PlaceError,
    Range,
    Stat,
    Storage,
    open_place,
    scheme_of,
)
from deepforge_hpc.runtime.storage.base import (
    EXISTS,
    MISSING,
    checked,
    files_of,
    verify,
)
from deepforge_hpc.runtime.storage.local import LocalStorage
from deepforge_hpc.runtime.storage.streams import stream_part
from deepforge_hpc.testing.storage import StorageContract


class MemoryStorage(Storage):
    """The names and bytes of one process."""

    scheme = "memory"
    capabilities = Capabilities(exclusive=True, ranges=True)

    def __init__(self, root: str) -> None:
        super().__init__(root)
        self.kept: dict[str, bytes] = {}
        self.lock = threading.Lock()

    def files(self, name: str) -> Iterator[Stat]:
        for key, data in sorted(self.kept.items()):
            if not name or f"{key}/".startswith(f"{name}/"):
                yield Stat(key, "file", len(data), mtime_ns=0, version=str(hash(data)))

    def open(self, name: str, part: Range | None = None) -> BinaryIO:
        if checked(name) not in self.kept:
            raise PlaceError(MISSING, self.where(name), "is not there")
        return stream_part(io.BytesIO(self.kept[name]), part)

    def put(self, source: Path, name: str, *, expect: str = "", replace: bool = False) -> Stat:
        sha256 = verify(source, expect)
        place = checked(name)
        new = {
            f"{place}/{k}".rstrip("/"): file.read_bytes() for k, file in files_of(source).items()
        }
        with self.lock:
            old = {item.name for item in self.files(name)}
            if old and not replace:
                raise PlaceError(EXISTS, self.where(name), "exists already")
            self.kept = {k: data for k, data in self.kept.items() if k not in old} | new
        return self.stat(name)._replace(sha256=sha256)

    def delete(self, name: str) -> None:
        self.stat(name)
        for item in list(self.files(name)):
            del self.kept[item.name]


class TestMemory(StorageContract):
    @pytest.fixture
    def storage(self) -> Storage:
        return MemoryStorage("memory://trial")

    def set_raw(self, storage: MemoryStorage, name: str, data: bytes) -> None:
        storage.kept[name] = data

    def get_raw(self, storage: MemoryStorage, name: str) -> bytes:
        return storage.kept[name]

    def names_raw(self, storage: MemoryStorage) -> set[str]:
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
    monkeypatch.setitem(sys.modules, "places", sys.modules[__name__])


def test_a_place_is_opened_by_its_scheme(installed: None, tmp_path: Path) -> None:
    assert isinstance(open_place("memory://trial"), MemoryStorage)
    for root in (tmp_path, str(tmp_path), f"file://{tmp_path}"):
        place = open_place(root)
        assert isinstance(place, LocalStorage), "an installed package cannot take `file` over"
        assert Path(place.root) == tmp_path


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
