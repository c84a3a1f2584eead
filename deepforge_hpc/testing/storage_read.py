"""Tests of storage: what is asked of a place and read from it."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from deepforge_hpc.plugins.storage import ByteRange, Move, PlaceError, Storage
from deepforge_hpc.runtime.storage import fault as faults
from deepforge_hpc.testing.storage_base import NO_NAMES, Maker, StorageTests, folder_sha256, sha256


class ReadingTests(StorageTests):
    """stat, list, digest, open, get, and what it says of itself."""

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
        self, storage: Storage, source: Maker, tmp_path: Path, name: str
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

    @pytest.mark.parametrize("name", ["nothing", "nothing/below", "a/below"])
    def test_what_is_not_there_is_missing(
        self, storage: Storage, tmp_path: Path, name: str
    ) -> None:
        """In every method: an empty answer would look like an empty folder."""
        self.set_raw(storage, "ab", b"x")
        for action in (
            lambda: storage.stat(name),
            lambda: storage.digest(name),
            lambda: storage.open(name),
            lambda: list(storage.list(name)),
            lambda: list(storage.list(name, deep=True)),
            lambda: storage.get(name, tmp_path / "target" / "a"),
            lambda: storage.copy(name, "b"),
            lambda: storage.delete(name),
        ):
            assert name in self.refused(faults.MISSING, action).where
        assert self.seen(storage) == {"ab": b"x"}
        assert not (tmp_path / "target" / "a").exists()

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
            (ByteRange(0), b"0123456789"),
            (ByteRange(0, 1), b"0"),
            (ByteRange(3, 7), b"3456"),
            (ByteRange(7), b"789"),
            (ByteRange(7, 100), b"789"),
            (ByteRange(4, 4), b""),
            (ByteRange(10), b""),
            (ByteRange(50, 60), b""),
        ],
    )
    def test_open_reads_a_part(self, storage: Storage, part: ByteRange, wanted: bytes) -> None:
        """From the first byte to the one before the last; there is nothing behind the end."""
        self.set_raw(storage, "a", b"0123456789")
        with storage.open("a", part) as stream:
            assert stream.read() == wanted

    def test_a_part_is_read_in_pieces(self, storage: Storage) -> None:
        """As readers of large files do."""
        self.set_raw(storage, "a", b"0123456789")
        with storage.open("a", ByteRange(2, 8)) as stream:
            assert [stream.read(4), stream.read(4), stream.read(4)] == [b"2345", b"67", b""]

    @pytest.mark.parametrize("part", [ByteRange(-1), ByteRange(-5, 3), ByteRange(5, 3)])
    def test_what_is_no_range_is_refused(self, storage: Storage, part: ByteRange) -> None:
        """Rather than to count from the end, as Python would."""
        self.set_raw(storage, "a", b"0123456789")
        self.refused(faults.INVALID, lambda: storage.open("a", part))

    def test_open_of_a_folder(self, storage: Storage) -> None:
        """A fault."""
        self.set_raw(storage, "f/a", b"x")
        with pytest.raises(PlaceError) as caught:
            storage.open("f")
        assert caught.value.kind in {faults.NOT_PLAIN, faults.MISSING}

    # -- get

    def test_get_brings_the_bytes(self, storage: Storage, tmp_path: Path) -> None:
        """Folders above the target are made; it says what it brought."""
        self.set_raw(storage, "f/a", b"data")
        target = tmp_path / "new" / "folder" / "a"
        found = storage.get("f/a", target)
        assert target.read_bytes() == b"data"
        assert (found.name, found.sha256, found.size) == ("f/a", sha256(b"data"), 4)
        assert [path.name for path in target.parent.iterdir()] == ["a"]

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
