"""A folder keeps the public contract of storage adapters, and what only a folder can be asked."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import quote

import pytest

from deepforge_hpc.plugins.storage import PlaceError, Storage
from deepforge_hpc.runtime.storage import fault, landing
from deepforge_hpc.runtime.storage.local import LocalStorage
from deepforge_hpc.testing.storage import StorageContract
from deepforge_hpc.testing.storage_base import folder_sha256, sha256


class TestLocal(StorageContract):
    @pytest.fixture
    def storage(self, tmp_path: Path) -> Storage:
        (tmp_path / "place").mkdir()
        return LocalStorage(tmp_path / "place")

    def set_raw(self, storage: Storage, name: str, data: bytes) -> None:
        path = Path(storage.root, name)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)

    def get_raw(self, storage: Storage, name: str) -> bytes:
        return Path(storage.root, name).read_bytes()

    def names_raw(self, storage: Storage) -> set[str]:
        root = Path(storage.root)
        return {str(path.relative_to(root)) for path in root.rglob("*") if path.is_file()}

    # -- what only a folder can be asked

    def test_the_place_itself_may_be_reached_by_a_link(
        self, storage: Storage, tmp_path: Path
    ) -> None:
        self.set_raw(storage, "a", b"x")
        (tmp_path / "link").symlink_to(storage.root)
        assert LocalStorage(tmp_path / "link").stat("a").size == 1
        assert LocalStorage(f"file://{storage.root}").stat("a").size == 1

    def test_links_below_the_place_are_not_followed(
        self, storage: Storage, source: Callable[..., Path], tmp_path: Path
    ) -> None:
        outside = tmp_path / "outside"
        outside.mkdir()
        (outside / "secret").write_bytes(b"secret")
        root = Path(storage.root)
        (root / "folder").symlink_to(outside)
        (root / "file").symlink_to(outside / "secret")
        self.set_raw(storage, "f/a", b"x")
        (root / "f" / "link").symlink_to(outside / "secret")
        for name in ("file", "folder", "folder/secret", "f"):
            for action in (storage.stat, storage.digest, storage.open):
                self.refused(fault.NOT_PLAIN, lambda a=action, n=name: a(n))
            self.refused(fault.NOT_PLAIN, lambda n=name: storage.get(n, tmp_path / "back"))
            self.refused(fault.NOT_PLAIN, lambda n=name: storage.copy(n, "copied"))
        for name in ("folder", "f"):
            self.refused(fault.NOT_PLAIN, lambda n=name: list(storage.list(n, deep=True)))
        for action in (
            lambda: storage.put(source(), "folder/new"),
            lambda: storage.delete("folder/secret"),
            lambda: storage.delete("file"),
        ):
            self.refused(fault.NOT_PLAIN, action)
        assert [path.name for path in outside.iterdir()] == ["secret"]
        assert [(item.name, item.kind) for item in storage.list()] == [
            ("f", "folder"),
            ("file", "other"),
            ("folder", "other"),
        ]

    def test_put_never_writes_through_a_link(
        self, storage: Storage, source: Callable[..., Path], tmp_path: Path
    ) -> None:
        (tmp_path / "precious").write_bytes(b"precious")
        Path(storage.root, "a").symlink_to(tmp_path / "precious")
        self.refused(fault.EXISTS, lambda: storage.put(source(), "a"))
        storage.put(source(), "a", replace=True)
        assert (tmp_path / "precious").read_bytes() == b"precious"
        assert storage.stat("a").size == 4

    def test_a_file_is_no_folder(self, storage: Storage, source: Callable[..., Path]) -> None:
        self.set_raw(storage, "a", b"x")
        self.refused(fault.NOT_PLAIN, lambda: storage.stat("a/b"))
        with pytest.raises(PlaceError):
            storage.put(source(), "a/b")
        assert self.seen(storage) == {"a": b"x"}

    def test_a_folder_cannot_be_put_into_itself(self, storage: Storage, tmp_path: Path) -> None:
        self.set_raw(storage, "f/a", b"x")
        assert "lies in it" in self.refused(fault.INVALID, lambda: storage.copy("f", "f/g")).what
        self.refused(fault.INVALID, lambda: storage.put(tmp_path, "whole"))
        assert self.seen(storage) == {"f/a": b"x"}

    def test_an_empty_folder_is_kept(self, storage: Storage, source: Callable[..., Path]) -> None:
        folder = source({"a": b"x"})
        (folder / "empty").mkdir()
        storage.put(folder, "f")
        assert Path(storage.root, "f", "empty").is_dir()
        Path(storage.root, "g").mkdir()
        self.refused(fault.EXISTS, lambda: storage.put(folder, "g"))

    def test_what_has_not_arrived_has_no_name(self, storage: Storage) -> None:
        left = ".dfh-0123456789ab.tmp"
        self.set_raw(storage, left, b"half")
        self.set_raw(storage, "a", b"x")
        assert [item.name for item in storage.list()] == ["a"]
        assert [item.name for item in storage.list(deep=True)] == ["a"]
        self.refused(fault.INVALID, lambda: storage.stat(left))
        (notice,) = storage.check()
        assert (notice.level, left in notice.text) == ("info", True)

    def test_the_longest_name_has_room_for_a_temporary_one(
        self, storage: Storage, source: Callable[..., Path]
    ) -> None:
        storage.put(source(), "x" * 255)
        assert self.seen(storage) == {"x" * 255: b"data"}
        self.refused(fault.INVALID, lambda: storage.put(source(), "x" * 256))

    def test_a_killed_put_of_a_folder_leaves_its_predecessor_or_itself(
        self, storage: Storage, source: Callable[..., Path]
    ) -> None:
        folder = source({str(number): b"new" for number in range(300)})
        for delay_s in (0.0, 0.002, 0.005, 0.02):
            child = self._start(lambda: storage.put(folder, "f"))
            time.sleep(delay_s)  # the moment of the kill
            os.kill(child, signal.SIGKILL)
            os.waitpid(child, 0)
            if list(storage.list()):
                assert storage.stat("f").files == 300
                storage.delete("f")

    def test_a_folder_is_at_its_place_again_if_the_new_one_cannot_get_its_name(
        self, storage: Storage, source: Callable[..., Path]
    ) -> None:
        self.set_raw(storage, "f/old", b"old")
        target = Path(storage.root, "f")
        with pytest.raises(OSError, match="No such file"):
            landing.name(Path(storage.root, "gone"), target, replace=True)
        assert self.seen(storage) == {"f/old": b"old"}

    def test_no_rights_no_put(self, open_folder: Path) -> None:
        """As another user where this one may do everything."""
        storage = LocalStorage(open_folder / "place")
        self.set_raw(storage, "a", b"x")
        path = open_folder / "source"
        path.write_bytes(b"new")
        Path(storage.root).chmod(0o555)

        def refused() -> None:
            self.refused(fault.DENIED, lambda: storage.put(path, "b"))
            self.refused(fault.DENIED, lambda: storage.put(path, "a", replace=True))
            self.refused(fault.DENIED, lambda: storage.delete("a"))
            assert storage.stat("a").size == 1
            (notice,) = storage.check()
            assert (notice.kind, notice.level) == ("storage", "error")
            assert "Permission denied" in notice.text

        assert as_nobody(refused) == ""
        assert self.seen(storage) == {"a": b"x"}

    def test_a_full_disk_keeps_nothing(self, small_disk: Path, source: Callable[..., Path]) -> None:
        storage = LocalStorage(small_disk)
        storage.put(source(b"old", "old"), "a")
        large = source(b"x" * (100 << 10), "large")
        self.refused(fault.FULL, lambda: storage.put(large, "b"))
        self.refused(fault.FULL, lambda: storage.put(large, "a", replace=True))
        self.refused(fault.FULL, lambda: LocalStorage(large.parent).get("large", small_disk / "c"))
        assert self.seen(storage) == {"a": b"old"}
        (notice,) = storage.check()
        assert notice.text == f"{small_disk} has less than 64 MiB free."

    def test_check_says_what_is_wrong(self, tmp_path: Path) -> None:
        (notice,) = LocalStorage(tmp_path / "not" / "yet").check()
        assert (notice.text.endswith("is made when it is needed."), notice.level) == (True, "info")
        assert not (tmp_path / "not").exists()
        (tmp_path / "file").touch()
        for place in (tmp_path / "file", tmp_path / "file" / "below"):
            (notice,) = LocalStorage(place).check()
            assert (notice.text.endswith("is not a folder."), notice.level) == (True, "error")

    def test_an_address_is_a_file_uri(self, storage: Storage) -> None:
        self.set_raw(storage, "a b%", b"x")
        assert storage.url("a b%") == f"file://{quote(storage.root)}/a%20b%25"

    def test_a_link_to_what_a_person_named_is_followed(
        self, storage: Storage, tmp_path: Path
    ) -> None:
        self.set_raw(storage, "f/a", b"x")
        (tmp_path / "named").symlink_to(Path(storage.root, "f"))
        place, name = LocalStorage.at(tmp_path / "named")
        assert (place.root, name) == (storage.root, "f")
        place, name = LocalStorage.at(tmp_path / "named" / "a")
        assert place.stat(name).size == 1

    def test_data_of_an_earlier_execution_gets_a_second_name(
        self, storage: LocalStorage, source: Callable[..., Path]
    ) -> None:
        folder = source({"a": b"1", "g/b": b"2"})
        storage.link(folder, "new/f")
        storage.link(folder / "a", "a")
        assert self.seen(storage) == {"new/f/a": b"1", "new/f/g/b": b"2", "a": b"1"}
        assert Path(storage.root, "a").samefile(folder / "a")
        self.refused(fault.EXISTS, lambda: storage.link(folder / "a", "a"))
        (folder / "link").symlink_to("a")
        self.refused(fault.NOT_PLAIN, lambda: storage.link(folder, "g"))
        self.refused(fault.MISSING, lambda: storage.link(folder / "nothing", "h"))

    def test_links_become_copies_on_another_file_system(
        self, small_disk: Path, source: Callable[..., Path]
    ) -> None:
        path = source(b"data")
        storage = LocalStorage(small_disk)
        storage.link(path, "a")
        assert storage.adopt(path, "b").sha256 == sha256(b"data")
        assert self.seen(storage) == {"a": b"data", "b": b"data"}

    def test_what_is_synced_already_is_taken_over(
        self, storage: LocalStorage, source: Callable[..., Path]
    ) -> None:
        self.set_raw(storage, "f/old", b"old")
        folder = source({"new": b"new"})
        assert storage.adopt(folder, "f").sha256 == folder_sha256({"new": b"new"})
        assert self.seen(storage) == {"f/new": b"new"}
        assert not folder.exists()


def as_nobody(action: Callable[[], object]) -> str:
    """Run in a child without root's rights; return what it raised, "" for nothing."""
    reader, writer = os.pipe()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        child = os.fork()
    if child == 0:
        text = ""
        try:
            if os.getuid() == 0:
                os.setgid(65534)
                os.setuid(65534)
            action()
        except BaseException as error:  # noqa: BLE001 - told by the parent
            text = repr(error)
        os.write(writer, text.encode())
        os._exit(0)
    os.close(writer)
    with os.fdopen(reader, "rb") as stream:
        told = stream.read().decode()
    os.waitpid(child, 0)
    return told


@pytest.fixture
def open_folder() -> Iterator[Path]:
    """Return a folder that any user can reach; pytest's own are closed to others."""
    folder = Path(tempfile.mkdtemp(prefix="dfh-open-", dir="/tmp"))
    folder.chmod(0o755)
    yield folder
    subprocess.run(["chmod", "-R", "u+w", str(folder)], check=True)
    shutil.rmtree(folder)
