"""What a supervisor knows of its job: the execution's frozen files, read once."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import NamedTuple

from .execution import ExecutionInfo
from .failure import not_as_submitted
from .files import digest, read_own
from .layout import ExecutionLayout, JobLayout
from .plan import Job, JobKind, Plan, parse_plan


class Context(NamedTuple):
    """One attempt of one job, or of one task of a job array."""

    layout: ExecutionLayout
    info: ExecutionInfo
    plan: Plan
    """Of a job of our own only what it needs: see `parse_plan`."""
    job: Job
    task: int | None
    attempt: int
    """0: by hand; nothing is published, and the state is left alone."""
    native_id: str = ""
    """The scheduler's id of this job or array task; empty by hand."""
    nodes: str = ""
    """Where it runs, in the scheduler's words; empty if it does not say."""

    @property
    def name(self) -> str:
        """Return the job's name."""
        return self.job.name

    @property
    def title(self) -> str:
        """Return the name, with the task of a job array."""
        return self.name if self.task is None else f"{self.name} task {self.task}"

    @property
    def by_hand(self) -> bool:
        """Tell whether a person runs the script for debugging."""
        return self.attempt == 0

    @property
    def folder(self) -> JobLayout:
        """Return where the job's files lie."""
        return self.layout.job(self.name, self.task)

    @property
    def work(self) -> Path:
        """Return the folder of this attempt's unpublished files."""
        return self.folder.work(self.attempt)

    @property
    def ledger(self) -> Path:
        """Return the project's ledger."""
        return Path(self.info.ledger)


def find_root() -> Path:
    """Return the execution that this process belongs to: the working directory, else our own."""
    here = Path.cwd()
    folders = (here, *Path(__file__).resolve().parents)
    return next((path for path in folders if ExecutionLayout(path).execution.is_file()), here)


def open_context(
    root: Path, *, job: str, task: int | None, attempt: int, plan_sha256: str
) -> Context:
    """Read the execution's files; JobError (87) unless the plan is the one that was submitted."""
    layout = ExecutionLayout(root)
    try:
        info = ExecutionInfo.read(layout, is_open=False)
        content = read_own(layout.plan)
        expected = plan_sha256 or info.plan_sha256
        if digest(content) != expected:
            reason = f"plan.json is not what was submitted: it should have {expected}."
            raise not_as_submitted(reason)
        plan = parse_plan(content, job=job)
        entry = plan.job(job)
    except (OSError, ValueError, KeyError) as error:
        reason = f"{root} is not a readable execution with a job {job}: {error!r}."
        raise not_as_submitted(reason) from error
    is_array = entry.kind is JobKind.ARRAY
    if is_array is (task is None) or (task is not None and not 0 <= task < entry.tasks):
        reason = f"Job {job} has {entry.tasks} tasks, and the script asked for task {task}."
        hint = "By hand, set DFH_ARRAY_TASK_ID to the number of a task." if is_array else ""
        raise not_as_submitted(reason, hint)
    return Context(layout, info, plan, entry, task, attempt)


class Clock(NamedTuple):
    """When something began, on two clocks."""

    wall: float
    monotonic: float

    @classmethod
    def now(cls) -> Clock:
        """Return the time."""
        return cls(time.time(), time.monotonic())

    def elapsed_s(self) -> float:
        """Return the seconds that have passed, also when the time of day was set anew."""
        return round(time.monotonic() - self.monotonic, 6)


def timestamp(seconds: float | None = None) -> str:
    """Return a time in UTC, ISO 8601 with milliseconds and an offset."""
    now = time.time() if seconds is None else seconds
    whole = int(now)
    text = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(whole))
    return f"{text}.{int((now - whole) * 1000):03d}+00:00"


def hostname() -> str:
    """Return the name of this machine."""
    return os.uname().nodename
