"""The cores of this machine, shared by all engines of a user without a daemon between them.

`/tmp/dfh-UID/cores` holds nothing: a byte of it is a core, and who has locked it has the core. The
locks belong to the open file (F_OFD_SETLK), which a job inherits: it keeps its cores when its
engine is killed, and the kernel takes them back when its last process has ended. So nothing is ever
stale.

Bytes far behind the cores are places in a queue: the engine whose next job waits has locked the one
of the moment since when it waits. Once that is a second ago, nobody who came later takes a core
before it: so a large job has its turn, and small ones do not wait for each other's engines to look.
"""

from __future__ import annotations

import fcntl
import os
import stat
import struct
import sys
import time
from contextlib import suppress
from pathlib import Path

_WAITING = 1 << 40
_PATIENCE_NS = 10**9
_FLAGS = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW
_FLOCK = "hhqqi0q"
"""struct flock: type, whence, start, length, process."""


def shared_file(folder: Path) -> Path | None:
    """Return the file in a folder of ours; None if somebody else's lies there."""
    try:
        with suppress(FileExistsError):
            folder.mkdir(0o700)
        found = folder.lstat()
        if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.getuid() or found.st_mode & 0o077:
            sys.stderr.write(
                f"{folder}: not a folder of ours alone, so no cores are shared by it\n"
            )
            return None
        os.close(os.open(folder / "cores", _FLAGS, 0o600))
    except OSError as error:
        sys.stderr.write(f"{folder}: no cores are shared by it: {error.strerror}\n")
        return None
    return folder / "cores"


class Cores:
    """The cores that this process may use, as far as no other engine uses them."""

    def __init__(self, file: Path | None) -> None:
        """Share them by that file, or with nobody."""
        self._numbers = sorted(os.sched_getaffinity(0))
        if file is None:
            file = Path(f"/proc/self/fd/{os.memfd_create('cores')}")
            self._flags = os.O_RDWR | os.O_CLOEXEC
        else:
            self._flags = _FLAGS
        self._file = file
        self._place = os.open(file, self._flags, 0o600)
        self._since = 0

    def __len__(self) -> int:
        """Return how many there are, free or not."""
        return len(self._numbers)

    def take(self, count: int) -> int | None:
        """Take so many: an open file that has them until its last copy is closed.

        None if they are not free, or if another engine has waited for longer; then we wait as well.
        """
        now = time.monotonic_ns()
        if not _is_locked(self._place, _WAITING, min(self._since or now, now - _PATIENCE_NS)):
            handle = os.open(self._file, self._flags, 0o600)
            os.utime(handle)  # what is old in /tmp is removed some day
            found = 0
            for number in self._numbers:
                found += _lock(handle, number)
                if found == count:
                    self.stop_waiting()
                    return handle
            os.close(handle)
        if not self._since and _lock(self._place, _WAITING + now):
            self._since = now
        return None

    def stop_waiting(self) -> None:
        """Give up the place in the queue."""
        if self._since:
            _lock(self._place, _WAITING + self._since, fcntl.F_UNLCK)
            self._since = 0


def _lock(handle: int, byte: int, kind: int = fcntl.F_WRLCK) -> bool:
    try:
        fcntl.fcntl(handle, fcntl.F_OFD_SETLK, struct.pack(_FLOCK, kind, 0, byte, 1, 0))
    except (BlockingIOError, PermissionError):
        return False
    return True


def _is_locked(handle: int, start: int, length: int) -> bool:
    """Tell whether another open file has locked any of those bytes."""
    asked = struct.pack(_FLOCK, fcntl.F_WRLCK, 0, start, length, 0)
    found: int = struct.unpack(_FLOCK, fcntl.fcntl(handle, fcntl.F_OFD_GETLK, asked))[0]
    return found != fcntl.F_UNLCK
