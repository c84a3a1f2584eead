"""One machine without a scheduler: a detached process for each execution stands in for it.

The process is `local_engine`. It is started when a job may run, outlives its caller, and ends when
there is nothing to do.
"""

from __future__ import annotations

import functools
import os
import sys
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from deepforge_hpc.errors import SchedulerError, StorageError
from deepforge_hpc.plugins.scheduler import Scheduler
from deepforge_hpc.processes import machine
from deepforge_hpc.runtime.base.states import State

from .local_queue import ENDED, STOPPED, EngineInfo, LocalQueue, QueuedJob, parse_array

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from deepforge_hpc.model.execution import SubmitRequest
    from deepforge_hpc.runtime.base.local_status import LocalStatus
    from deepforge_hpc.runtime.base.native import NativeStatus


ENGINESTOPPED = "EngineStopped"
_HELD = "JobHeldUser"


class LocalScheduler(Scheduler):
    """Runs the jobs of an execution on this machine."""

    title: ClassVar[str] = "this machine"
    job: ClassVar[str] = "deepforge_hpc.runtime.schedulers.local:Local"
    poll_s: ClassVar[float] = 0.5
    is_this_machine: ClassVar[bool] = True
    enforces_memory: ClassVar[bool] = False

    def header(self, options: Sequence[tuple[str, str]]) -> list[str]:
        """Return Slurm's lines, which are comments here: the same script can go to a cluster."""
        from .slurm import header

        return header(options)

    def describe(self, request: SubmitRequest) -> list[str]:
        return ["bash", request.script, *request.arguments]

    def submit(self, request: SubmitRequest) -> str:
        queue = LocalQueue.of(request.directory)
        with _writing(queue):
            job = QueuedJob(
                id=queue.next_id(),
                job=request.job,
                name=request.name,
                script=request.script,
                arguments=request.arguments,
                output=request.output,
                after=request.after,
                dependency=request.dependency,
                hold=request.hold,
                tasks=_tasks(request),
                cores=request.cores,
                time_s=request.time_s,
            )
            queue.add(job)
        # What waits for a job that has not ended is found by the engine that runs that job.
        if not job.hold and not queue.has_engine and _have_ended(queue, job):
            _ensure_engine(queue, request.directory)
        return job.id

    def release(self, directory: str, native_ids: Sequence[str]) -> None:
        """Let held jobs start; starts the engine again if it was killed."""
        self._command(directory, "release", native_ids)

    def cancel(self, directory: str, native_ids: Sequence[str]) -> None:
        """Cancel jobs: SIGTERM to all processes of a running one, SIGKILL ten seconds later."""
        self._command(directory, "cancel", native_ids)

    def _command(self, directory: str, verb: str, native_ids: Sequence[str]) -> None:
        queue = LocalQueue.of(directory)
        view = View.of(queue)
        ids = view.open(native_ids)
        if ids:
            view.require_here()
            with _writing(queue):
                if verb == "cancel" and not queue.has_engine:
                    _require_owner(queue)
                queue.command(verb, ids)
            _ensure_engine(queue, directory)

    def query(self, directory: str, native_ids: Sequence[str]) -> dict[str, NativeStatus]:
        """Return what the engine wrote, checked against the processes if the engine is gone."""
        view = View.of(LocalQueue.of(directory))
        wanted = set(native_ids)
        return {
            name: view.native(job, name)
            for job in view.jobs
            for name in job.task_ids
            if name in wanted or job.id in wanted
        }

    def find(self, directory: str, token: str) -> dict[str, list[str]]:
        view = View.of(LocalQueue.of(directory))
        view.require_here()
        found: dict[str, list[str]] = {}
        for job in view.jobs:
            if job.name == f"{job.job}.{token}" and not view.is_over(job):
                found.setdefault(job.job, []).append(job.id)
        return found


def _require_owner(queue: LocalQueue) -> None:
    """Raise SchedulerError if a new engine would be another user than the one before it.

    It could not signal that user's processes, and would run what is left under the wrong one.
    """
    from shlex import quote
    from tempfile import TemporaryFile

    from deepforge_hpc.processes import name_of

    owner = queue.owner
    # By a file of ours: some file systems show us, or everybody, as another user.
    with TemporaryFile(dir=queue.root) as mine:
        if owner == os.fstat(mine.fileno()).st_uid:
            return
    name, home = name_of(owner), quote(str(queue.root.parent))
    message = f"{queue.root}: what runs these jobs has ended, and only {name} can start it again"
    raise SchedulerError(message, f"Nothing was cancelled. As {name}: dfh cancel {home}")


def _tasks(request: SubmitRequest) -> tuple[int, ...] | None:
    try:
        return parse_array(request.array)
    except ValueError as error:
        message = f"{request.job}: {request.array!r} is not a list of array tasks"
        raise SchedulerError(message) from error


def _have_ended(queue: LocalQueue, job: QueuedJob) -> bool:
    """Tell whether nothing that a new job waits for can still run; what is unknown cannot."""
    last = int(job.id[1:]) - 1
    known = {name for name in job.after if name[1:].isdecimal() and int(name[1:]) <= last}
    if not known:
        return True
    ended = _ended(queue, queue.stamp)
    return all(ended.get(name, False) for name in known)


@functools.lru_cache(maxsize=1)
def _ended(queue: LocalQueue, _stamp: tuple[int, ...]) -> dict[str, bool]:
    """Return of each job whether it has ended; kept, as one is asked for with each new job."""
    ended: dict[str, bool] = {}
    for key, reported in queue.status().items():
        name = key.partition("_")[0]
        ended[name] = ended.get(name, True) and reported.raw in ENDED
    return ended


