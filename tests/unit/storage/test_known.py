"""Digests of data that no job made are computed once, and hold while nothing changed."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path

import pytest

from deepforge_hpc.runtime.base.files import canonical_json, digest
from deepforge_hpc.runtime.storage.fault import DAMAGED, MISSING, PlaceError
from deepforge_hpc.runtime.storage.known import known_digest, lookup
from deepforge_hpc.runtime.storage.landing import copy_path
from deepforge_hpc.runtime.storage.local import LocalStorage


def known(ledger: Path, data: Path) -> str:
    """Return the digest of a file as it is now."""
    place, name = LocalStorage.at(data)
    return known_digest(ledger, place, place.stat(name))


def test_the_digest_cache_holds_while_nothing_changed(tmp_path: Path) -> None:
    data, ledger = tmp_path / "data", tmp_path / "ledger"
    data.write_text("one")
    old = time.time() - 100
    os.utime(data, (old, old))
    assert known(ledger, data) == digest(b"one")
    assert lookup(ledger, LocalStorage(tmp_path).stat("data")) == digest(b"one")
    (entry,) = (ledger / "digests").iterdir()
    entry.write_bytes(canonical_json({**json.loads(entry.read_text()), "sha256": "sha256:cached"}))
    assert known(ledger, data) == "sha256:cached"
    data.write_text("two")
    os.utime(data, (old, old))  # the same size and time: the inode's own time of change tells
    assert known(ledger, data) == digest(b"two")
    entry.write_text("{")
    assert known(ledger, data) == digest(b"two")


def test_a_file_that_was_just_written_is_not_remembered(tmp_path: Path) -> None:
    data = tmp_path / "data"
    data.write_text("one")
    known(tmp_path / "ledger", data)
    assert not (tmp_path / "ledger").exists()


def test_what_changes_while_it_is_read_is_refused(tmp_path: Path) -> None:
    (tmp_path / "data").write_text("one")
    place = LocalStorage(tmp_path)
    found = place.stat("data")
    (tmp_path / "data").write_text("two!")
    with pytest.raises(PlaceError, match="changed while its digest was computed") as caught:
        known_digest(tmp_path / "ledger", place, found)
    assert caught.value.kind == DAMAGED


def test_a_folder_is_measured_by_all_of_its_files(tmp_path: Path) -> None:
    folder = tmp_path / "folder"
    (folder / "sub").mkdir(parents=True)
    (folder / "a").write_text("12")
    (folder / "sub" / "b").write_text("345")
    place = LocalStorage(tmp_path)
    before = place.stat("folder")
    assert before.size == 5
    files = (folder, folder / "a", folder / "sub" / "b")
    assert before.mtime_ns == max(path.stat().st_mtime_ns for path in files)
    (folder / "sub" / "b").write_text("346")
    assert place.stat("folder").version != before.version
    with pytest.raises(PlaceError) as caught:
        place.stat("nothing")
    assert caught.value.kind == MISSING


def test_copying_keeps_bytes_and_makes_new_files(tmp_path: Path) -> None:
    source = tmp_path / "source"
    source.write_bytes(os.urandom(100_000))
    copy_path(source, tmp_path / "copy")
    assert (tmp_path / "copy").read_bytes() == source.read_bytes()
    with pytest.raises(ValueError, match="neither"):
        copy_path(tmp_path / "nothing", tmp_path / "x")
