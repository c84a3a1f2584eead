"""The status of an execution as data: what `dfh status`, report and final job are fed from."""

from __future__ import annotations

from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any, NamedTuple

from ..base.advice import End, submit_command
from ..base.notice import Notice
from ..base.states import State, combine
from ..base.times import parse_time
from .judge import Evidence, Trouble, judge, title
from .marker import MISSING, Found
from .read import ARRAY, FINAL, LAYOUT

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from ..base.native import NativeStatus
    from .journal import Attempt
    from .marker import Marker
    from .read import Files, Planned, Unit

SCHEMA = "dfh/status/2"


class OutputStatus(NamedTuple):
    """A published output."""

    name: str
    path: str
    """Relative to the job's folder."""
    format: str
    sha256: str
    size: int
    parts: bool = False
    """Whether it is a folder with a part of each task."""


class TaskStatus(NamedTuple):
    """A single job, or one task of a job array."""

    task: int | None
    state: State
    reason: str = ""
    """Why it is in this state: one sentence."""
    hint: str = ""
    native_id: str = ""
    raw: str = ""
    """The scheduler's own words: state, reason."""
    attempt: int = 0
    started: str = ""
    """ISO 8601, as `ended`; empty if not known."""
    ended: str = ""
    elapsed_s: float | None = None
    exit_code: int | None = None
    is_over: bool = False
    """Whether a positive word, its own or the scheduler's, says that nothing of it runs or will."""
    is_written: bool = True
    """False for an end that the job itself could not write down."""
    again: bool = True
    """False for a failure that running the same frozen code again would only repeat."""
    host: str = ""
    folder: str = ""
    """Relative to the execution."""
    error: dict[str, Any] | None = None
    """What the rank that failed first left: type, message, traceback, rank, file, line."""
    outputs: tuple[OutputStatus, ...] = ()
    reused_from: str = ""
    """Id of the execution that made the outputs, or empty."""

    @property
    def started_at(self) -> datetime | None:
        """Return when it started."""
        return parse_time(self.started)

    @property
    def ended_at(self) -> datetime | None:
        """Return when it ended."""
        return parse_time(self.ended)

    def to_dict(self) -> dict[str, Any]:
        """Return JSON data."""
        return {name: getattr(self, name) for name in _TASK}


_TASK = (
    *("task", "state", "reason", "hint", "native_id", "raw", "attempt", "started", "ended"),
    *("elapsed_s", "exit_code", "is_over", "is_written", "again", "host", "reused_from"),
)


class JobStatus(NamedTuple):
    """A job of the plan; of an array the tasks together."""

    name: str
    operation: str
    kind: str
    after: tuple[str, ...]
    state: State
    detail: str
    """The state, with counts for an array: `running 5/8`."""
    reason: str
    hint: str
    native_id: str
    raw: str
    exit_code: int | None
    attempt: int
    started: str
    ended: str
    elapsed_s: float | None
    """Of an array from the first start to the last end."""
    metrics: dict[str, Any]
    """The last line that the job logged."""
    log: str
    """Relative to the execution; empty if it has not run."""
    outputs: tuple[OutputStatus, ...]
    reused_from: str
    """Id of the execution that made the outputs (of an array: those of a task), or empty."""
    units: tuple[TaskStatus, ...] = ()
    """Its tasks, or the one job."""
    again: bool = True
    """False if that of a task is."""
    plan: Mapping[str, Any] = {}
    """Its entry in the plan."""

    @property
    def tasks(self) -> tuple[TaskStatus, ...]:
        """Return the tasks of a job array."""
        return self.units if self.kind == ARRAY else ()

    @property
    def speaker(self) -> TaskStatus:
        """Return the task that tells most about the whole: the first in its state."""
        return next((unit for unit in self.units if unit.state is self.state), self.units[0])

    @property
    def has_run(self) -> bool:
        """Tell whether it has started, in whatever attempt."""
        return self.state not in {State.PLANNED, State.HELD, State.PENDING, State.NEVER_RAN}

    @property
    def done(self) -> int:
        """Return the number of tasks whose outputs are there."""
        return sum(unit.state.is_success for unit in self.units)

    def to_dict(self) -> dict[str, Any]:
        """Return JSON data."""
        data = self._asdict()
        del data["units"], data["plan"]
        data["outputs"] = [output._asdict() for output in self.outputs]
        return {**data, "tasks": [task.to_dict() for task in self.tasks]}


