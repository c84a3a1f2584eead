"""Whether a file, or a folder of parts, still is what was published.

Stage-in, the gather job, reuse and `dfh prov verify` ask here.
"""

from __future__ import annotations

import errno
import os
from typing import TYPE_CHECKING, NamedTuple

from ..storage.fault import MISSING, NOT_PLAIN, PlaceError
from ..storage.local import LocalStorage

if TYPE_CHECKING:
    from pathlib import Path

    from ..storage.base import Storage
    from .marker import Output

_READ_BYTES = 64 << 20
"""What is larger is compared by size and time of change: it was hashed when it was made."""


class Comparison(NamedTuple):
    """What a comparison found."""

    fault: str = ""
    """What is wrong, as the end of a sentence: `is missing`; empty if nothing is."""
    trust: str = ""
    """How it was compared: `content`, or `stat` (size and time of change)."""
    sha256: str = ""
    """Of the content as it is now, where it was read."""
    is_missing: bool = False
    is_unread: bool = False
    """It could not be read: nothing is known of it."""


def check(path: Path, made: Output) -> Comparison:
    """Compare a published output with its entry in a marker; OSError if it cannot be read.

    Small ones are read; with DFH_VERIFY=full in the environment, all are.
    """
    return _check(path, made.sha256, made)


def _check(
    path: Path, sha256: str, made: Output | None = None, largest: int | None = None
) -> Comparison:
    try:
        place = LocalStorage(path.parent)
        if largest is not None and (size := place.stat(path.name).size) > largest:
            return Comparison(f"is damaged: it has {size} bytes, and {largest} were made")
        return _compare(place, path.name, sha256, made)
    except PlaceError as error:
        if error.kind == MISSING or error.errno == errno.ENOTDIR:
            return Comparison("is missing", is_missing=True)
        if error.kind == NOT_PLAIN:
            return Comparison(f"is damaged: {error}")
        raise


def look(path: Path, sha256: str, size: int | None = None) -> Comparison:
    """Compare all of a file or folder with its digest; `is_unread` if it cannot be read.

    What is larger than `size` is not read: it may have no end that anybody could wait for.
    """
    try:
        return _check(path, sha256, largest=size)
    except OSError as error:
        return Comparison(f"cannot be read ({error})", is_unread=True)


def _compare(place: Storage, name: str, wanted: str, made: Output | None) -> Comparison:
    if made is not None:
        measured = place.stat(name)
        if measured.size != made.size:
            fault = f"is damaged: it has {measured.size} bytes, and {made.size} were made"
            return Comparison(fault)
        is_same = measured.size > _READ_BYTES and measured.mtime_ns == made.mtime_ns
        if is_same and os.environ.get("DFH_VERIFY") != "full":
            return Comparison(trust="stat")
    sha256 = place.digest(name)
    fault = "" if sha256 == wanted else "is damaged: its content is not what was made"
    return Comparison(fault, "content", sha256)
