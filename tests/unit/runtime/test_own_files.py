"""One reader for the files of an execution: of what was planted in their place it says so, at once."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable
from pathlib import Path

import pytest

from deepforge_hpc.runtime.base import jsonl
from deepforge_hpc.runtime.base.files import parse_object, read_own
from deepforge_hpc.runtime.base.folder import Folder


def bind(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))


PLANTED: dict[str, Callable[[Path], object]] = {
    "pipe": os.mkfifo,
    "folder": Path.mkdir,
    "link": lambda path: path.symlink_to(__file__),
    "device": lambda path: path.symlink_to("/dev/zero"),
    "socket": bind,
}


@pytest.fixture(autouse=True)
def _short_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The path of a socket has 108 bytes at most."""
    monkeypatch.chdir(tmp_path)


@pytest.mark.parametrize("name", PLANTED)
def test_what_is_no_plain_file_is_not_read(name: str) -> None:
    PLANTED[name](Path("planted"))
    with pytest.raises(ValueError, match="it is "):
        read_own(Path("planted"))
    with Folder.open(Path()) as folder:
        assert folder.read("planted", 100) is None
        assert folder.size("planted") is None


def test_a_folder_behind_a_link_is_empty() -> None:
    Path("folder").mkdir()
    Path("folder/file").touch()
    Path("link").symlink_to("folder")
    with Folder.open(Path()) as folder:
        for name, names in (("folder", {"file"}), ("link", set()), ("gone", set())):
            with folder.folder(name) as inner:
                assert inner.names() == names


def test_a_file_is_read_up_to_a_limit_and_no_further(monkeypatch: pytest.MonkeyPatch) -> None:
    with Path("sparse").open("wb") as stream:
        stream.truncate(64 << 20)
    asked = []
    read = os.read
    monkeypatch.setattr(os, "read", lambda handle, size: asked.append(size) or read(handle, size))
    with pytest.raises(ValueError, match="more than 1000 bytes"):
        read_own(Path("sparse"), limit=1000)
    assert sum(asked) <= 2000
    assert read_own(Path("sparse"), tail=3) == bytes(3)
    with Folder.open(Path()) as folder:
        assert folder.read("sparse", 1000) is None
        assert folder.tail("sparse", 3) == (bytes(3), 64 << 20)
    monkeypatch.setattr(jsonl, "LINES_LIMIT", 1 << 20)
    for look in (jsonl.read_lines, jsonl.last_line):
        with pytest.raises((OSError, ValueError), match=r"more than|without an end"):
            look(Path("sparse"))


@pytest.mark.parametrize("text", ["[" * 100_000, "[]", "7", "", "{", "\0\0"])
def test_what_is_no_object_is_a_value_error(text: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        parse_object(text)
