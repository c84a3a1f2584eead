"""Files that an operation left in its working folder, which is removed: they are named, and kept.

Never as outputs: nobody said what they are. Not more than a few, for what a job leaves is scratch.
"""

from __future__ import annotations

import os
from collections.abc import Collection, Iterator
from contextlib import suppress
from itertools import islice
from pathlib import Path

from ..base.context import Context
from ..base.files import remove
from ..base.text import count, listed, plain, size

MAX_FILES = 100
MAX_BYTES = 10 << 20
_MAX_SEEN = 10_000


def keep(context: Context, scratch: Path, outputs: Collection[str] = ()) -> str:
    """Keep what lies in a working folder; return the sentence that names it, or nothing.

    `outputs`: paths that the operation returned, and that are copied already.
    """
    target = context.folder.left
    if context.attempt > 1:
        remove(target)
    base = Path(os.path.realpath(scratch))
    found = islice(_files(str(base), set(outputs)), _MAX_SEEN)
    names = sorted(os.path.relpath(path, base) for path in found)
    if not names:
        return ""
    total, kept, room = 0, 0, MAX_BYTES
    for name in names:
        with suppress(OSError):  # a full disk, or a process that still tidies up
            bytes_ = (base / name).lstat().st_size
            total += bytes_
            if kept < MAX_FILES and bytes_ <= room and _keep(base / name, target / name):
                kept, room = kept + 1, room - bytes_
    shown = listed((plain(os.fsencode(name).decode("utf-8", "replace")) for name in names), 5)
    share = "" if kept == len(names) else f"{kept} of them " if kept else "none "
    return (
        f"left {count(len(names), 'file')} ({size(total)}) in the working folder: {shown}; "
        f"{share}kept in {target.relative_to(context.layout.root)}"
    )


def _files(folder: str, returned: Collection[str]) -> Iterator[str]:
    """Yield all files below a folder but those that were returned; links are not followed."""
    for parent, folders, names in os.walk(folder):
        folders[:] = sorted(name for name in folders if f"{parent}/{name}" not in returned)
        yield from (path for name in names if (path := f"{parent}/{name}") not in returned)


def _keep(source: Path, target: Path) -> bool:
    """Move a plain file; copy it where it cannot be moved."""
    from ..storage.landing import copy_file

    if source.is_symlink() or not source.is_file():
        return False
    target.parent.mkdir(parents=True, exist_ok=True)
    try:
        source.rename(target)
    except OSError:
        copy_file(source, target)
    return True
