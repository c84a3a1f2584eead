"""One machine without a scheduler: a detached process for each execution stands in for it.

The process is `local_engine`. It is started when a job may run, outlives its caller, and ends when
there is nothing to do.
"""

from __future__ import annotations

import functools
import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING, ClassVar

from deepforge_hpc.errors import SchedulerError, StorageError
from deepforge_hpc.plugins.scheduler import Scheduler

from .local_queue import ENDED, LocalQueue, QueuedJob, parse_array
from .local_view import View

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from deepforge_hpc.model.execution import SubmitRequest
    from deepforge_hpc.runtime.base.native import NativeStatus


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
        """Return the command that the engine runs."""
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
        """Return the ids of the jobs of this token that have not ended."""
        view = View.of(LocalQueue.of(directory))
        view.require_here()
        found: dict[str, list[str]] = {}
        for job in view.jobs:
            if job.name == f"{job.job}.{token}" and not view.is_over(job):
                found.setdefault(job.job, []).append(job.id)
        return found


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
    for key, entry in queue.status().items():
        name = key.partition("_")[0]
        ended[name] = ended.get(name, True) and entry["raw"] in ENDED
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


def _ensure_engine(queue: LocalQueue, directory: str) -> None:
    if queue.has_engine:
        return
    import subprocess

    # Not the caller's folder, which would be the first place that `python -m` imports from.
    argv = [sys.executable, "-m", "deepforge_hpc.schedulers.local_engine", directory]
    with queue.log.open("ab") as log:
        done = subprocess.run(
            argv, stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd="/", check=False,
            start_new_session=True,
        )  # fmt: skip
    if done.returncode:
        message = f"The process that runs the jobs on this machine could not start: {queue.log}"
        raise SchedulerError(message, f"Read {queue.log}, then `dfh resume`.", argv=argv)
