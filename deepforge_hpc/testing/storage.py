"""What every storage adapter must do, as tests: subclass `StorageContract` and run pytest.

    class TestMemory(StorageContract):
        @pytest.fixture
        def storage(self, tmp_path: Path) -> Storage:
            return MemoryStorage("memory://trial")

        def set_raw(self, storage: Storage, name: str, data: bytes) -> None:
            storage.kept[name] = data

        def names_raw(self, storage: Storage) -> set[str]:
            return set(storage.kept)

        def get_raw(self, storage: Storage, name: str) -> bytes:
            return storage.kept[name]

The three raw methods must not use the adapter: what it says is compared with what they see.
"""

from __future__ import annotations

import hashlib
import json
import os
import signal
import threading
import time
import warnings
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, ClassVar

import pytest

from deepforge_hpc.plugins.storage import Move, PlaceError, Range, Stat, Storage
from deepforge_hpc.runtime.storage import fault as faults

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

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


class StorageContract:
    """Behaviour that stage-in, publication, re-use and verification rely on."""

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
    def source(self, tmp_path: Path) -> Callable[..., Path]:
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

    # -- what it is

    def test_it_says_its_scheme(self, storage: Storage) -> None:
        """A word that can stand before `://`."""
        assert storage.scheme
        assert storage.scheme == storage.scheme.lower()
        assert storage.scheme.replace("+", "").replace("-", "").isalnum()

    def test_every_capability_is_yes_or_no(self, storage: Storage) -> None:
        """Callers ask, they do not try."""
        assert all(isinstance(value, bool) for value in storage.capabilities)

    def test_check_finds_nothing_wrong(self, storage: Storage) -> None:
        """And leaves nothing behind."""
        self.set_raw(storage, "a", b"x")
        assert [notice for notice in storage.check() if notice.level == "error"] == []
        assert self.seen(storage) == {"a": b"x"}

    # -- stat

    def test_stat_of_a_file(self, storage: Storage) -> None:
        """Size and kind are those of the bytes."""
        self.set_raw(storage, "a.bin", b"12345")
        found = storage.stat("a.bin")
        assert (found.name, found.kind, found.size, found.files) == ("a.bin", "file", 5, 1)
        assert isinstance(found.mtime_ns, int)

    def test_stat_of_a_folder(self, storage: Storage) -> None:
        """Its size is the sum, however deep the files lie."""
        self.set_raw(storage, "f/a", b"12")
        self.set_raw(storage, "f/g/b", b"345")
        self.set_raw(storage, "fa", b"no part of it")
        found = storage.stat("f")
        assert (found.name, found.kind, found.size, found.files) == ("f", "folder", 5, 2)

    def test_stat_of_nothing(self, storage: Storage) -> None:
        """A fault that names what is missing."""
        assert "nothing" in self.refused(faults.MISSING, lambda: storage.stat("nothing")).where
        self.refused(faults.MISSING, lambda: storage.stat("nothing/below"))

    def test_the_beginning_of_a_name_is_no_name(self, storage: Storage) -> None:
        """`part` is neither the file `part-1` nor a folder of it."""
        self.set_raw(storage, "part-1", b"x")
        self.refused(faults.MISSING, lambda: storage.stat("part"))

    def test_a_change_shows_in_the_version(self, storage: Storage) -> None:
        """Unless the place knows none."""
        self.set_raw(storage, "f/a", b"one")
        before = storage.stat("f/a"), storage.stat("f")
        assert storage.stat("f/a").version == before[0].version
        self.set_raw(storage, "f/a", b"other")
        after = storage.stat("f/a"), storage.stat("f")
        for old, new in zip(before, after, strict=True):
            assert not old.version or old.version != new.version

    @pytest.mark.parametrize("name", NO_NAMES)
    def test_what_is_no_name_is_refused(
        self, storage: Storage, source: Callable[..., Path], tmp_path: Path, name: str
    ) -> None:
        """In every method, and nothing outside of the place is touched."""
        self.set_raw(storage, "a", b"x")
        file = source()
        for action in (
            lambda: storage.stat(name),
            lambda: storage.digest(name),
            lambda: storage.open(name),
            lambda: storage.get(name, tmp_path / "target"),
            lambda: storage.put(file, name, replace=True),
            lambda: storage.copy("a", name, replace=True),
            lambda: storage.copy(name, "b"),
            lambda: storage.delete(name),
        ):
            self.refused(faults.INVALID, action)
        assert self.seen(storage) == {"a": b"x"}
        assert not (tmp_path / "target").exists()

    # -- list

    def test_an_empty_place_lists_nothing(self, storage: Storage) -> None:
        """And is no fault."""
        assert list(storage.list()) == []
        assert list(storage.list(deep=True)) == []

    def test_a_listing_is_in_order(self, storage: Storage) -> None:
        """Of the whole names, so that two places with the same files list the same."""
        names = ["b", "a", "a-b", "Z", "f/2", "f/10", "f-1", "é", "f.txt"]
        for name in names:
            self.set_raw(storage, name, name.encode())
        listed = list(storage.list(deep=True))
        assert [item.name for item in listed] == sorted(names)
        assert [item.size for item in listed] == [len(name.encode()) for name in sorted(names)]
        assert {item.kind for item in listed} == {"file"}

    def test_a_listing_shows_one_level(self, storage: Storage) -> None:
        """Folders once, as folders."""
        for name in ("b", "f/1", "f/2", "f/g/3"):
            self.set_raw(storage, name, b"x")
        assert [(item.name, item.kind) for item in storage.list()] == [
            ("b", "file"),
            ("f", "folder"),
        ]
        assert [(item.name, item.kind) for item in storage.list("f")] == [
            ("f/1", "file"),
            ("f/2", "file"),
            ("f/g", "folder"),
        ]
        assert [item.name for item in storage.list("f", deep=True)] == ["f/1", "f/2", "f/g/3"]

    def test_a_listing_of_nothing(self, storage: Storage) -> None:
        """A fault: an empty answer would look like an empty folder."""
        self.refused(faults.MISSING, lambda: list(storage.list("nothing")))
        self.refused(faults.MISSING, lambda: list(storage.list("nothing", deep=True)))

    # -- digest

    @pytest.mark.parametrize("data", [b"", b"x", bytes(range(256)) * 5000])
    def test_digest_of_a_file(self, storage: Storage, data: bytes) -> None:
        """Of the bytes, whoever laid them there."""
        self.set_raw(storage, "a", data)
        assert storage.digest("a") == sha256(data)

    def test_digest_of_a_folder(self, storage: Storage) -> None:
        """Of what lies where; the same in every place."""
        files = {"b": b"1", "a": b"", "g/ü": b"22"}
        for name, data in files.items():
            self.set_raw(storage, f"f/{name}", data)
        assert storage.digest("f") == folder_sha256(files)

    def test_digest_of_nothing(self, storage: Storage) -> None:
        """A fault."""
        self.refused(faults.MISSING, lambda: storage.digest("nothing"))

    # -- open

    def test_open_reads_the_bytes(self, storage: Storage) -> None:
        """All of them."""
        data = os.urandom(100_000)
        self.set_raw(storage, "f/a", data)
        with storage.open("f/a") as stream:
            assert stream.read() == data

    @pytest.mark.parametrize(
        ("part", "wanted"),
        [
            (Range(0), b"0123456789"),
            (Range(0, 1), b"0"),
            (Range(3, 7), b"3456"),
            (Range(7), b"789"),
            (Range(7, 100), b"789"),
            (Range(4, 4), b""),
            (Range(10), b""),
            (Range(50, 60), b""),
        ],
    )
    def test_open_reads_a_part(self, storage: Storage, part: Range, wanted: bytes) -> None:
        """From the first byte to the one before the last; there is nothing behind the end."""
        self.set_raw(storage, "a", b"0123456789")
        with storage.open("a", part) as stream:
            assert stream.read() == wanted

    def test_a_part_is_read_in_pieces(self, storage: Storage) -> None:
        """As readers of large files do."""
        self.set_raw(storage, "a", b"0123456789")
        with storage.open("a", Range(2, 8)) as stream:
            assert [stream.read(4), stream.read(4), stream.read(4)] == [b"2345", b"67", b""]

    @pytest.mark.parametrize("part", [Range(-1), Range(-5, 3), Range(5, 3)])
    def test_what_is_no_range_is_refused(self, storage: Storage, part: Range) -> None:
        """Rather than to count from the end, as Python would."""
        self.set_raw(storage, "a", b"0123456789")
        self.refused(faults.INVALID, lambda: storage.open("a", part))

    def test_open_of_nothing_and_of_a_folder(self, storage: Storage) -> None:
        """Two faults."""
        self.set_raw(storage, "f/a", b"x")
        self.refused(faults.MISSING, lambda: storage.open("nothing"))
        with pytest.raises(PlaceError) as caught:
            storage.open("f")
        assert caught.value.kind in {faults.NOT_PLAIN, faults.MISSING}

    # -- put

    def test_put_keeps_the_bytes(self, storage: Storage, source: Callable[..., Path]) -> None:
        """And says what lies there now."""
        found = storage.put(source(b"data"), "a")
        assert self.seen(storage) == {"a": b"data"}
        assert (found.name, found.kind, found.size) == ("a", "file", 4)
        assert found.sha256 == sha256(b"data")

    def test_put_copies(self, storage: Storage, source: Callable[..., Path]) -> None:
        """What becomes of the source later on is nothing to what was kept."""
        path = source(b"first")
        storage.put(path, "a")
        with path.open("r+b") as stream:
            stream.write(b"other")
        assert self.get_raw(storage, "a") == b"first"

    def test_put_of_an_empty_file(self, storage: Storage, source: Callable[..., Path]) -> None:
        """Is a file too."""
        assert storage.put(source(b""), "empty").size == 0
        assert self.seen(storage) == {"empty": b""}

    def test_put_and_get_of_a_large_file(
        self, storage: Storage, source: Callable[..., Path], tmp_path: Path
    ) -> None:
        """Every byte."""
        data = os.urandom(self.large_bytes)
        storage.put(source(data), "large", expect=sha256(data))
        assert self.get_raw(storage, "large") == data
        storage.get("large", tmp_path / "back", expect=sha256(data))
        assert (tmp_path / "back").read_bytes() == data

    @pytest.mark.parametrize("name", ODD_NAMES)
    def test_odd_names_are_names(
        self, storage: Storage, source: Callable[..., Path], tmp_path: Path, name: str
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

    def test_put_makes_the_folders_above(
        self, storage: Storage, source: Callable[..., Path]
    ) -> None:
        """However many."""
        storage.put(source(), "a/b/c/d")
        assert self.seen(storage) == {"a/b/c/d": b"data"}

    def test_put_and_get_of_a_folder(
        self, storage: Storage, source: Callable[..., Path], tmp_path: Path
    ) -> None:
        """With all below it."""
        files = {"a": b"1", "g/b": b"22", "g/h/ü c": b""}
        found = storage.put(source(files), "f", expect=folder_sha256(files))
        assert (found.kind, found.size, found.files) == ("folder", 3, 3)
        assert found.sha256 == folder_sha256(files)
        assert self.seen(storage) == {f"f/{name}": data for name, data in files.items()}
        storage.get("f", tmp_path / "back", expect=folder_sha256(files))
        for name, data in files.items():
            assert (tmp_path / "back" / name).read_bytes() == data

    def test_an_existing_name_is_not_replaced(
        self, storage: Storage, source: Callable[..., Path]
    ) -> None:
        """Unless that is said."""
        self.set_raw(storage, "a", b"old")
        self.refused(faults.EXISTS, lambda: storage.put(source(b"new"), "a"))
        assert self.seen(storage) == {"a": b"old"}
        assert storage.put(source(b"newer"), "a", replace=True).size == 5
        assert self.seen(storage) == {"a": b"newer"}

    def test_an_existing_folder_is_replaced_as_a_whole(
        self, storage: Storage, source: Callable[..., Path]
    ) -> None:
        """What it held before is no part of what it holds now."""
        self.set_raw(storage, "f/old", b"old")
        new = source({"new": b"new"})
        self.refused(faults.EXISTS, lambda: storage.put(new, "f"))
        assert self.seen(storage) == {"f/old": b"old"}
        storage.put(new, "f", replace=True)
        assert self.seen(storage) == {"f/new": b"new"}

    def test_a_file_takes_the_place_of_a_folder_and_back(
        self, storage: Storage, source: Callable[..., Path]
    ) -> None:
        """Where it is said that it may."""
        storage.put(source({"x": b"1"}, "folder"), "a")
        storage.put(source(b"2", "file"), "a", replace=True)
        assert self.seen(storage) == {"a": b"2"}
        storage.put(source({"y": b"3"}, "another"), "a", replace=True)
        assert self.seen(storage) == {"a/y": b"3"}

    def test_a_wrong_digest_leaves_nothing(
        self, storage: Storage, source: Callable[..., Path]
    ) -> None:
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

    def test_a_wrong_digest_replaces_nothing(
        self, storage: Storage, source: Callable[..., Path]
    ) -> None:
        """What was there stays."""
        self.set_raw(storage, "a", b"old")
        path = source(b"damaged")
        self.refused(
            faults.DAMAGED,
            lambda: storage.put(path, "a", expect=sha256(b"whole"), replace=True),
        )
        assert self.seen(storage) == {"a": b"old"}

    def test_put_of_nothing(self, storage: Storage, tmp_path: Path) -> None:
        """The fault names the source."""
        fault = self.refused(faults.MISSING, lambda: storage.put(tmp_path / "nothing", "a"))
        assert str(tmp_path / "nothing") in str(fault)
        assert self.seen(storage) == {}

    def test_links_in_a_folder_are_refused(
        self, storage: Storage, source: Callable[..., Path], tmp_path: Path
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

    def test_of_concurrent_writers_one_wins(
        self, storage: Storage, source: Callable[..., Path]
    ) -> None:
        """The others are told, and what lies there is whole; what it takes is asked first."""
        if not storage.capabilities.exclusive:
            pytest.skip("the adapter says that it does not exclude")
        contents = [bytes([number]) * 50_000 for number in range(8)]
        told = self._race(storage, source, contents, replace=False)
        assert sorted(told) == ["", *[faults.EXISTS] * 7]
        assert self.seen(storage) == {"name": contents[told.index("")]}

    def test_of_concurrent_replacements_one_is_whole(
        self, storage: Storage, source: Callable[..., Path]
    ) -> None:
        """Never some of each."""
        contents = [bytes([number]) * 50_000 for number in range(8)]
        told = self._race(storage, source, contents, replace=True)
        assert set(told) == {""}
        seen = self.seen(storage)
        assert set(seen) == {"name"}
        assert seen["name"] in contents

    def _race(
        self,
        storage: Storage,
        source: Callable[..., Path],
        contents: list[bytes],
        *,
        replace: bool,
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

    def test_readers_see_the_old_or_the_new(
        self, storage: Storage, source: Callable[..., Path]
    ) -> None:
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

    def test_a_killed_put_leaves_no_name(
        self, storage: Storage, source: Callable[..., Path]
    ) -> None:
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

    # -- get

    def test_get_brings_the_bytes(self, storage: Storage, tmp_path: Path) -> None:
        """Folders above the target are made; it says what it brought."""
        self.set_raw(storage, "f/a", b"data")
        target = tmp_path / "new" / "folder" / "a"
        found = storage.get("f/a", target)
        assert target.read_bytes() == b"data"
        assert (found.name, found.sha256, found.size) == ("f/a", sha256(b"data"), 4)
        assert [path.name for path in target.parent.iterdir()] == ["a"]

    def test_get_of_nothing(self, storage: Storage, tmp_path: Path) -> None:
        """Leaves nothing."""
        target = tmp_path / "target" / "a"
        self.refused(faults.MISSING, lambda: storage.get("nothing", target))
        assert not target.exists()

    def test_get_replaces_only_where_it_may(self, storage: Storage, tmp_path: Path) -> None:
        """As `put`."""
        self.set_raw(storage, "a", b"new")
        target = tmp_path / "target"
        target.write_bytes(b"old")
        self.refused(faults.EXISTS, lambda: storage.get("a", target))
        assert target.read_bytes() == b"old"
        storage.get("a", target, replace=True)
        assert target.read_bytes() == b"new"

    def test_get_of_other_content_leaves_nothing(self, storage: Storage, tmp_path: Path) -> None:
        """What was changed there is not used here."""
        self.set_raw(storage, "a", b"changed")
        self.set_raw(storage, "f/a", b"changed")
        folder = tmp_path / "target"
        for name in ("a", "f"):
            self.refused(
                faults.DAMAGED,
                lambda name=name: storage.get(name, folder / "a", expect=sha256(b"whole")),  # type: ignore[misc]
            )
        assert not folder.exists() or list(folder.iterdir()) == []

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

    def test_copy_of_nothing(self, storage: Storage) -> None:
        """A fault."""
        self.refused(faults.MISSING, lambda: storage.copy("nothing", "b"))
        assert self.seen(storage) == {}

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

    def test_delete_of_nothing(self, storage: Storage) -> None:
        """A fault: who believes that something was there should hear that it was not."""
        self.refused(faults.MISSING, lambda: storage.delete("nothing"))

    # -- addresses and durable transfers

    def test_url_where_it_can(self, storage: Storage) -> None:
        """An address with a scheme, else a fault that says that there is none."""
        self.set_raw(storage, "f/a b", b"x")
        if not storage.capabilities.urls:
            self.refused(faults.UNSUPPORTED, lambda: storage.url("f/a b", seconds=60))
            return
        address = storage.url("f/a b", seconds=60)
        assert "://" in address
        assert " " not in address
        self.refused(faults.MISSING, lambda: storage.url("nothing"))

    def test_transfers_where_it_can(self, storage: Storage) -> None:
        """Else each of the three says that there are none."""
        if storage.capabilities.transfers:
            pytest.skip("the adapter has tests of its own for what its service does")
        move = Move(f"{storage.scheme}://a", f"{storage.scheme}://b")
        self.refused(faults.UNSUPPORTED, lambda: storage.submit([move], label="trial"))
        self.refused(faults.UNSUPPORTED, lambda: storage.poll("1"))
        self.refused(faults.UNSUPPORTED, lambda: storage.cancel("1"))


__all__ = ["NO_NAMES", "ODD_NAMES", "Stat", "StorageContract", "folder_sha256", "sha256"]
