"""What an execution's files say of it: jobs and tasks, their states, results and last words."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from ..base.advice import End, submit_command
from ..base.folder import Folder
from ..base.layout import ExecutionLayout, JobLayout
from ..base.states import State, combine
from ..base.text import as_list, plain
from ..base.times import parse_time

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from datetime import datetime
    from typing import TypeGuard

LAYOUT = ExecutionLayout(Path())
"""Names of files and folders, relative to the execution."""
ARRAY, GATHER, FINAL = "array", "gather", "final"
WAITING = frozenset({State.PLANNED, State.HELD, State.PENDING})
_NAMES = JobLayout(Path())
_MAX_TASKS = 100_000


class Output(NamedTuple):
    """A published output."""

    name: str
    path: str
    """Relative to the folder of its job or task."""
    format: str
    sha256: str
    size: object


class Task(NamedTuple):
    """A job that has no tasks, or one task of a job array."""

    number: int | None
    """None for a job that has no tasks."""
    folder: str
    """Relative to the execution."""
    state: State
    attempt: int = 0
    started: datetime | None = None
    ended: datetime | None = None
    host: str = ""
    native_id: str = ""
    reason: str = ""
    hint: str = ""
    error: dict[str, Any] | None = None
    exit_code: int | None = None
    outputs: tuple[Output, ...] = ()
    reused_from: str = ""
    again: bool = True
    """False for a failure that running the same frozen code again would only repeat."""


class Job(NamedTuple):
    """One job of the plan."""

    name: str
    operation: str
    kind: str
    after: tuple[str, ...]
    plan: dict[str, Any]
    tasks: tuple[Task, ...]
    state: State

    @property
    def counts(self) -> Counter[State]:
        """Return the number of tasks in each state."""
        return Counter(task.state for task in self.tasks)

    @property
    def done(self) -> int:
        """Return the number of tasks whose outputs are there."""
        return sum(task.state.is_success for task in self.tasks)

    @property
    def attempt(self) -> int:
        """Return the latest attempt of any task."""
        return max((task.attempt for task in self.tasks), default=0)


class Execution(NamedTuple):
    """One run of a pipeline."""

    info: dict[str, Any]
    plan: dict[str, Any]
    jobs: tuple[Job, ...]
    """Without the final job."""
    now: datetime
    problems: tuple[str, ...] = ()
    """Files that should be there and cannot be read."""

    @property
    def state(self) -> State:
        """Return the state of the whole execution."""
        return combine(job.state for job in self.jobs)

    @property
    def has_ended(self) -> bool:
        """Tell whether nothing will change by itself any more."""
        return bool(self.jobs) and all(job.state.is_final for job in self.jobs)

    def started(self) -> datetime | None:
        """Return when the first task started."""
        tasks = [task for job in self.jobs for task in job.tasks]
        return min((task.started for task in tasks if task.started), default=None)

    def ended(self) -> datetime | None:
        """Return when the last task ended, if all have."""
        tasks = [task for job in self.jobs for task in job.tasks]
        ends = (task.ended for task in tasks if task.ended)
        return max(ends, default=None) if self.has_ended else None

    def ends(self) -> Iterator[End]:
        """Yield how each job or task ended."""
        for job in self.jobs:
            for task in job.tasks:
                yield End(job.name, task.state, task.again)

    @property
    def submit_command(self) -> str:
        """Return the command that runs the pipeline as it is now."""
        return submit_command(self.info)


def text_of(execution: Execution, key: str) -> str:
    """Return a text of `execution.json`, else of the plan; empty if neither has it."""
    values = (execution.info.get(key), execution.plan.get(key))
    return next((plain(value, 200) for value in values if isinstance(value, str)), "")


class Journal:
    """What was submitted, from `submitted.jsonl`."""

    def __init__(self, rows: Iterable[dict[str, Any]]) -> None:
        self._latest: dict[tuple[str, int | None], int] = {}
        self._native: dict[tuple[int, str], str] = {}
        self._released: set[int] = set()
        self._cancelled: set[int] = set()
        for row in rows:
            event, attempt = row.get("event"), row.get("attempt")
            if isinstance(attempt, int):
                self._read(str(event), attempt, row)

    def _read(self, event: str, attempt: int, row: dict[str, Any]) -> None:
        if event == "intent":
            tasks = row.get("tasks")
            for job in _texts(row.get("jobs")):
                chosen = tasks.get(job) if isinstance(tasks, dict) else None
                numbers: list[Any] = chosen if isinstance(chosen, list) else [None]
                for number in numbers:
                    if number is None or isinstance(number, int):
                        self._latest[job, number] = attempt
        elif event == "job":
            self._native[attempt, str(row.get("job"))] = str(row.get("native_id", ""))
        elif event == "released":
            self._released.add(attempt)
        elif event == "cancel":
            self._cancelled.add(attempt)

    def attempt(self, job: str, task: int | None) -> int:
        """Return the latest attempt that was to run a task; 0 if none was."""
        return max(self._latest.get((job, None), 0), self._latest.get((job, task), 0))

    def waiting(self, job: str, attempt: int) -> State:
        """Return the state of a task that has not begun in an attempt."""
        if attempt in self._cancelled:
            return State.CANCELLED
        if (attempt, job) not in self._native:
            return State.PLANNED
        return State.PENDING if attempt in self._released else State.HELD

    def native_id(self, job: str, attempt: int) -> str:
        """Return the scheduler's id of a job in an attempt."""
        return self._native.get((attempt, job), "")


