"""How data gets its name: complete under a temporary one beside it, synced, then renamed."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from ..base.files import remove, require_plain, require_text, sync_folder, temporary_beside

_NO_LINKS = {errno.EPERM, errno.ENOTSUP, errno.EOPNOTSUPP, errno.EXDEV, errno.EMLINK, errno.ENOSYS}


@contextmanager
def arriving(target: Path, *, replace: bool = False) -> Iterator[Path]:
    """Give a temporary path beside a name that is free or may be replaced; then call `name`."""
    target.parent.mkdir(parents=True, exist_ok=True)
    if not replace and os.path.lexists(target):  # before hours of copying
        raise _exists(target)
    temporary = temporary_beside(target)
    try:
        yield temporary
    finally:
        remove(temporary)


def name(temporary: Path, target: Path, *, replace: bool) -> None:
    """Rename for good; without `replace` one of several wins: FileExistsError for the others."""
    if replace:
        _replace(temporary, target)
    elif temporary.is_dir():
        if os.path.lexists(target):  # an empty folder would be replaced without a word
            raise _exists(target)
        temporary.rename(target)
    else:
        _link(temporary, target)
    sync_folder(target.parent)


def _exists(target: Path) -> FileExistsError:
    return FileExistsError(errno.EEXIST, "exists already", str(target))


def _link(temporary: Path, target: Path) -> None:
    try:
        target.hardlink_to(temporary)
    except OSError as error:
        if error.errno not in _NO_LINKS:
            raise
        if os.path.lexists(target):
            raise _exists(target) from error
        temporary.rename(target)


def _replace(temporary: Path, target: Path) -> None:
    """A folder cannot take the place of another by one call: the old one steps aside first."""
    if not target.is_dir() or target.is_symlink():
        if temporary.is_dir() and os.path.lexists(target):
            target.unlink()
        temporary.replace(target)
        return
    old = temporary_beside(target)
    target.rename(old)
    try:
        temporary.replace(target)
    except BaseException:
        old.rename(target)
        raise
    remove(old)


def copy_path(source: Path, target: Path) -> None:
    """Copy a file or a folder (never what a link inside a folder points to)."""
    _each_file(source, target, copy_file)


def link_path(source: Path, target: Path) -> None:
    """Give a file, or all files of a folder, a second name, or copies where there are no links."""
    _each_file(source, target, _link_or_copy)


def _each_file(source: Path, target: Path, place: Callable[[Path, Path], None]) -> None:
    if source.is_file():
        place(source, target)
    elif source.is_dir():
        _each_below(str(source), target, place)
    else:
        raise ValueError(f"{source} is neither a file nor a folder")


def _each_below(folder: str, target: Path, place: Callable[[Path, Path], None]) -> None:
    target.mkdir()
    with os.scandir(folder) as entries:
        for entry in entries:
            require_text(entry)
            if entry.is_dir(follow_symlinks=False):
                _each_below(entry.path, target / entry.name, place)
            else:
                require_plain(entry)
                place(Path(entry.path), target / entry.name)


def copy_file(source: Path, target: Path) -> None:
    """Copy the bytes of a file to a new one; the kernel moves them where it can.

    A part of it is removed again: it may be what fills a disk.
    """
    with source.open("rb") as reader, target.open("xb", buffering=0) as writer:
        try:
            remaining = os.fstat(reader.fileno()).st_size
            while remaining > 0:
                sent = os.sendfile(writer.fileno(), reader.fileno(), None, min(remaining, 1 << 30))
                if sent == 0:
                    break
                remaining -= sent
        except BaseException:
            target.unlink()
            raise


def _link_or_copy(source: Path, target: Path) -> None:
    try:
        target.hardlink_to(source)
    except OSError:
        copy_file(source, target)