@contextmanager
def _writing(queue: LocalQueue) -> Iterator[None]:
    try:
        with queue.locked():
            yield
    except OSError as error:
        from deepforge_hpc.runtime.base.failure import os_hint

        message = f"{queue.root}: cannot be written: {error.strerror}"
        raise StorageError(message, os_hint(error)) from error


_ENGINE = """\
import os, sys
own = os.path.dirname(os.__file__)
sys.path.sort(key=lambda entry: entry not in {own, own + "/lib-dynload"})
from deepforge_hpc.schedulers.local_engine import main
sys.exit(main(sys.argv[1:]))"""
"""Python's own modules come first: PYTHONPATH is there for the jobs."""


def _ensure_engine(queue: LocalQueue, directory: str) -> None:
    if queue.has_engine:
        return
    import subprocess

    # Not the caller's folder, which would be the first place that `python -c` imports from.
    argv = [sys.executable, "-c", _ENGINE, directory]
    with queue.log.open("ab") as log:
        done = subprocess.run(
            argv, stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd="/", check=False,
            start_new_session=True,
        )  # fmt: skip
    if done.returncode:
        message = f"The process that runs the jobs on this machine could not start: {queue.log}"
        raise SchedulerError(message, "Read that file, then try again.", argv=argv)


@dataclass(frozen=True, slots=True)
class View:
    """One look at a queue, for all who ask: what its engine wrote, and what lives."""

    queue: LocalQueue
    jobs: list[QueuedJob]
    status: dict[str, LocalStatus]
    killed: EngineInfo | None
    """What is known of an engine that did not close."""
    released: frozenset[str] = frozenset()
    """Ids of jobs that are to be released, which the engine has not told yet."""

    @classmethod
    def of(cls, queue: LocalQueue) -> View:
        """Look at a queue."""
        # In this order: an engine that ends in between has written its last word.
        killed = queue.killed_engine
        jobs, status = queue.jobs()[0], queue.status()
        if killed is None and _has_running(status) and not queue.has_engine:
            # One that has closed by now leaves nothing running: its file was removed.
            status = queue.status()
            killed = EngineInfo("") if _has_running(status) else None
        if not any(job.hold and _is_held(status.get(job.task_ids[0])) for job in jobs):
            return cls(queue, jobs, status, killed)
        # In this order: a command goes once its effect has been told.
        released = queue.released()
        return cls(queue, jobs, queue.status(), killed, released)

    @property
    def elsewhere(self) -> str:
        """Return the host of a killed engine whose processes cannot be seen from here, or nothing.

        Of a machine that was started again, nothing of then is left.
        """
        if not self.killed:
            return ""
        host, was, here = self.killed.host, self.killed.machine, machine()
        is_restarted = host == os.uname().nodename and was.split()[:1] != here.split()[:1]
        return "" if was == here or is_restarted else host

    def require_here(self) -> None:
        """Raise SchedulerError if it cannot be told from here what still runs."""
        if host := self.elsewhere:
            from shlex import quote

            message = f"{self.queue.root}: the process that ran these jobs was on {host}"
            hint = (
                f"Go on there, where what it left can be seen: ssh {quote(host)}. If that machine "
                f"or container is no more, this forgets it: rm {quote(str(self.queue.engine))}"
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
        return name in self.status and self.status[name].raw in ENDED

    def native(self, job: QueuedJob, name: str) -> NativeStatus:
        """Return what is known of one task."""
        reported = self.status.get(name)
        if job.id in self.released and _is_held(reported):
            job, reported = job._replace(hold=False), None
        found = (reported or _unseen(job, name)).native(name, job.name)
        if self.killed is None or found.raw_state in ENDED:
            return found
        if host := self.elsewhere:
            state, explanation = State.UNKNOWN, f"{STOPPED}. It was on {host}: look there."
        elif found.state is State.PENDING:
            again = f"dfh resume {self.queue.root.parent.name} goes on."
            state, explanation = State.HELD, f"{STOPPED}; {again}"
        elif self._is_lost(name):
            state, explanation = State.UNKNOWN, f"{STOPPED}; how this job ended is not known."
        else:
            return found
        return found._replace(state=state, raw_reason=ENGINESTOPPED, explanation=explanation)

    def _is_lost(self, name: str) -> bool:
        """Tell whether a task that was running is not there any more, and no engine saw its end."""
        reported = self.status.get(name)
        if self.killed is None or self.elsewhere or reported is None or reported.raw != "RUNNING":
            return False
        token = f"{self.queue.uuid}.{name}"
        from .local_process import Process

        return not Process(reported.pid, reported.start_time, token).is_there


def _tasks_of(job: QueuedJob, name: str) -> tuple[str, ...]:
    return job.task_ids if name == job.id else (name,)


def _has_running(status: dict[str, LocalStatus]) -> bool:
    return any(reported.raw == "RUNNING" for reported in status.values())


def _is_held(reported: LocalStatus | None) -> bool:
    return reported is None or (reported.raw == "PENDING" and reported.reason == _HELD)


def _unseen(job: QueuedJob, name: str) -> LocalStatus:
    """Return what the engine will say of a task that it has not seen yet."""
    from .local_tasks import Task

    free = "Dependency" if job.after else "Resources"
    return Task(name, job, reason=_HELD if job.hold else free).status
