"""What tells that data are as they were, where nobody has read them yet."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..storage.base import FILE

if TYPE_CHECKING:
    from ..storage.base import Storage


def stamp(place: Storage, name: str) -> tuple[int, int]:
    """Return size and time of change of a file; of a folder, which may move, size and number."""
    found = place.stat(name)
    return found.size, found.mtime_ns if found.kind == FILE else found.files
