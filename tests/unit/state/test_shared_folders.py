"""Folders that several processes make at once, and what is on the disk once a call has returned."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from deepforge_hpc.runtime.base.files import digest, publish_bytes
from deepforge_hpc.runtime.base.jsonl import append_line
from deepforge_hpc.runtime.state.record import write_blob, write_record
from deepforge_hpc.runtime.state.record_data import AccountingData, CountedAt
from deepforge_hpc.runtime.storage import known
from deepforge_hpc.runtime.storage.local import LocalStorage
from deepforge_hpc.schedulers.local_queue import LocalQueue
from deepforge_hpc.submit import project


def put(root: Path) -> None:
    (root / "x").write_text("x")
    LocalStorage(root / "new").put(root / "x", "deep/x")


def take_digest(root: Path) -> None:
    (root / "x").write_text("x")
    os.utime(root / "x", (0, 0))  # what may still be written to is not remembered
    place = LocalStorage(root)
    assert known.known_digest(root / "ledger", place, place.stat("x")) == digest(b"x")
    assert list((root / "ledger" / "digests").iterdir())


def lock(root: Path) -> None:
    with LocalQueue(root / "local").locked():
        LocalQueue(root / "local").command("cancel", ["L1"])


ACCOUNTING = AccountingData(
    "x-1", "0" * 32, 1, "ada", "1.0", "scheduler", (), digest(b""), CountedAt()
)
MAKERS: dict[str, Callable[[Path], object]] = {
    "record": lambda root: write_record(root, ACCOUNTING),
    "blob": lambda root: write_blob(root, b"x"),
    "destination": put,
    "digest": take_digest,
    "queue": lock,
    "ledger": lambda root: project.mark(root, root / "executions", "0" * 32),
}


@pytest.mark.parametrize("name", MAKERS)
def test_a_folder_that_another_process_makes_first_is_as_good(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    """Every one of our calls comes just after the other's, whatever was looked at before it."""
    mkdir = os.mkdir
    lost = []

    def late(path: str, mode: int = 0o777, **options: int) -> None:
        mkdir(path, mode, **options)
        lost.append(path)
        mkdir(path, mode, **options)  # the other's was the one above

    monkeypatch.setattr(os, "mkdir", late)
    MAKERS[name](tmp_path)
    assert lost


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, int]]:
    """Note the inode of what is synced, and of what is given a name, in their order."""
    noted: list[tuple[str, int]] = []
    fsync, replace, rename, link = os.fsync, os.replace, os.rename, os.link

    def sync(handle: int) -> None:
        fsync(handle)
        noted.append(("sync", os.fstat(handle).st_ino))

    def naming(call: Callable[..., None]) -> Callable[..., None]:
        def named(source: str, target: str, **options: bool) -> None:
            noted.append(("name", os.lstat(source).st_ino))
            call(source, target, **options)

        return named

    monkeypatch.setattr(os, "fsync", sync)
    for name, call in (("replace", replace), ("rename", rename), ("link", link)):
        monkeypatch.setattr(os, name, naming(call))
    return noted


def publish(root: Path) -> Path:
    publish_bytes(root / "x", b"x")
    return root / "x"


def put_file(root: Path) -> Path:
    (root / "source").write_text("x")
    place = LocalStorage(root / "place")
    place.put(root / "source", "x")
    return place.path_of("x")


def replace_file(root: Path) -> Path:
    (root / "source").write_text("x")
    place = LocalStorage(root / "place")
    place.put(root / "source", "x", replace=True)
    return place.path_of("x")


@pytest.mark.parametrize("write", [publish, put_file, replace_file])
def test_a_file_is_on_the_disk_before_it_has_its_name_and_its_name_when_the_call_returns(
    tmp_path: Path, calls: list[tuple[str, int]], write: Callable[[Path], Path]
) -> None:
    path = write(tmp_path)
    file, folder = path.stat().st_ino, path.parent.stat().st_ino
    of_both = [call for call in calls if call[1] in (file, folder)]
    assert of_both == [("sync", file), ("name", file), ("sync", folder)]


def test_a_line_that_must_last_is_on_the_disk_and_so_is_the_name_of_a_new_file(
    tmp_path: Path, calls: list[tuple[str, int]]
) -> None:
    path = tmp_path / "journal.jsonl"
    append_line(path, {"a": 1}, durable=True)
    file, folder = path.stat().st_ino, tmp_path.stat().st_ino
    assert calls == [("sync", file), ("sync", folder)]
    append_line(path, {"a": 2}, durable=True)
    assert calls[2:] == [("sync", file)]
    append_line(path, {"a": 3})
    assert len(calls) == 3
