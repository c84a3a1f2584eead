"""What stands in the way of using a folder: tried with a real file, which is removed."""

from __future__ import annotations

import os
from pathlib import Path

from ..base.files import is_temporary, publish_bytes, remove, temporary_beside
from ..base.notice import ERROR, INFO, WARNING, Notice
from .fault import PlaceError
from .landing import name

_LEAST_FREE = 64 << 20


def look(root: Path) -> tuple[Notice, ...]:
    """Say what is wrong with a folder, or what `put` will have to make."""
    there = next(path for path in (root, *root.parents) if os.path.lexists(path))
    if not there.is_dir():
        return (_notice(ERROR, there, "is not a folder", "Choose another place."),)
    found = [] if there == root else [_notice(INFO, root, "is made when it is needed")]
    try:
        _try(there)
        found += _left_over(there)
    except OSError as error:
        fault = PlaceError.of(error, there)
        return (*found, _notice(ERROR, there, f"cannot be used: {fault.what}", fault.next))
    room = os.statvfs(there)
    if room.f_bavail * room.f_frsize < _LEAST_FREE:
        found.append(_notice(WARNING, there, "has less than 64 MiB free", "Free some space."))
    return tuple(found)


def _try(folder: Path) -> None:
    """Write, sync, link and rename, as every `put` does."""
    first, second = temporary_beside(folder / "trial"), temporary_beside(folder / "trial")
    try:
        publish_bytes(first, b"trial")
        name(first, second, replace=False)
    finally:
        remove(first)
        remove(second)


def _left_over(folder: Path) -> list[Notice]:
    names = [entry for entry in sorted(os.listdir(folder)) if is_temporary(entry)]  # noqa: PTH208
    if not names:
        return []
    what = f"holds {len(names)} file(s) of writers that work now, or were killed: {names[0]}"
    return [_notice(INFO, folder, what, "Remove those that nobody writes any more.")]


def _notice(level: str, where: Path, what: str, step: str = "") -> Notice:
    return Notice("storage", f"{where} {what}.", str(where), next=step, level=level)