class ExecutionStatus(NamedTuple):
    """An execution, and what to do next."""

    id: str
    path: str
    pipeline: str
    site: str
    scheduler: str
    name: str
    note: str
    created: str
    state: State
    """Of all operations together; the final job does not count."""
    attempt: int
    jobs: tuple[JobStatus, ...]
    warnings: tuple[Notice, ...] = ()
    next: str = ""
    """A command, or empty."""
    info: Mapping[str, Any] = {}
    """`execution.json`"""
    at: float = 0.0
    """When this was so, in seconds since the epoch."""

    @property
    def now(self) -> datetime:
        """Return when this was so."""
        return datetime.fromtimestamp(self.at, timezone.utc)

    @property
    def work(self) -> tuple[JobStatus, ...]:
        """Return the jobs without the one that closes the execution."""
        return tuple(job for job in self.jobs if job.kind != FINAL)

    @property
    def has_ended(self) -> bool:
        """Tell whether nothing will change by itself any more."""
        return bool(self.work) and all(job.state.is_final for job in self.work)

    def ends(self) -> Iterator[End]:
        """Yield how each job or task ended."""
        for job in self.work:
            for unit in job.units:
                yield End(job.name, unit.state, unit.again)

    @property
    def submit_command(self) -> str:
        """Return the command that runs the pipeline as it is now."""
        return submit_command(self.info)

    def to_dict(self) -> dict[str, Any]:
        """Return JSON data."""
        data = self._asdict()
        del data["info"], data["at"]
        data["jobs"] = [job.to_dict() for job in self.jobs]
        data["warnings"] = [notice.to_dict() for notice in self.warnings]
        return {"schema": SCHEMA, **data}


def build(
    files: Files,
    answers: Mapping[str, NativeStatus] | None,
    *,
    now: float,
    number: int | None = None,
) -> ExecutionStatus:
    """Return the status by the files of an execution and the scheduler's answers, by native id.

    None: it was not asked, or did not answer. `number`: the attempt to judge, if not the last.
    """
    history = files.journal
    attempt = history.last if number is None else history.attempt(number)
    view = _View(files, attempt, answers, now)
    jobs = tuple(view.job(job) for job in files.jobs)
    info = files.info
    text = {key: str(info.get(key) or files.plan.get(key) or "") for key in _TEXTS}
    return ExecutionStatus(
        path=str(files.root),
        state=combine(job.state for job in jobs if job.kind != FINAL),
        attempt=attempt.number if attempt else 0,
        jobs=jobs,
        warnings=(*_problems(files), *view.warnings),
        info=info,
        at=now,
        **text,
    )


_TEXTS = ("id", "pipeline", "site", "scheduler", "name", "note", "created")


def _problems(files: Files) -> Iterator[Notice]:
    for name, data in (("execution.json", files.info), ("plan.json", files.plan)):
        if not data:
            yield Notice("file_damaged", f"{name} is missing or damaged.", name)
    if files.journal.fault:
        hint = "Jobs can still be found in the queue by their names: dfh cancel"
        yield Notice("journal_damaged", files.journal.fault, "submitted.jsonl", next=hint)
    last = files.journal.last
    if last is not None and last.refused:
        text = f"The submission was refused, nothing of it runs: {last.refused}"
        yield Notice("submission_refused", text, str(files.info.get("id") or ""))


