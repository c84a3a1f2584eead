"""One look at the queue of an execution, for all who ask: what its engine wrote, and what lives."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from deepforge_hpc.errors import SchedulerError
from deepforge_hpc.processes import machine
from deepforge_hpc.runtime.base.native import WAITS, NativeStatus
from deepforge_hpc.runtime.base.states import State, state_of

from .local_process import Process
from .local_queue import ENDED, STOPPED, LocalQueue, QueuedJob

if TYPE_CHECKING:
    from collections.abc import Iterable

ENGINESTOPPED = "EngineStopped"


@dataclass(frozen=True, slots=True)
class View:
    """The jobs of a queue, and what is known of each."""

    queue: LocalQueue
    jobs: list[QueuedJob]
    status: dict[str, dict[str, Any]]
    killed: dict[str, Any] | None
    """What is known of an engine that did not close."""

    @classmethod
    def of(cls, queue: LocalQueue) -> View:
        """Look at a queue."""
        # In this order: an engine that ends in between has written its last word.
        killed = queue.killed_engine
        jobs, status = queue.jobs()[0], queue.status()
        if killed is None and _has_running(status) and not queue.has_engine:
            # One that has closed by now leaves nothing running: its file was removed.
            status = queue.status()
            killed = {} if _has_running(status) else None
        return cls(queue, jobs, status, killed)

    @property
    def elsewhere(self) -> str:
        """Return the host of a killed engine whose processes cannot be seen from here, or nothing.

        Of a machine that was started again, nothing of then is left.
        """
        if not self.killed:
            return ""
        host, here = self.killed["host"], machine()
        was = str(self.killed.get("machine", ""))
        is_restarted = host == os.uname().nodename and was.split()[:1] != here.split()[:1]
        return "" if was == here or is_restarted else str(host)

    def require_here(self) -> None:
        """Raise SchedulerError if it cannot be told from here what still runs."""
        if host := self.elsewhere:
            message = f"{self.queue.root}: the process that ran these jobs was on {host}"
            hint = (
                f"Go on there, where what it left can be seen: ssh {host}. If that machine or "
                f"container is no more, this forgets it: rm {self.queue.engine}"
            )
            raise SchedulerError(message, hint)

    def open(self, names: Iterable[str]) -> list[str]:
        """Return those ids, of jobs or tasks, whose end no engine has written down."""
        wanted = set(names)
        return [
            name
            for job in self.jobs
            for name in {job.id: None, **dict.fromkeys(job.task_ids)}
            if name in wanted and not all(self._has_ended(item) for item in _tasks_of(job, name))
        ]

    def is_over(self, job: QueuedJob) -> bool:
        """Tell whether all of a job has ended, or was lost with its engine."""
        return all(self._has_ended(name) or self._is_lost(name) for name in job.task_ids)

    def _has_ended(self, name: str) -> bool:
        return self.status.get(name, {}).get("raw") in ENDED

    def native(self, job: QueuedJob, name: str) -> NativeStatus:
        """Return what is known of one task."""
        found = _native(job, name, self.status.get(name) or _unseen(job, name))
        if self.killed is None or found.raw_state in ENDED:
            return found
        if host := self.elsewhere:
            state, explanation = State.UNKNOWN, f"{STOPPED}. It was on {host}: look there."
        elif found.state is State.PENDING:
            state, explanation = State.HELD, f"{STOPPED}; `dfh resume` goes on."
        elif self._is_lost(name):
            state, explanation = State.UNKNOWN, f"{STOPPED}; how this job ended is not known."
        else:
            return found
        return found._replace(state=state, raw_reason=ENGINESTOPPED, explanation=explanation)

    def _is_lost(self, name: str) -> bool:
        """Tell whether a task that was running is not there any more, and no engine saw its end."""
        entry = self.status.get(name, {})
        if self.killed is None or self.elsewhere or entry.get("raw") != "RUNNING":
            return False
        token = f"{self.queue.uuid}.{name}"
        return not Process(int(entry["pid"]), str(entry["start_time"]), token).is_alive


def _tasks_of(job: QueuedJob, name: str) -> tuple[str, ...]:
    return job.task_ids if name == job.id else (name,)


def _has_running(status: dict[str, dict[str, Any]]) -> bool:
    return any(entry["raw"] == "RUNNING" for entry in status.values())


def _unseen(job: QueuedJob, name: str) -> dict[str, Any]:
    """Return what the engine will say of a task that it has not seen yet."""
    from .local_tasks import Task

    free = "Dependency" if job.after else "Resources"
    return Task(name, job, reason="JobHeldUser" if job.hold else free).to_dict()


def _native(job: QueuedJob, name: str, entry: dict[str, Any]) -> NativeStatus:
    raw, exit_code = entry["raw"], entry.get("exit", "")
    return NativeStatus(
        native_id=name,
        state=state_of(entry["state"]),
        raw_state=raw,
        raw_reason=entry.get("reason", ""),
        explanation=entry.get("explanation", ""),
        name=job.name,
        exit_code=exit_code,
        wants_memory=_wants_memory(raw, exit_code),
        ended_by={"CANCELLED": "scheduler", "TIMEOUT": "limit"}.get(raw, ""),
        dependency=WAITS if entry.get("reason") == "Dependency" else "",
    )


def _wants_memory(raw: str, exit_code: str) -> bool:
    if raw != "FAILED":
        return False
    from deepforge_hpc.runtime.schedulers.slurm import wants_memory

    return wants_memory(raw, exit_code)
