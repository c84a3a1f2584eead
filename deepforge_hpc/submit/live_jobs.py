"""What of an execution is in the scheduler's queue, found by token, and its removal."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from deepforge_hpc.errors import SchedulerError
from deepforge_hpc.processes import owner
from deepforge_hpc.runtime.base.states import State, combine, state_of
from deepforge_hpc.runtime.base.text import listed

if TYPE_CHECKING:
    from deepforge_hpc.plugins.scheduler import Scheduler
    from deepforge_hpc.runtime.base.execution import ExecutionInfo
    from deepforge_hpc.runtime.base.native import NativeStatus

_PAUSE_S = 0.2
_LEAVE_S = 60.0
"""How long jobs that were cancelled, or are ending, may stay in the queue."""
_SUBMITTER_S = 60.0


class LiveJobs:
    """The jobs of one execution that are queued or run."""

    def __init__(self, scheduler: Scheduler, info: ExecutionInfo) -> None:
        self._scheduler = scheduler
        self._info = info

    def live(self) -> dict[str, list[str]]:
        """Return the native ids by job of all that has not ended."""
        return self._scheduler.find(self._info.home, self._info.token)

    def answers(self, live: Mapping[str, list[str]]) -> dict[str, NativeStatus]:
        """Return what the scheduler says of live jobs, by native id."""
        ids = [native_id for found in live.values() for native_id in found]
        return self._scheduler.query(self._info.home, ids) if ids else {}

    @staticmethod
    def states(
        live: Mapping[str, list[str]], answers: Mapping[str, NativeStatus]
    ) -> dict[str, State]:
        """Return the scheduler's own state of each live job, of its tasks together."""
        states: dict[str, list[State]] = {}
        names = {native_id: job for job, found in live.items() for native_id in found}
        for key, status in answers.items():
            job = names.get(key) or names.get(key.partition("_")[0])
            if job is not None:
                states.setdefault(job, []).append(state_of(status.state))
        return {job: combine(found) for job, found in states.items()}

    def has_lost(self, ids: Mapping[str, str]) -> bool:
        """Tell whether a job ended so that nobody knows how."""
        answers = self._scheduler.query(self._info.home, list(ids.values()))
        return any(state_of(status.state) is State.UNKNOWN for status in answers.values())

    def adopt(self, ids: Mapping[str, str]) -> dict[str, str]:
        """Return the one queued id of each job, cancelling what was queued twice.

        An id that the journal names goes before others of that job.
        """
        kept = {}
        extra = []
        for job, found in self.live().items():
            kept[job] = ids[job] if ids.get(job) in found else found[0]
            extra += [native_id for native_id in found if native_id != kept[job]]
        if extra:
            self._scheduler.cancel(self._info.home, extra)
        return kept

    def clear(self, known: Mapping[str, str] | None = None) -> None:
        """Cancel all that is in the queue and wait until it has left; SchedulerError if it stays.

        `known` are ids that were given a moment ago, in case that the queue does not show them yet.
        """
        names = self.cancel_all(known)
        if lost := self.unheard((known or {}).values()):
            message = f"neither the queue nor accounting knows {listed(lost)}, queued a moment ago"
            raise SchedulerError(message)
        if self.leave(names):
            message = f"Jobs of {self._info.id} stay in the queue though they were cancelled"
            raise SchedulerError(message, f"Try again later: dfh cancel {self._info.id}")

    def cancel_all(
        self, known: Mapping[str, str] | None = None, *, spared: str = ""
    ) -> tuple[str, ...]:
        """Cancel all that is in the queue and return the jobs' names; running ones take a while.

        The job `spared` is left alone as long as there are others.
        """
        wait_for_submitters(self._info.token)
        live = self.live()
        if len(live) > 1:
            live.pop(spared, None)
        ids = {native_id for found in live.values() for native_id in found}
        ids |= self._of_this_execution(set((known or {}).values()) - ids)
        if ids:
            self._scheduler.cancel(self._info.home, sorted(ids))
        return tuple(sorted({*live, *(known or {})}))

    def _of_this_execution(self, ids: set[str]) -> set[str]:
        """Return those ids whose jobs carry our token: an id alone may be another job's by now."""
        answers = self._scheduler.query(self._info.home, sorted(ids)) if ids else {}
        own = {key for key, job in answers.items() if job.name.endswith(f".{self._info.token}")}
        return {
            native_id for native_id in ids if any(key.partition("_")[0] == native_id for key in own)
        }

    def unheard(self, ids: Iterable[str]) -> list[str]:
        """Return those ids of which nothing is known, and so not that they ended."""
        heard = {native_id for found in self.live().values() for native_id in found}
        if not (asked := sorted(set(ids) - heard)):
            return []
        answers = self._scheduler.query(self._info.home, asked)
        return sorted(set(asked) - {key.partition("_")[0] for key in answers})

    def leave(self, jobs: Iterable[str], limit_s: float = _LEAVE_S) -> list[str]:
        """Wait until none of the jobs is in the queue; return those that stay."""
        staying = set(jobs)

        def have_left() -> bool:
            staying.intersection_update(self.live())
            return not staying

        _wait(have_left, limit_s)
        return sorted(staying)


def wait_for_submitters(token: str) -> None:
    """Wait for a command that a killed submitter left behind, which may still queue its job."""
    if not _wait(lambda: not _submitters(token), _SUBMITTER_S):
        found = ", ".join(str(pid) for pid in _submitters(token))
        message = f"Another process still submits jobs of this execution: {found}"
        raise SchedulerError(message, "Wait for it to end, or kill it, then try again.")


def _submitters(token: str) -> list[int]:
    """Return our processes on this machine with a job's name (`<job>.<token>`) among their words.

    Jobs themselves have the uuid there, which begins like the token but goes on.
    """
    needle = f".{token}\0".encode()
    found = []
    for path in Path("/proc").iterdir():
        if path.name.isdigit() and int(path.name) != os.getpid():
            try:
                words = (path / "cmdline").read_bytes()
            except OSError:
                continue
            if needle in words and owner(int(path.name)) == os.getuid():
                found.append(int(path.name))
    return found


def _wait(condition: Callable[[], bool], limit_s: float) -> bool:
    deadline = time.monotonic() + limit_s
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(_PAUSE_S)
    return True
