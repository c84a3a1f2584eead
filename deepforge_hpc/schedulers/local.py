"""One machine without a scheduler: a detached process for each execution stands in for it.

The process is `local_engine`. It is started when a job may run, outlives its caller, and ends when
there is nothing to do.
"""

from __future__ import annotations

import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, ClassVar

from deepforge_hpc.errors import SchedulerError, StorageError
from deepforge_hpc.plugins.scheduler import Scheduler
from deepforge_hpc.runtime.base.native import NativeStatus
from deepforge_hpc.runtime.base.states import State, state_of

from .local_process import Process
from .local_queue import ENDED, STOPPED, LocalQueue, QueuedJob, parse_array

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from deepforge_hpc.model.execution import SubmitRequest

ENGINESTOPPED = "EngineStopped"


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
        if not job.hold and _have_ended(queue, job):
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
        status = queue.status()
        wanted = set(native_ids)
        ids = [
            name
            for job in queue.jobs()[0]
            for name in (job.id, *job.task_ids)
            if name in wanted and not _is_over(job, name, status)
        ]
        if ids:
            with _writing(queue):
                queue.command(verb, ids)
            _ensure_engine(queue, directory)

    def query(self, directory: str, native_ids: Sequence[str]) -> dict[str, NativeStatus]:
        """Return what the engine wrote, checked against the processes if the engine is gone."""
        queue = LocalQueue.of(directory)
        # In this order: an engine that ends in between has written its last word.
        killed = queue.killed_engine
        status = queue.status()
        wanted = set(native_ids)
        found = {}
        for job in queue.jobs()[0]:
            for name in job.task_ids:
                if name in wanted or job.id in wanted:
                    entry = status.get(name, {})
                    found[name] = _native(job, name, entry)
                    if killed:
                        found[name] = _without_engine(found[name], entry, killed)
        return found

    def find(self, directory: str, token: str) -> dict[str, list[str]]:
        """Return the ids of the jobs of this token that have not ended."""
        queue = LocalQueue.of(directory)
        status = queue.status()
        found: dict[str, list[str]] = {}
        for job in queue.jobs()[0]:
            if job.name == f"{job.job}.{token}" and not _is_over(job, job.id, status):
                found.setdefault(job.job, []).append(job.id)
        return found


def _tasks(request: SubmitRequest) -> tuple[int, ...] | None:
    try:
        return parse_array(request.array)
    except ValueError as error:
        message = f"{request.job}: {request.array!r} is not a list of array tasks"
        raise SchedulerError(message) from error


def _is_over(job: QueuedJob, name: str, status: dict[str, dict[str, Any]]) -> bool:
    names = job.task_ids if name == job.id else (name,)
    return all(status.get(item, {}).get("raw") in ENDED for item in names)


def _have_ended(queue: LocalQueue, job: QueuedJob) -> bool:
    """Tell whether nothing that a new job waits for can still run; what is unknown cannot."""
    last = int(job.id[1:]) - 1
    known = {name for name in job.after if name[1:].isdecimal() and int(name[1:]) <= last}
    if not known:
        return True
    # Read from the status alone: the whole queue read for each new job would be its square.
    ended: dict[str, bool] = {}
    for key, entry in queue.status().items():
        name = key.partition("_")[0]
        ended[name] = ended.get(name, True) and entry["raw"] in ENDED
    return all(ended.get(name, False) for name in known)


def _native(job: QueuedJob, name: str, entry: dict[str, Any]) -> NativeStatus:
    if not entry:
        # The engine has not seen it yet.
        from .local_tasks import Task

        free = "Dependency" if job.after else "Resources"
        task = Task(name, job, reason="JobHeldUser" if job.hold else free)
        entry = task.to_dict()
    return NativeStatus(
        native_id=name,
        state=state_of(entry["state"]),
        raw_state=entry["raw"],
        raw_reason=entry["reason"],
        explanation=entry["explanation"],
        name=job.name,
        exit_code=entry["exit"],
        wants_memory=_wants_memory(entry["raw"], entry["exit"]),
        ended_by="scheduler" if entry["raw"] in {"CANCELLED", "TIMEOUT"} else "",
    )


def _wants_memory(raw: str, exit_code: str) -> bool:
    if raw != "FAILED":
        return False
    from deepforge_hpc.runtime.schedulers.slurm import wants_memory

    return wants_memory(raw, exit_code)


def _without_engine(status: NativeStatus, entry: dict[str, Any], uuid: str) -> NativeStatus:
    """Return what is true of a job whose engine was killed."""
    if status.state is State.PENDING:
        state, explanation = State.HELD, f"{STOPPED}; `dfh resume` goes on."
    elif status.state is State.RUNNING and not _is_alive(status, entry, uuid):
        state, explanation = State.UNKNOWN, f"{STOPPED}; how this job ended is not known."
    else:
        return status
    return status._replace(state=state, raw_reason=ENGINESTOPPED, explanation=explanation)


def _is_alive(status: NativeStatus, entry: dict[str, Any], uuid: str) -> bool:
    token = f"{uuid}.{status.native_id}"
    return Process(int(entry["pid"]), str(entry["start_time"]), token).is_alive


@contextmanager
def _writing(queue: LocalQueue) -> Iterator[None]:
    try:
        with queue.locked():
            yield
    except OSError as error:
        message = f"{queue.root}: cannot be written: {error.strerror}"
        raise StorageError(message, "Is the file system writable, and not full?") from error


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
