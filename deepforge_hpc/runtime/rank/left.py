"""Files in a working folder that is its node's own: no other node can look, and it is removed.

So the ranks that run elsewhere than the supervisor carry theirs to the job's work folder.
"""

from __future__ import annotations

import os
from collections.abc import Collection, Iterator
from contextlib import suppress
from itertools import islice
from pathlib import Path

from ..base.codec import encode, parse
from ..base.files import opened, publish_json, read_own, remove
from ..base.layout import LEFT
from .messages import Carried, RankSpec

MAX_FILES = 100
MAX_BYTES = 10 << 20
MAX_SEEN = 10_000


def files_below(
    folder: str, returned: Collection[str] = (), most: int = MAX_SEEN
) -> dict[str, tuple[int, int]]:
    """Return the files below a folder, but those that were returned; links are not followed."""
    found = {}
    for path in islice(_paths(folder, returned), most):
        with suppress(OSError):  # a process that still tidies up
            status = os.lstat(path)
            found[os.path.relpath(path, folder)] = status.st_size, status.st_mtime_ns
    return dict(sorted(found.items()))


def _paths(folder: str, returned: Collection[str]) -> Iterator[str]:
    for parent, folders, names in os.walk(folder):
        folders[:] = sorted(name for name in folders if f"{parent}/{name}" not in returned)
        yield from (path for name in names if (path := f"{parent}/{name}") not in returned)


def carry(spec: RankSpec, scratch: Path) -> None:
    """Carry what lies in the working folder of this node, unless the supervisor can look there.

    Each rank does so as it ends: who is the last of its node nobody knows, where one may be killed.
    """
    host = os.uname().nodename
    if spec.home in {"", host}:
        return
    import fcntl

    with suppress(OSError), opened(scratch, os.O_RDONLY | os.O_DIRECTORY) as handle:
        fcntl.flock(handle, fcntl.LOCK_EX)  # one at a time, so that the last has seen them all
        _carry(scratch, Path(spec.work), host, others=spec.job.resources.nodes - 1)


def _carry(scratch: Path, work: Path, host: str, *, others: int) -> None:
    """Bring a job's limits shared out, and no file twice: hundreds of nodes end at once."""
    files = files_below(os.path.realpath(scratch), most=max(1, MAX_SEEN // others))
    note = work / f"left-{host}.json"
    before = _read(note)
    if files in ({}, before):
        return
    count, room = max(1, MAX_FILES // others), MAX_BYTES // others
    for name, (bytes_, _) in files.items():
        source, target = scratch / name, work / LEFT / host / name
        if count and bytes_ <= room and not source.is_symlink() and source.is_file():
            count, room = count - 1, room - bytes_
            if files[name] != before.get(name):
                _copy(source, target)
    publish_json(note, encode(Carried(host, files)), durable=False)


def _copy(source: Path, target: Path) -> None:
    from ..storage.landing import copy_file

    with suppress(OSError):
        target.parent.mkdir(parents=True, exist_ok=True)
        remove(target)
        copy_file(source, target)


def _read(note: Path) -> dict[str, tuple[int, int]]:
    with suppress(OSError, ValueError):
        return parse(Carried, read_own(note)).files
    return {}


def carried(work: Path) -> dict[str, tuple[Path, int]]:
    """Return what other nodes left: `HOST/NAME` -> where it lies, if it was carried; its bytes."""
    found = {}
    for note in sorted(work.glob("left-*.json")):
        with suppress(OSError, ValueError):
            host, files = parse(Carried, read_own(note))
            for name, (bytes_, _) in files.items():
                found[f"{host}/{name}"] = work / LEFT / host / name, bytes_
    return found