def read_execution(root: Path, now: datetime) -> Execution:
    """Read an execution, also an unfinished, damaged or foreign one; OSError if it is no folder."""
    with Folder.open(root) as folder, folder.folder("jobs") as jobs:
        info, plan = folder.json("execution.json"), folder.json("plan.json")
        journal = Journal(folder.json_lines("submitted.jsonl"))
        planned = [entry for entry in as_list(plan.get("jobs")) if _is_job(entry)]
        problems = [name for name, data in (("execution.json", info), ("plan.json", plan))
                    if not data]  # fmt: skip
        found = [_job(entry, jobs, journal) for entry in planned if entry.get("kind") != FINAL]
    return Execution(
        info=info,
        plan=plan,
        jobs=tuple(_never_run(found)),
        now=now,
        problems=tuple(f"{name} is missing or damaged." for name in problems),
    )


def _is_job(entry: object) -> TypeGuard[dict[str, Any]]:
    """Tell whether a plan's entry can be shown; a name is also a folder's name."""
    name = entry.get("name") if isinstance(entry, dict) else None
    return isinstance(name, str) and name not in {"", ".", ".."} and "/" not in name


def _texts(value: object) -> list[str]:
    return [item for item in as_list(value) if isinstance(item, str)]


def _job(entry: dict[str, Any], jobs: Folder, journal: Journal) -> Job:
    name = entry["name"]
    kind, total = str(entry.get("kind", "run")), entry.get("tasks")
    with jobs.folder(name) as folder:
        if kind == ARRAY and isinstance(total, int):
            present = folder.names()
            indices = range(min(total, _MAX_TASKS))
            tasks = [_array_task(name, index, folder, present, journal) for index in indices]
        else:
            tasks = [_task(name, None, LAYOUT.job(name).root.as_posix(), folder, journal)]
    return Job(
        name=name,
        operation=str(entry.get("operation") or name),
        kind=kind,
        after=tuple(_texts(entry.get("after"))),
        plan=entry,
        tasks=tuple(tasks),
        state=combine(task.state for task in tasks),
    )


def _array_task(
    job: str, index: int, folder: Folder, present: frozenset[str], journal: Journal
) -> Task:
    path = LAYOUT.job(job, index).root
    if path.name not in present:
        return _task(job, index, path.as_posix(), Folder(-1), journal)
    with folder.folder(path.name) as place:
        return _task(job, index, path.as_posix(), place, journal)


def _task(job: str, index: int | None, path: str, folder: Folder, journal: Journal) -> Task:
    """Return what the files of a task say; the marker of success has the last word."""
    submitted = journal.attempt(job, index)
    marker, state = folder.json(_NAMES.success.name), folder.json(_NAMES.state.name)
    if not marker and _attempt(state) < submitted:
        state = {}  # of an earlier attempt
    attempt = _attempt(marker) or _attempt(state) or submitted
    task = Task(
        number=index,
        folder=path,
        state=_state(marker, state, journal.waiting(job, submitted)),
        attempt=attempt,
        native_id=str(state.get("native_id") or journal.native_id(job, attempt)),
    )
    if state and (not marker or _attempt(state) == _attempt(marker)):
        task = _with_state(task, state)
    return _with_marker(task, marker) if marker else task


def _attempt(data: dict[str, Any]) -> int:
    attempt = data.get("attempt")
    return attempt if isinstance(attempt, int) else 0


def _state(marker: dict[str, Any], state: dict[str, Any], waiting: State) -> State:
    if marker:
        return State.REUSED if marker.get("reused_from") else State.SUCCEEDED
    if not state:
        return waiting
    try:
        found = State(state.get("state"))
    except ValueError:
        return State.UNKNOWN
    # Only a marker makes a success.
    return State.UNKNOWN if found.is_success else found


def _with_state(task: Task, data: dict[str, Any]) -> Task:
    error, code = data.get("error"), data.get("exit_code")
    success = task.state.is_success
    return task._replace(
        started=parse_time(data.get("started")),
        ended=parse_time(data.get("ended")),
        host=str(data.get("host") or ""),
        reason="" if success else str(data.get("reason") or ""),
        hint="" if success else str(data.get("hint") or ""),
        error=error if isinstance(error, dict) and not success else None,
        exit_code=code if isinstance(code, int) else None,
        again=bool(data.get("again")) or task.state is not State.FAILED,
    )


def _with_marker(task: Task, marker: dict[str, Any]) -> Task:
    outputs, origin = marker.get("outputs"), marker.get("reused_from")
    found = outputs.items() if isinstance(outputs, dict) else ()
    return task._replace(
        outputs=tuple(_output(name, entry) for name, entry in found if isinstance(entry, dict)),
        reused_from=str(origin.get("execution", "")) if isinstance(origin, dict) else "",
    )


def _output(name: str, entry: dict[str, Any]) -> Output:
    kind = str(entry.get("format", ""))
    return Output(
        name=name,
        path=str(entry.get("path", "")),
        format=f"{kind}, in parts" if entry.get("parts") else kind,
        sha256=str(entry.get("sha256", "")).removeprefix("sha256:"),
        size=entry.get("size"),
    )


def _never_run(jobs: list[Job]) -> Iterator[Job]:
    """Say of jobs that wait for one which ended without success that they will not run.

    The scheduler or the final job will say so as well, but later.
    """
    lost: dict[str, str] = {}
    for job in jobs:
        cause = next((name for name in job.after if name in lost), "")
        waits = job.state in WAITING and job.attempt > 0
        if cause and waits and job.plan.get("dependency") != "afterany":
            reason = f"{lost[cause]} did not succeed."
            tasks = tuple(
                task._replace(state=State.NEVER_RAN, reason=reason)
                if task.state in WAITING
                else task
                for task in job.tasks
            )
            lost[job.name] = lost[cause]
            yield job._replace(tasks=tasks, state=combine(task.state for task in tasks))
            continue
        if job.state.is_final and not job.state.is_success:
            lost[job.name] = job.name
        yield job
