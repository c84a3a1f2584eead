"""Copying and removing of files and folders, without the 60 file-system calls of `shutil`."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

from .files import own_status


def copy_path(source: Path, target: Path) -> None:
    """Copy a file or a folder (never what a link inside a folder points to)."""
    if source.is_dir():
        _copy_folder(source, target)
    elif source.is_file():
        copy_file(source, target)
    else:
        message = f"{source} is neither a file nor a folder"
        raise ValueError(message)


def _copy_folder(source: Path, target: Path) -> None:
    target.mkdir()
    for folder, names, files in os.walk(source):
        there = target / Path(folder).relative_to(source)
        for name in names + files:
            own_status(Path(folder, name))  # a link could point anywhere, a pipe block for ever
        for name in names:
            (there / name).mkdir()
        for name in files:
            copy_file(Path(folder, name), there / name)


def copy_file(source: Path, target: Path) -> None:
    """Copy the bytes of a file to a new one; the kernel moves them where it can."""
    with source.open("rb") as reader, target.open("xb", buffering=0) as writer:
        remaining = os.fstat(reader.fileno()).st_size
        while remaining > 0:
            sent = os.sendfile(writer.fileno(), reader.fileno(), None, min(remaining, 1 << 30))
            if sent == 0:
                break
            remaining -= sent


def link_or_copy(source: Path, target: Path) -> None:
    """Give a file a second name; copy it where the file system has no hard links."""
    try:
        target.hardlink_to(source)
    except OSError:
        copy_file(source, target)


def remove(path: Path) -> None:
    """Remove a file or a folder, as far as it is there and can be removed."""
    if not path.is_dir() or path.is_symlink():
        with suppress(OSError):
            path.unlink()
        return
    for folder, names, files in os.walk(path, topdown=False):
        for name in files:
            with suppress(OSError):
                os.unlink(f"{folder}/{name}")  # noqa: PTH108 - a str in, thousands of times
        for name in names:
            _remove_folder(f"{folder}/{name}")
    _remove_folder(str(path))


def _remove_folder(folder: str) -> None:
    with suppress(OSError):
        if os.path.islink(folder):  # noqa: PTH114 - as above
            os.unlink(folder)  # noqa: PTH108
        else:
            os.rmdir(folder)  # noqa: PTH106