class _View:
    """All that is known of one execution at one moment."""

    def __init__(
        self,
        files: Files,
        attempt: Attempt | None,
        answers: Mapping[str, NativeStatus] | None,
        now: float,
    ) -> None:
        self._files = files
        self._attempt = attempt
        self._answers = answers
        self._now = now
        self._id = str(files.info.get("id") or "")
        self._token = str(files.info.get("uuid") or "")[:8]
        self._trouble: dict[str, Trouble] = {}
        """Job that did not succeed -> where the trouble began."""
        self._open: set[str] = set()
        """Jobs that have not ended."""
        self.warnings: list[Notice] = []

    def job(self, job: Planned) -> JobStatus:
        """Return the status of a job; those that it waits for have been asked for before."""
        units = tuple(self._unit(job, task) for task in job.indices)
        state = combine(unit.state for unit in units)
        if not state.is_final:
            self._open.add(job.name)
        if (state.is_final or state is State.UNKNOWN) and (began := _began(job, units)):
            self._trouble[job.name] = self._origin(job) or began
        started = min((unit.started for unit in units if unit.started), default="")
        ended = max((unit.ended for unit in units), default="") if state.is_final else ""
        first = next((unit for unit in units if unit.state is state), units[0])
        found = JobStatus(
            name=job.name,
            operation=job.operation,
            kind=job.kind,
            after=job.after,
            state=state,
            detail=_detail(state, units),
            reason=_reason(first, units),
            hint=first.hint,
            raw=first.raw,
            exit_code=first.exit_code,
            native_id=self._attempt.native_id(job.name, None) if self._attempt else "",
            attempt=max(unit.attempt for unit in units),
            started=started,
            ended=ended,
            elapsed_s=seconds(started, ended, self._now, is_over=state.is_final),
            metrics={},
            log="",
            outputs=first.outputs if job.kind != ARRAY else (),
            reused_from=next((unit.reused_from for unit in units if unit.reused_from), ""),
            units=units,
            again=all(unit.again for unit in units),
            plan=job.data,
        )
        return found._replace(log=_log(found, first)) if found.has_run else found

    def _unit(self, job: Planned, task: int | None) -> TaskStatus:
        unit = self._files.units[job.name, task]
        evidence = self._evidence(job, task, unit)
        verdict = judge(evidence)
        if verdict.notice:
            self.warnings.append(verdict.notice)
        said, marker = evidence.current, evidence.found.marker
        started, ended = (said.started, said.ended) if said else ("", "")
        is_success = verdict.state.is_success
        return TaskStatus(
            task=task,
            state=verdict.state,
            reason=verdict.reason,
            hint=verdict.hint,
            native_id=evidence.native_id or (said.native_id if said else ""),
            raw=verdict.raw,
            attempt=evidence.number,
            started=started,
            ended=ended,
            elapsed_s=seconds(started, ended, self._now, is_over=verdict.state.is_final),
            exit_code=said.exit_code if said else None,
            is_over=verdict.is_over,
            is_written=verdict.is_written,
            again=verdict.again,
            host=said.host if said else "",
            folder=LAYOUT.job(job.name, task).root.as_posix(),
            error=said.error if said and not is_success else None,
            outputs=_outputs(marker) if is_success else (),
            reused_from=str((marker.reused_from or {}).get("execution", "")) if marker else "",
        )

    def _evidence(self, job: Planned, task: int | None, unit: Unit) -> Evidence:
        attempt, found = self._attempt, unit.found
        if attempt is not None and not attempt.covers(job.name, task):
            attempt = None
        if job.kind == FINAL and found.marker and self._is_older(found.marker):
            found = Found(None, MISSING)  # it closed an earlier attempt
        native_id = attempt.native_id(job.name, task) if attempt else ""
        return Evidence(
            execution=self._id,
            job=job.name,
            task=task,
            found=found,
            said=unit.said,
            said_fault=unit.said_fault,
            attempt=attempt,
            journal_fault=self._files.journal.fault,
            native=self._native(job.name, native_id),
            is_asked=self._answers is not None and bool(native_id),
            trouble=self._origin(job),
            waits_for=tuple(name for name in job.after if name in self._open),
            is_guarded=job.is_guarded,
            is_final_job=job.kind == FINAL,
        )

    def _is_older(self, marker: Marker) -> bool:
        return self._attempt is not None and marker.attempt < self._attempt.number

    def _native(self, job: str, native_id: str) -> NativeStatus | None:
        found = (self._answers or {}).get(native_id)
        if found is not None and found.name and found.name != f"{job}.{self._token}":
            # After a crash Slurm gives the ids of jobs that it lost to other people's jobs.
            return None
        return found

    def _origin(self, job: Planned) -> Trouble | None:
        """Return where the trouble began because of which a job cannot run, if there is any."""
        if job.kind == FINAL:
            return None
        return next((self._trouble[name] for name in job.after if name in self._trouble), None)


def _began(job: Planned, units: tuple[TaskStatus, ...]) -> Trouble | None:
    for unit in units:
        if unit.state.is_final and not unit.state.is_success:
            return Trouble(title(job.name, unit.task), unit.state, unit.again)
    return None


def _log(job: JobStatus, unit: TaskStatus) -> str:
    return LAYOUT.log(job.name, max(1, unit.attempt), unit.task).as_posix()


def _reason(first: TaskStatus, units: tuple[TaskStatus, ...]) -> str:
    """Return why, and for which task of an array if not for all."""
    if not first.reason or all(unit.reason == first.reason for unit in units):
        return first.reason
    return f"task {first.task}: {first.reason}"


def _detail(state: State, units: tuple[TaskStatus, ...]) -> str:
    if len(units) == 1:
        return state.value
    done = sum(unit.state.is_success for unit in units)
    if state.is_live:
        return f"{state} {done}/{len(units)}"
    same = sum(unit.state is state for unit in units)
    return state.value if same == len(units) else f"{state} {same}/{len(units)}"


def _outputs(marker: Marker | None) -> tuple[OutputStatus, ...]:
    entries = marker.outputs if marker else {}
    return tuple(
        OutputStatus(
            name, entry["path"], entry["format"], entry["sha256"], entry["size"],
            bool(entry.get("parts")),
        )
        for name, entry in sorted(entries.items())
    )  # fmt: skip


def seconds(started: str, ended: str, now: float, *, is_over: bool) -> float | None:
    """Return how long something ran, or has run until now; None if that is not known."""
    begin, end = parse_time(started), parse_time(ended)
    if begin is None or (is_over and end is None):
        return None
    return round(max(0.0, (end.timestamp() if end else now) - begin.timestamp()), 3)
