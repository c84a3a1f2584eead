"""Files of JSON lines with one writer at a time, who may be killed in the middle of a line."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from typing import Any

from .files import canonical_json, load_json, opened, opened_own, read_own, sync_folder

_STEP = 1 << 16
LINES_LIMIT = 256 << 20
"""Ten thousand jobs of many attempts, and what a reader may still hold."""


def append_line(path: Path, data: object, *, durable: bool = False) -> None:
    """Append one line whole, or nothing; a torn line that was there is dropped first.

    Raises OSError. With `durable` the line is on the disk when this returns.
    """
    append_lines(path, [data], durable=durable)


def append_lines(path: Path, items: Iterable[object], *, durable: bool = False) -> None:
    """Append lines as `append_line` does: all of them, or none."""
    lines = b"".join(canonical_json(item) for item in items)
    is_new = not path.exists()
    with opened(path, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW) as handle:
        end = os.lseek(handle, 0, os.SEEK_END)
        whole = _end_of_last_line(handle, end)
        if whole != end:
            os.ftruncate(handle, whole)
        if os.write(handle, lines) != len(lines):
            os.ftruncate(handle, whole)
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path))
        if durable:
            os.fsync(handle)
    if durable and is_new:
        sync_folder(path.parent)


def read_lines(path: Path) -> list[dict[str, Any]]:
    """Return the objects of all whole lines. OSError; ValueError if one is damaged."""
    data = read_own(path, limit=LINES_LIMIT)
    whole = data[: data.rfind(b"\n") + 1]
    # Parsed at once: a tenth of what a call for each line takes.
    found = load_json(b"[" + b",".join(whole.splitlines()) + b"]")
    if not all(isinstance(item, dict) for item in found):
        raise ValueError("a line holds no JSON object")
    return list(found)


def last_line(path: Path) -> bytes:
    """Return the last whole line, empty if there is none."""
    with suppress(FileNotFoundError), opened_own(path) as (handle, size):
        end = _end_of_last_line(handle, size)
        start = _end_of_last_line(handle, end - 1) if end else 0
        return os.pread(handle, end - start, start).rstrip(b"\n")
    return b""


def _end_of_last_line(handle: int, end: int) -> int:
    """Return the offset behind the last newline before `end`: what follows it is a torn line."""
    stop = end
    while stop > 0:
        if end - stop > LINES_LIMIT:
            raise OSError(errno.EFBIG, "a line without an end")
        start = max(0, stop - _STEP)
        chunk = os.pread(handle, stop - start, start)
        if (at := chunk.rfind(b"\n")) >= 0:
            return start + at + 1
        stop = start
    return 0
