"""Copying and removing of files and folders, without the 60 file-system calls of `shutil`."""

from __future__ import annotations

import os
import stat
from pathlib import Path

from .files import remove


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


def own_status(path: Path) -> os.stat_result:
    """Return the status of a file or folder; ValueError if it is anything else."""
    status = path.lstat()
    if not (stat.S_ISREG(status.st_mode) or stat.S_ISDIR(status.st_mode)):
        what = "a link" if stat.S_ISLNK(status.st_mode) else "neither a file nor a folder"
        message = f"{path} is {what}, and a folder of data holds its own files only"
        raise ValueError(message)
    return status


__all__ = ["copy_file", "copy_path", "link_or_copy", "remove"]
