"""What the tests of storage share: raw access that bypasses the adapter, files, faults."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import ClassVar

import pytest

from deepforge_hpc.plugins.storage import PlaceError, Storage
from deepforge_hpc.runtime.storage import fault as faults

Maker = Callable[..., Path]
"""Makes a file, or a folder of {name: bytes}, on this machine: the fixture `source`."""
ODD_NAMES = (
    "größe/日本語 ✓.txt",
    "a b\tc",
    "two\nlines",
    'it\'s "$(quoted)" `so` \\ too',
    "-rf",
    ".hidden",
    "*?[x]{y}",
    "percent%2Fescaped#part?query=1&x",
    "https:",
    "x" * 200,
)
NO_NAMES = ("", "/", "/a", "a/", "a//b", ".", "..", "../a", "a/../b", "a/./b", "a\0b", "\udc80")


def sha256(data: bytes) -> str:
    """Return the digest as this package writes it."""
    return "sha256:" + hashlib.sha256(data).hexdigest()


def folder_sha256(files: dict[str, bytes]) -> str:
    """Return the digest of a folder, by its definition."""
    digests = {name: sha256(data) for name, data in files.items()}
    text = json.dumps(digests, sort_keys=True, ensure_ascii=False, separators=(",", ":")) + "\n"
    return sha256(text.encode())


class StorageTests:
    """Behaviour that stage-in, publication, reuse and verification rely on."""

    large_bytes: ClassVar[int] = (5 << 20) + 1
    """Of the large file; more than one part of whatever the adapter splits files into."""

    @pytest.fixture
    def storage(self, tmp_path: Path) -> Storage:
        """Return an empty place."""
        raise NotImplementedError

    def set_raw(self, storage: Storage, name: str, data: bytes) -> None:
        """Lay a file there, not by the adapter."""
        raise NotImplementedError

    def get_raw(self, storage: Storage, name: str) -> bytes:
        """Return the bytes that lie there, not by the adapter."""
        raise NotImplementedError

    def names_raw(self, storage: Storage) -> set[str]:
        """Return the names of all files that lie there, unfinished ones too, not by the adapter."""
        raise NotImplementedError

    # -- helpers

    @pytest.fixture
    def source(self, tmp_path: Path) -> Maker:
        """Return a function that makes a file, or a folder of {name: bytes}, on this machine."""
        made = tmp_path / "sources"

        def make(content: bytes | dict[str, bytes] = b"data", name: str = "source") -> Path:
            path = made / name
            if isinstance(content, bytes):
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(content)
                return path
            path.mkdir(parents=True)
            for below, data in content.items():
                (path / below).parent.mkdir(parents=True, exist_ok=True)
                (path / below).write_bytes(data)
            return path

        return make

    def refused(self, kind: str, action: Callable[[], object]) -> PlaceError:
        """Return the fault of an action, which must be of this kind and say what to do."""
        with pytest.raises(PlaceError) as caught:
            action()
        fault = caught.value
        assert fault.kind == kind, fault
        assert fault.where
        assert fault.what
        assert fault.where in str(fault)
        if kind != faults.UNSUPPORTED:
            assert fault.next.endswith("."), "what to do is a sentence"
        return fault

    def seen(self, storage: Storage) -> dict[str, bytes]:
        """Return all that lies there, not by the adapter."""
        return {name: self.get_raw(storage, name) for name in self.names_raw(storage)}
