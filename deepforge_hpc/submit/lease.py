"""The lock of an execution, for one submitter: a folder that holds a file named after its owner.

A folder is made and taken over by `rename`, which is atomic on every shared file system; locks of
the kernel (`flock`) are not to be had on all of them.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from deepforge_hpc.errors import StorageError
from deepforge_hpc.processes import start_time
from deepforge_hpc.runtime.base.failure import os_hint

SUBMITTING = ".submitting"
"""The lease of an execution lies there, in its folder."""


class BusyError(StorageError):
    """Somebody has the lease, or something else lies in its place."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Owner:
    """A process, so named that another one with its number is not mistaken for it."""

    pid: int
    start_time: str
    """Field 22 of /proc/PID/stat: clock ticks since boot."""
    host: str

    @classmethod
    def current(cls) -> Owner:
        """Return this process."""
        pid = os.getpid()
        return cls(pid=pid, start_time=start_time(pid), host=os.uname().nodename)

    @classmethod
    def parse(cls, name: str) -> Owner:
        """Return the owner of that file name; ValueError if it is another kind of name."""
        pid, ticks, host = name.split(".", 2)
        return cls(pid=int(pid), start_time=ticks, host=host)

    @property
    def file_name(self) -> str:
        """Return the name of the file that stands for this owner."""
        return f"{self.pid}.{self.start_time}.{self.host}"

    @property
    def is_dead(self) -> bool:
        """Tell whether the process has surely ended; False if that cannot be known from here."""
        if self.host != os.uname().nodename:
            return False
        return start_time(self.pid) != self.start_time


@contextmanager
def lease(folder: Path, what: str) -> Iterator[None]:
    """Hold `folder` as a lease, taking over a dead owner's.

    Raises BusyError if another process has it (`what` says for what), StorageError if it cannot be
    made.
    """
    me = Owner.current()
    try:
        _acquire(folder, me, what)
    except OSError as error:
        raise StorageError(f"{folder}: cannot be made: {error.strerror}", os_hint(error)) from error
    try:
        yield
    finally:
        _release(folder, me)


def may_be_held(folder: Path) -> bool:
    """Tell whether a process may hold a lease: not if its owner has surely died."""
    try:
        names = [path.name for path in folder.iterdir()]
        return bool(names) and not Owner.parse(names[0]).is_dead
    except FileNotFoundError:
        return False
    except (OSError, ValueError):
        return True


def _acquire(folder: Path, me: Owner, what: str) -> None:
    for _ in range(20):
        fresh = folder.with_name(f"{folder.name}.{os.urandom(6).hex()}")
        fresh.mkdir()
        (fresh / me.file_name).touch()
        try:
            # Fails if the folder is there and has an owner; an empty one is being released.
            fresh.rename(folder)
        except OSError:
            (fresh / me.file_name).unlink()
            fresh.rmdir()
            if not folder.is_dir():
                raise
        else:
            return
        if _take_over(folder, me, what):
            return
    raise BusyError(f"{folder}: changes hands too fast", "Try again.")


def _take_over(folder: Path, me: Owner, what: str) -> bool:
    """Put our name in a dead owner's place; False if it is gone by now. BusyError if alive."""
    try:
        names = [path.name for path in folder.iterdir()]
    except FileNotFoundError:
        return False
    if not names:
        return False
    try:
        owner = Owner.parse(names[0])
    except ValueError as error:
        message = f"{folder}: holds {names[0]!r}, which no submitter writes"
        raise BusyError(
            message, f"Look at it, then: {_command('rm', '-r', str(folder))}"
        ) from error
    if not owner.is_dead:
        raise BusyError(*_busy(folder, owner, what))
    try:
        (folder / names[0]).rename(folder / me.file_name)
    except FileNotFoundError:
        return False
    return True


def _busy(folder: Path, owner: Owner, what: str) -> tuple[str, str]:
    if owner.host == os.uname().nodename:
        message = f"{what}: process {owner.pid} is at it"
        return message, f"Wait for it to end, then: dfh status {folder.parent.name}"
    message = f"{what}: process {owner.pid} on host {owner.host} is at it, or died there"
    look = f"Look there: {_command('ssh', owner.host, 'ps', str(owner.pid))}"
    return message, f"{look}. If it is gone: {_command('rm', '-r', str(folder))}"


def _command(*words: str) -> str:
    import shlex

    return shlex.join(words)


def _release(folder: Path, me: Owner) -> None:
    try:
        (folder / me.file_name).unlink()
        folder.rmdir()
    except OSError:
        # Another submitter put its own folder in the place of the empty one, or the file system
        # failed: then our dead name says enough.
        return
