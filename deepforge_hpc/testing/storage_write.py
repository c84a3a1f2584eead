"""Tests of storage: what is written to a place, by one or by many, and killed in the middle."""

from __future__ import annotations

import os
import signal
import threading
import time
import warnings
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from deepforge_hpc.plugins.storage import PlaceError, Storage
from deepforge_hpc.runtime.storage import fault as faults
from deepforge_hpc.testing.storage_base import ODD_NAMES, Maker, StorageTests, folder_sha256, sha256


class WritingTests(StorageTests):
    """put, copy, delete."""

    # -- put

    def test_put_keeps_the_bytes(self, storage: Storage, source: Maker) -> None:
        """And says what lies there now."""
        found = storage.put(source(b"data"), "a")
        assert self.seen(storage) == {"a": b"data"}
        assert (found.name, found.kind, found.size) == ("a", "file", 4)
        assert found.sha256 == sha256(b"data")

    def test_put_copies(self, storage: Storage, source: Maker) -> None:
        """What becomes of the source later on is nothing to what was kept."""
        path = source(b"first")
        storage.put(path, "a")
        with path.open("r+b") as stream:
            stream.write(b"other")
        assert self.get_raw(storage, "a") == b"first"

    def test_put_of_an_empty_file(self, storage: Storage, source: Maker) -> None:
        """Is a file too."""
        assert storage.put(source(b""), "empty").size == 0
        assert self.seen(storage) == {"empty": b""}

    def test_put_and_get_of_a_large_file(
        self, storage: Storage, source: Maker, tmp_path: Path
    ) -> None:
        """Every byte."""
        data = os.urandom(self.large_bytes)
        storage.put(source(data), "large", expect=sha256(data))
        assert self.get_raw(storage, "large") == data
        storage.get("large", tmp_path / "back", expect=sha256(data))
        assert (tmp_path / "back").read_bytes() == data

    @pytest.mark.parametrize("name", ODD_NAMES)
    def test_odd_names_are_names(
        self, storage: Storage, source: Maker, tmp_path: Path, name: str
    ) -> None:
        """There and back, and as they are."""
        storage.put(source(b"odd"), name)
        assert self.seen(storage) == {name: b"odd"}
        assert [item.name for item in storage.list(deep=True)] == [name]
        assert storage.stat(name).size == 3
        storage.get(name, tmp_path / "back")
        storage.copy(name, f"copy of/{name}")
        assert (tmp_path / "back").read_bytes() == b"odd"
        storage.delete(name)
        assert self.seen(storage) == {f"copy of/{name}": b"odd"}

    def test_put_makes_the_folders_above(self, storage: Storage, source: Maker) -> None:
        """However many."""
        storage.put(source(), "a/b/c/d")
        assert self.seen(storage) == {"a/b/c/d": b"data"}

    def test_put_and_get_of_a_folder(self, storage: Storage, source: Maker, tmp_path: Path) -> None:
        """With all below it."""
        files = {"a": b"1", "g/b": b"22", "g/h/ü c": b""}
        found = storage.put(source(files), "f", expect=folder_sha256(files))
        assert (found.kind, found.size, found.files) == ("folder", 3, 3)
        assert found.sha256 == folder_sha256(files)
        assert self.seen(storage) == {f"f/{name}": data for name, data in files.items()}
        storage.get("f", tmp_path / "back", expect=folder_sha256(files))
        for name, data in files.items():
            assert (tmp_path / "back" / name).read_bytes() == data

    def test_an_existing_name_is_not_replaced(self, storage: Storage, source: Maker) -> None:
        """Unless that is said."""
        self.set_raw(storage, "a", b"old")
        self.refused(faults.EXISTS, lambda: storage.put(source(b"new"), "a"))
        assert self.seen(storage) == {"a": b"old"}
        assert storage.put(source(b"newer"), "a", replace=True).size == 5
        assert self.seen(storage) == {"a": b"newer"}

    def test_an_existing_folder_is_replaced_as_a_whole(
        self, storage: Storage, source: Maker
    ) -> None:
        """What it held before is no part of what it holds now."""
        self.set_raw(storage, "f/old", b"old")
        new = source({"new": b"new"})
        self.refused(faults.EXISTS, lambda: storage.put(new, "f"))
        assert self.seen(storage) == {"f/old": b"old"}
        storage.put(new, "f", replace=True)
        assert self.seen(storage) == {"f/new": b"new"}

    def test_a_file_takes_the_place_of_a_folder_and_back(
        self, storage: Storage, source: Maker
    ) -> None:
        """Where it is said that it may."""
        storage.put(source({"x": b"1"}, "folder"), "a")
        storage.put(source(b"2", "file"), "a", replace=True)
        assert self.seen(storage) == {"a": b"2"}
        storage.put(source({"y": b"3"}, "another"), "a", replace=True)
        assert self.seen(storage) == {"a/y": b"3"}

    def test_a_wrong_digest_leaves_nothing(self, storage: Storage, source: Maker) -> None:
        """Neither under the name nor under another; both digests are told."""
        path = source(b"damaged")
        fault = self.refused(
            faults.DAMAGED, lambda: storage.put(path, "a", expect=sha256(b"whole"))
        )
        assert sha256(b"whole") in fault.what
        assert sha256(b"damaged") in fault.what
        folder = source({"x": b"damaged"}, "folder")
        self.refused(faults.DAMAGED, lambda: storage.put(folder, "f", expect=sha256(b"whole")))
        assert self.seen(storage) == {}

    def test_a_wrong_digest_replaces_nothing(self, storage: Storage, source: Maker) -> None:
        """What was there stays."""
        self.set_raw(storage, "a", b"old")
        path = source(b"damaged")
        self.refused(
            faults.DAMAGED, lambda: storage.put(path, "a", expect=sha256(b"whole"), replace=True)
        )
        assert self.seen(storage) == {"a": b"old"}

    def test_put_of_nothing(self, storage: Storage, tmp_path: Path) -> None:
        """The fault names the source."""
        fault = self.refused(faults.MISSING, lambda: storage.put(tmp_path / "nothing", "a"))
        assert str(tmp_path / "nothing") in str(fault)
        assert self.seen(storage) == {}

    def test_links_in_a_folder_are_refused(
        self, storage: Storage, source: Maker, tmp_path: Path
    ) -> None:
        """They could lead anywhere; nothing of the folder is kept."""
        (tmp_path / "secret").write_bytes(b"secret")
        for number, target in enumerate(("secret", ".", "nothing")):
            folder = source({"a": b"1", "z": b"2"}, f"folder-{number}")
            (folder / "link").symlink_to(tmp_path / target)
            self.refused(faults.NOT_PLAIN, lambda folder=folder: storage.put(folder, "f"))  # type: ignore[misc]
        assert self.seen(storage) == {}

    def test_a_pipe_does_not_hold_it_up(self, storage: Storage, tmp_path: Path) -> None:
        """Reading one would never end."""
        (tmp_path / "folder").mkdir()
        os.mkfifo(tmp_path / "folder" / "pipe")
        self.refused(faults.NOT_PLAIN, lambda: storage.put(tmp_path / "folder", "f"))
        self.refused(faults.NOT_PLAIN, lambda: storage.put(tmp_path / "folder" / "pipe", "p"))
        assert self.seen(storage) == {}

    def test_of_concurrent_writers_one_wins(self, storage: Storage, source: Maker) -> None:
        """The others are told, and what lies there is whole; what it takes is asked first."""
        if not storage.capabilities.exclusive:
            pytest.skip("the adapter says that it does not exclude")
        contents = [bytes([number]) * 50_000 for number in range(8)]
        outcomes = self._race(storage, source, contents, replace=False)
        assert sorted(outcomes) == ["", *[faults.EXISTS] * 7]
        assert self.seen(storage) == {"name": contents[outcomes.index("")]}

    def test_of_concurrent_replacements_one_is_whole(self, storage: Storage, source: Maker) -> None:
        """Never some of each."""
        contents = [bytes([number]) * 50_000 for number in range(8)]
        outcomes = self._race(storage, source, contents, replace=True)
        assert set(outcomes) == {""}
        seen = self.seen(storage)
        assert set(seen) == {"name"}
        assert seen["name"] in contents

    def _race(
        self, storage: Storage, source: Maker, contents: list[bytes], *, replace: bool
    ) -> list[str]:
        """Put all contents under one name at once; return the kind of each fault, "" for none."""
        start = threading.Barrier(len(contents))

        def put(number: int) -> str:
            path = source(contents[number], f"source-{number}")
            start.wait()
            try:
                storage.put(path, "name", replace=replace)
            except PlaceError as fault:
                return fault.kind
            return ""

        with ThreadPoolExecutor(len(contents)) as pool:
            return list(pool.map(put, range(len(contents))))

    def test_readers_see_the_old_or_the_new(self, storage: Storage, source: Maker) -> None:
        """While a file is replaced there is no moment without it, and none with half of it."""
        contents = [b"a" * 200_000, b"b" * 200_000]
        paths = [source(data, f"source-{data[:1].decode()}") for data in contents]
        storage.put(paths[0], "name")
        ended = threading.Event()
        wrong: list[object] = []

        def read() -> None:
            while not ended.is_set():
                with storage.open("name") as stream:
                    data = stream.read()
                if data not in contents:
                    wrong.append(len(data))

        with ThreadPoolExecutor() as pool:
            reader = pool.submit(read)
            for number in range(20):
                storage.put(paths[number % 2], "name", replace=True)
            ended.set()
            reader.result()
        assert wrong == []

    def test_a_killed_put_leaves_no_name(self, storage: Storage, source: Maker) -> None:
        """Killed at any moment: the name is free, or holds all of it; then it can be put again."""
        data = os.urandom(self.large_bytes)
        path = source(data)
        for delay_s in (0.0, 0.001, 0.003, 0.01):
            child = self._start(lambda: storage.put(path, "name"))
            time.sleep(delay_s)  # not to wait for anything: this is the moment of the kill
            os.kill(child, signal.SIGKILL)
            os.waitpid(child, 0)
            listed = [item.name for item in storage.list(deep=True)]
            if listed:
                assert listed == ["name"]
                assert self.get_raw(storage, "name") == data
                storage.delete("name")
            self.refused(faults.MISSING, lambda: storage.stat("name"))
        assert storage.put(path, "name").sha256 == sha256(data)

    @staticmethod
    def _start(action: Callable[[], object]) -> int:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # a fork of a process with threads: it is killed anyway
            child = os.fork()
        if child == 0:
            try:
                action()
            finally:
                os._exit(0)
        return child

    # -- copy

    def test_copy_keeps_both(self, storage: Storage) -> None:
        """A file, and a folder."""
        self.set_raw(storage, "f/a", b"data")
        found = storage.copy("f/a", "g/b")
        assert (found.name, found.sha256) == ("g/b", sha256(b"data"))
        storage.copy("f", "h")
        assert self.seen(storage) == {"f/a": b"data", "g/b": b"data", "h/a": b"data"}

    def test_copy_replaces_only_where_it_may(self, storage: Storage) -> None:
        """As `put`."""
        self.set_raw(storage, "a", b"new")
        self.set_raw(storage, "b", b"old")
        self.refused(faults.EXISTS, lambda: storage.copy("a", "b"))
        assert self.get_raw(storage, "b") == b"old"
        storage.copy("a", "b", replace=True)
        assert self.seen(storage) == {"a": b"new", "b": b"new"}

    def test_copy_of_other_content_leaves_nothing(self, storage: Storage) -> None:
        """As `put`."""
        self.set_raw(storage, "a", b"changed")
        self.refused(faults.DAMAGED, lambda: storage.copy("a", "b", expect=sha256(b"whole")))
        assert self.seen(storage) == {"a": b"changed"}

    # -- delete

    def test_delete_takes_a_file_away(self, storage: Storage) -> None:
        """And nothing beside it."""
        for name in ("a", "ab", "f/a"):
            self.set_raw(storage, name, b"x")
        storage.delete("a")
        assert self.names_raw(storage) == {"ab", "f/a"}

    def test_delete_takes_a_folder_away(self, storage: Storage) -> None:
        """With all below it, and nothing whose name begins so."""
        for name in ("f/a", "f/g/b", "fa"):
            self.set_raw(storage, name, b"x")
        storage.delete("f")
        assert self.names_raw(storage) == {"fa"}
        self.refused(faults.MISSING, lambda: storage.stat("f"))
