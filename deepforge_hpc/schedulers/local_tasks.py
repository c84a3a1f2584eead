"""Jobs and tasks as the local engine sees them, and the rules by which one lets another start.

No processes and no files: `local_engine` starts and ends them, and tells this module.
"""

from __future__ import annotations

import functools
import time
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, field

from deepforge_hpc.runtime.base.local_status import LocalStatus
from deepforge_hpc.runtime.base.states import State

from .local_queue import ENDED, STOPPED, QueuedJob
from .slurm_states import interpret

# Most tasks look alike.
_interpret = functools.lru_cache(maxsize=256)(interpret)
NEVER_SATISFIED = "DependencyNeverSatisfied"


@dataclass(slots=True)
class Task:
    """One process to run: a single job, or one task of an array."""

    id: str
    job: QueuedJob
    index: int | None = None
    state: str = "PENDING"
    """PENDING, RUNNING, or one of ENDED."""
    reason: str = ""
    pid: int = 0
    start_time: str = ""
    started: float = 0.0
    """Unix time, as is `ended`."""
    ended: float = 0.0
    exit: str = ""
    """`<exit code>:<signal>`, as Slurm writes it."""
    verdict: str = ""
    """How it will have ended once its process has: CANCELLED or TIMEOUT."""
    kill_at: float = 0.0
    """When SIGKILL follows the SIGTERM (unix time); 0 if it was not asked to end."""
    is_warned: bool = False
    is_child: bool = False
    """False for a process that an earlier engine started."""
    cores: int = -1
    """The open file that has its cores; -1 if only its process has it."""

    @property
    def status(self) -> LocalStatus:
        """Return what the status says of it."""
        state, explanation = explain(self)
        kept = {name: getattr(self, name) for name in _KEPT}
        return LocalStatus(state, self.state, explanation, **kept)

    def recall(self, reported: LocalStatus) -> None:
        """Take over what an earlier engine wrote of it."""
        self.state = reported.raw
        for name in _KEPT:
            setattr(self, name, getattr(reported, name))


_KEPT = ("reason", "pid", "start_time", "started", "ended", "exit", "verdict")


def explain(task: Task) -> tuple[State, str]:
    """Return a task's state in our words, and a sentence for a person."""
    state, sentence = _interpret(task.state, task.reason, task.exit)
    if task.state == "NODE_FAIL":
        return state, f"{STOPPED}; how this job ended is not known."
    if task.state == "PENDING" and task.reason == "Resources":
        asked = f"{task.job.cores} core" + ("s" if task.job.cores > 1 else "")
        return state, f"It waits for {asked} of this machine, and for what was ready before it."
    if task.state == "FAILED" and not task.exit:
        return state, task.reason
    return state, sentence


@dataclass(slots=True)
class _BoardJob:
    job: QueuedJob
    tasks: tuple[Task, ...]
    open: int
    """Tasks that have not ended."""
    is_held: bool
    waits_for: set[str] = field(default_factory=set)


class Board:
    """All jobs of an execution's queue; `ready` are the tasks that may start, in order."""

    def __init__(self) -> None:
        self.ready: deque[Task] = deque()
        self.tasks: dict[str, Task] = {}
        self.changed: dict[str, Task] = {}
        """Those of which the status does not tell yet what they are."""
        self._entries: dict[str, _BoardJob] = {}
        self._dependants: dict[str, list[str]] = {}

    def add(self, job: QueuedJob, known: dict[str, LocalStatus]) -> None:
        """Take a job in; `known` is the last status of an earlier engine."""
        indices: tuple[int | None, ...] = (None,) if job.tasks is None else job.tasks
        tasks = tuple(
            Task(name, job, index) for name, index in zip(job.task_ids, indices, strict=True)
        )
        for task in tasks:
            self.tasks[task.id] = task
            if task.id in known:
                task.recall(known[task.id])
            else:
                self.note(task)
        left = sum(task.state not in ENDED for task in tasks)
        is_held = job.hold and all(
            task.state == "PENDING" and task.reason in {"", "JobHeldUser"} for task in tasks
        )
        entry = _BoardJob(job, tasks, left, is_held)
        self._entries[job.id] = entry
        if not left:
            self._closed(entry)
            return
        for name in job.after:
            if not self._settle(entry, name):
                return
        self._promote(entry)

    def note(self, task: Task) -> None:
        """Note that there is something new of a task."""
        self.changed[task.id] = task

    def _settle(self, entry: _BoardJob, name: str) -> bool:
        """Note that a job waits for another; False if it thereby can never start."""
        upstream = self._entries.get(name)
        if upstream is None or not upstream.open:
            # Like a job that Slurm has forgotten, but here it is never taken for a success.
            good = upstream is not None and self._is_good(upstream)
            if entry.job.dependency == "afterok" and not good:
                self._give_up(entry)
                return False
            return True
        entry.waits_for.add(name)
        self._dependants.setdefault(name, []).append(entry.job.id)
        return True

    def release(self, ids: Iterable[str]) -> None:
        """Let held jobs start."""
        for name in ids:
            entry = self._entries.get(name)
            if entry and entry.is_held:
                entry.is_held = False
                for task in entry.tasks:
                    if task.state == "PENDING":
                        task.reason = ""
                        self.note(task)
                self._promote(entry)

    def select(self, ids: Iterable[str]) -> list[Task]:
        """Return the tasks that ids name: a job's all, or the one task of an array."""
        found: list[Task] = []
        for name in ids:
            if name in self._entries:
                found.extend(self._entries[name].tasks)
            elif name in self.tasks:
                found.append(self.tasks[name])
        return [task for task in found if task.state not in ENDED]

    def end(self, task: Task, state: str, reason: str = "", exit_code: str = "") -> None:
        """Note how a task ended, and what follows for those that wait for it."""
        if task.state in ENDED:
            return
        task.state, task.reason, task.exit = state, reason, exit_code
        task.ended = time.time()
        self.note(task)
        entry = self._entries[task.job.id]
        entry.open -= 1
        if not entry.open:
            self._closed(entry)

    def _closed(self, entry: _BoardJob) -> None:
        good = self._is_good(entry)
        for name in self._dependants.pop(entry.job.id, ()):
            waiting = self._entries[name]
            waiting.waits_for.discard(entry.job.id)
            if not waiting.open:
                continue
            if waiting.job.dependency == "afterok" and not good:
                self._give_up(waiting)
            else:
                self._promote(waiting)

    @staticmethod
    def _is_good(entry: _BoardJob) -> bool:
        return all(task.state == "COMPLETED" for task in entry.tasks)

    def _give_up(self, entry: _BoardJob) -> None:
        for task in entry.tasks:
            self.end(task, "CANCELLED", NEVER_SATISFIED)

    def _promote(self, entry: _BoardJob) -> None:
        """Put a job's tasks where they may start, or note why they may not."""
        pending = [task for task in entry.tasks if task.state == "PENDING"]
        if entry.is_held or entry.waits_for:
            self._explain(pending, "JobHeldUser" if entry.is_held else "Dependency")
        else:
            self._explain(pending, "Resources")
            self.ready.extend(pending)

    def _explain(self, pending: Iterable[Task], reason: str) -> None:
        for task in pending:
            if task.reason != reason:
                task.reason = reason
                self.note(task)
