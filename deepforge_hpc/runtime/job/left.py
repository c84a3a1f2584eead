"""Files that an operation left in its working folder, which is removed: they are named, and kept.

Never as outputs: nobody said what they are. Not more than a few, for what a job leaves is scratch.
"""

from __future__ import annotations

import os
from collections.abc import Collection
from contextlib import suppress
from pathlib import Path

from ..base.context import Context
from ..base.files import remove
from ..base.text import count, listed, plain, size
from ..rank.left import MAX_BYTES, MAX_FILES, carried, files_below


def keep(context: Context, scratch: Path, outputs: Collection[str] = ()) -> str:
    """Keep what lies in a working folder; return the sentence that names it, or nothing.

    `outputs`: paths that the operation returned, and that are copied already.
    """
    target = context.folder.left
    if context.attempt > 1:
        remove(target)
    base = Path(os.path.realpath(scratch))
    own = files_below(str(base), set(outputs))
    found = {name: (base / name, bytes_) for name, (bytes_, _) in own.items()}
    found |= carried(context.work)
    if not found:
        return ""
    kept, room = 0, MAX_BYTES
    for name, (source, bytes_) in found.items():
        with suppress(OSError):  # a full disk, or a process that still tidies up
            if kept < MAX_FILES and bytes_ <= room and _keep(source, target / name):
                kept, room = kept + 1, room - bytes_
    shown = listed((plain(os.fsencode(name).decode("utf-8", "replace")) for name in found), 5)
    share = "" if kept == len(found) else f"{kept} of them " if kept else "none "
    total = size(sum(bytes_ for _, bytes_ in found.values()))
    return (
        f"left {count(len(found), 'file')} ({total}) in the working folder: {shown}; "
        f"{share}kept in {target.relative_to(context.layout.root)}"
    )


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
