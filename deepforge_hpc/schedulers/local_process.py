"""Processes of this machine: which one is really ours, and its end.

A number is no name: the system gives it to another process later, and a file may hold a number
that somebody planted. Nothing is signalled unless owner, start time and token fit. Who only looks
may be another user.
"""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from deepforge_hpc.processes import owner, read, start_time

_STRAY_S = 0.5
"""From SIGTERM to SIGKILL for what an ended job left; its last words are written by then."""
TOKEN_VARIABLE = "DFH_LOCAL_TOKEN"  # noqa: S105 - a name, not a secret
"""In the environment of every process of a local job: `<uuid of the execution>.<native id>`."""


@dataclass(frozen=True, slots=True)
class Process:
    """A process by number, start time and token."""

    pid: int
    start_time: str
    token: str

    @property
    def is_there(self) -> bool:
        """Tell whether this process runs, under whatever user.

        Another user's environment is closed to us: then number and start time tell.
        """
        if self.pid <= 1 or start_time(self.pid) != self.start_time:
            return False
        return has_token(self.pid, self.token) or not read(self.pid, "environ")

    @property
    def is_alive(self) -> bool:
        """Tell whether this very process runs, under our user."""
        is_ours = owner(self.pid) == os.getuid() and has_token(self.pid, self.token)
        return is_ours and self.is_there

    def signal(self, number: int, *, group: bool) -> bool:
        """Send a signal to it (to its process group); False if it is not there any more."""
        if not self.is_alive:
            return False
        return send(self.pid, number, group=group)


def send(pid: int, number: int, *, group: bool) -> bool:
    """Signal a process that is surely ours; False if it has ended."""
    try:
        if group:
            os.killpg(pid, number)
        else:
            os.kill(pid, number)
    except (ProcessLookupError, PermissionError):
        return False
    return True


def is_leader(pid: int) -> bool:
    """Tell whether a process leads a process group; one that has just ended does not."""
    try:
        return os.getpgid(pid) == pid
    except ProcessLookupError:
        return False


def has_token(pid: int, token: str) -> bool:
    """Tell whether the token stands in the environment that the process was started with."""
    return f"\0{TOKEN_VARIABLE}={token}\0".encode() in b"\0" + read(pid, "environ")


def with_token(token: str) -> list[Process]:
    """Return all our processes that carry the token, whatever group they moved to."""
    return carrying(lambda found: found == token)


def carrying(wanted: Callable[[str], bool]) -> list[Process]:
    """Return all our processes with a token that is wanted, by one look at each.

    By the token, for it also tells what was left by an engine that was killed, and is what is asked
    for before each signal; a subreaper (prctl(2)) would know its orphans only while it lives. What
    takes the token out of its environment is not found.
    """
    found = []
    for pid in (int(path.name) for path in Path("/proc").iterdir() if path.name.isdigit()):
        token = _token(pid)
        if token and wanted(token):
            process = Process(pid, start_time(pid), token)
            if process.start_time and process.is_alive:
                found.append(process)
    return found


def _token(pid: int) -> str:
    environ = b"\0" + read(pid, "environ")
    return (
        environ.partition(f"\0{TOKEN_VARIABLE}=".encode())[2].partition(b"\0")[0].decode("latin-1")
    )


def kill_all(token: str) -> None:
    """Kill every process that carries the token (launchers move ranks to groups of their own)."""
    for process in with_token(token):
        process.signal(signal.SIGKILL, group=False)


class Strays:
    """What jobs that have ended left running, sessions of their own too: it has to end as well."""

    def __init__(self) -> None:
        self._due: dict[str, tuple[float, int]] = {}

    def __bool__(self) -> bool:
        """Tell whether any may still be there."""
        return bool(self._due)

    def end(self, token: str, number: int) -> None:
        """Have all that carries a token ended, by this signal first; SIGKILL follows."""
        self._due[token] = (0.0, number)

    def look(self) -> None:
        """Send the signals that are due."""
        now = time.monotonic()
        due = {token for token, (at, _) in self._due.items() if at <= now}
        if not due:
            return
        still = set()
        for process in carrying(due.__contains__):
            process.signal(self._due[process.token][1], group=False)
            still.add(process.token)
        for token in due - still:
            del self._due[token]
        self._due.update(dict.fromkeys(still, (now + _STRAY_S, signal.SIGKILL)))
