"""Reads files below a folder, and nothing that a planted link points to elsewhere."""

from __future__ import annotations

import os
import stat
from pathlib import Path

from .files import OWN, opened_own, read_most, read_own


class Folder:
    """An open folder. What is missing, damaged, a link or not a plain file reads as None."""

    def __init__(self, handle: int) -> None:
        self._handle = handle

    @classmethod
    def open(cls, path: Path) -> Folder:
        """Open the outermost folder, to which the path may lead through links; OSError."""
        return cls(os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC))

    def __enter__(self) -> Folder:  # noqa: PYI034 - Self came with Python 3.11
        return self

    def __exit__(self, *_error: object) -> None:
        if self._handle >= 0:
            os.close(self._handle)

    def folder(self, name: str) -> Folder:
        """Return a folder inside; an empty one if it is not there."""
        try:
            return Folder(os.open(name, OWN | os.O_DIRECTORY, dir_fd=self._handle))
        except (OSError, ValueError):
            return Folder(-1)

    def names(self) -> frozenset[str]:
        """Return the names of all that is in the folder."""
        if self._handle < 0:
            return frozenset()
        try:
            return frozenset(os.listdir(self._handle))  # noqa: PTH208 - of an open folder
        except OSError:
            return frozenset()

    def read(self, name: str, limit: int) -> bytes | None:
        """Return a file of at most `limit` bytes."""
        data, size = self._read(name, limit)
        return data if size <= limit else None

    def tail(self, name: str, limit: int) -> tuple[bytes, int]:
        """Return the last `limit` bytes of a file, and its whole size."""
        data, size = self._read(name, limit)
        return data or b"", size

    def size(self, name: str) -> int | None:
        """Return the size of a plain file."""
        if self._handle < 0 or "/" in name:
            return None
        try:
            found = os.stat(name, dir_fd=self._handle, follow_symlinks=False)
        except (OSError, ValueError):
            return None
        return found.st_size if stat.S_ISREG(found.st_mode) else None

    def own(self, name: str) -> bytes:
        """Return a file; FileNotFoundError if there is none, OSError or ValueError if damaged."""
        if self._handle < 0:
            raise FileNotFoundError(name)
        return read_own(name, folder=self._handle)

    def _read(self, name: str, limit: int) -> tuple[bytes | None, int]:
        if self._handle < 0 or "/" in name:
            return None, 0
        try:
            with opened_own(name, folder=self._handle) as (handle, size):
                os.lseek(handle, max(0, size - limit), os.SEEK_SET)
                return read_most(handle, limit), size
        except (OSError, ValueError):
            return None, 0
