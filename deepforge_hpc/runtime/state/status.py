"""The status of an execution as data: what `dfh status`, report and final job are fed from."""

from __future__ import annotations

from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any, NamedTuple

from ..base.plan import JobKind
from ..base.states import State
from ..base.times import parse_time

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from ..base.advice import End
    from ..base.execution import ExecutionInfo
    from ..base.failure import Raised
    from ..base.notice import Notice
    from ..base.outline import PlannedJob


SCHEMA = "dfh/status/2"
_ABOUT = ("pipeline", "site", "scheduler", "name", "note", "created")


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


class UnitStatus(NamedTuple):
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
    first: str = ""
    """When its first attempt started, if this is a later one."""
    ended: str = ""
    elapsed_s: float | None = None
    exit_code: int | None = None
    is_over: bool = False
    """Whether a positive word, its own or the scheduler's, says that nothing of it runs or will."""
    is_written: bool = True
    """False for an end that the job itself could not write down."""
    is_retryable: bool = True
    """False for a failure that running the same frozen code again would only repeat."""
    lacks: str = ""
    """What that lacks, in the words of `advice`; empty for a fault of the code."""
    is_stuck: bool = False
    """Whether it waits in the queue for what no wait brings."""
    host: str = ""
    folder: str = ""
    """Relative to the execution."""
    error: Raised | None = None
    """What the rank that failed first left."""
    outputs: tuple[OutputStatus, ...] = ()
    reused_from: str = ""
    """Id of the execution that made the outputs, or empty."""
    left: str = ""
    """What it left in its working folder: the end of a sentence."""

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
        return {key: getattr(self, _FIELDS.get(key, key)) for key in _TASK}


_TASK = (
    *("task", "state", "reason", "hint", "native_id", "raw", "attempt", "started", "ended"),
    *("elapsed_s", "exit_code", "is_over", "is_written", "again", "host", "reused_from"),
)
_FIELDS = {"again": "is_retryable"}


def tally(state: State, units: Sequence[UnitStatus]) -> str:
    """Return ` 5/8` of an array: its tasks that are done while it is live, else those in its state;
    empty if that says no more than the state."""
    total = len(units)
    number = sum(unit.state.is_success if state.is_live else unit.state is state for unit in units)
    is_telling = state.is_live or 0 < number < total
    return f" {number}/{total}" if total > 1 and is_telling else ""


def elapsed_s(units: Sequence[UnitStatus], now: float) -> float | None:
    """Return how long units ran together, or have run until now; None if that is not known.

    Between two attempts nothing runs: that pause is not counted.
    """
    if len(units) == 1:
        return units[0].elapsed_s
    attempts: dict[int, list[UnitStatus]] = {}
    for unit in units:
        attempts.setdefault(unit.attempt, []).append(unit)
    spans = [_span(found, now) for found in attempts.values()]
    known = [span for span in spans if span is not None]
    return round(sum(known), 3) if known else None


def _span(units: Sequence[UnitStatus], now: float) -> float | None:
    is_over = all(unit.is_over for unit in units)
    started = min((unit.started for unit in units if unit.started), default="")
    ended = max(unit.ended for unit in units) if is_over else ""
    return seconds(started, ended, now, is_over=is_over)


def seconds(started: str, ended: str, now: float, *, is_over: bool) -> float | None:
    """Return how long something ran, or has run until now; None if that is not known."""
    begin, end = parse_time(started), parse_time(ended)
    if begin is None or (is_over and end is None):
        return None
    return round(max(0.0, (end.timestamp() if end else now) - begin.timestamp()), 3)


class JobStatus(NamedTuple):
    """A job of the plan; of an array the tasks together."""

    plan: PlannedJob
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
    """Of an array from the first start to the last end, without the pauses between attempts."""
    metrics: dict[str, Any]
    """The last line that the job logged."""
    log: str
    """Relative to the execution; empty if it has not run."""
    outputs: tuple[OutputStatus, ...]
    reused_from: str
    """Id of the execution that made the outputs (of an array: those of a task), or empty."""
    units: tuple[UnitStatus, ...] = ()
    """Its tasks, or the one job."""
    is_retryable: bool = True
    """False if that of a task is."""

    @property
    def name(self) -> str:
        """Return its name."""
        return self.plan.name

    @property
    def operation(self) -> str:
        """Return the operation that it belongs to."""
        return self.plan.operation or self.plan.name

    @property
    def tasks(self) -> tuple[UnitStatus, ...]:
        """Return the tasks of a job array."""
        return self.units if self.plan.kind is JobKind.ARRAY else ()

    @property
    def speaker(self) -> UnitStatus:
        """Return the task that tells most about the whole: the first in its state."""
        return next((unit for unit in self.units if unit.state is self.state), self.units[0])

    @property
    def is_over(self) -> bool:
        """Tell whether a positive word says that nothing of it runs or will."""
        return all(unit.is_over for unit in self.units)

    @property
    def is_stuck(self) -> bool:
        """Tell whether all of it that waits in the queue waits for what no wait brings."""
        waiting = [unit for unit in self.units if unit.state is State.PENDING]
        return bool(waiting) and all(unit.is_stuck for unit in waiting)

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
        about = {"kind": self.plan.kind, "after": self.plan.after, **data}
        tasks = [task.to_dict() for task in self.tasks]
        return {"name": self.name, "operation": self.operation, **about, "tasks": tasks}


class ExecutionStatus(NamedTuple):
    """An execution, and what to do next."""

    path: str
    info: ExecutionInfo
    state: State
    """Of all operations together; the final job does not count."""
    attempt: int
    jobs: tuple[JobStatus, ...]
    copies: dict[str, str]
    """Declared output of a job that has succeeded -> its destination (`outputs.NAME.to`)."""
    warnings: tuple[Notice, ...] = ()
    next: str = ""
    """A command, or empty."""
    at: float = 0.0
    """When this was so, in seconds since the epoch."""

    @property
    def id(self) -> str:
        """Return its id."""
        return self.info.id

    @property
    def now(self) -> datetime:
        """Return when this was so."""
        return datetime.fromtimestamp(self.at, timezone.utc)

    @property
    def work(self) -> tuple[JobStatus, ...]:
        """Return the jobs without the one that closes the execution."""
        return tuple(job for job in self.jobs if job.plan.kind is not JobKind.FINAL)

    @property
    def operations(self) -> tuple[str, ...]:
        """Return the names of its operations: the gather job of an array is part of one."""
        return tuple(dict.fromkeys(job.operation for job in self.work))

    @property
    def done(self) -> int:
        """Return the number of operations whose outputs are there."""
        missing = {job.operation for job in self.work if not job.state.is_success}
        return len(self.operations) - len(missing)

    @property
    def is_over(self) -> bool:
        """Tell whether nothing will change by itself any more, but for the final job."""
        return bool(self.work) and all(job.is_over for job in self.work)

    @property
    def is_closed(self) -> bool:
        """Tell whether the final job is over too."""
        return self.is_over and all(job.is_over for job in self.jobs)

    def ends(self) -> Iterator[End]:
        """Yield how each job or task ended."""
        from ..base.advice import End

        for job in self.work:
            for unit in job.units:
                has_begun = bool(unit.started) or unit.exit_code is not None
                yield End(
                    job.name,
                    unit.state,
                    unit.is_retryable,
                    has_begun,
                    unit.lacks,
                    job.operation,
                )

    @property
    def is_stopped(self) -> bool:
        """Tell whether something of it waits for `dfh resume`: it is held, or nothing is queued."""
        return self.state is State.PLANNED or any(job.state is State.HELD for job in self.jobs)

    @property
    def can_move(self) -> bool:
        """Tell whether a job runs, ends, or waits for what may come: no hold, and not for what is
        held, stuck or unknown."""
        stopped: set[str] = set()
        for job in self.jobs:  # in topological order
            if job.is_over:
                continue
            # What has ended is about to leave the queue.
            if job.state.is_at_work or job.state.is_final:
                return True
            is_stopped = job.is_stuck or not stopped.isdisjoint(job.plan.after)
            if job.state is State.PENDING and not is_stopped:
                return True
            stopped.add(job.name)
        return False

    def with_warnings(self, more: tuple[Notice, ...]) -> ExecutionStatus:
        """Return it with what else a person should know."""
        return self._replace(warnings=(*self.warnings, *more))

    def to_dict(self) -> dict[str, Any]:
        """Return JSON data."""
        data: dict[str, Any] = {"id": self.id, "path": self.path}
        data |= {name: getattr(self.info, name) for name in _ABOUT}
        data |= self._asdict()
        del data["info"], data["at"]
        data["jobs"] = [job.to_dict() for job in self.jobs]
        data["warnings"] = [notice.to_dict() for notice in self.warnings]
        return {"schema": SCHEMA, **data}
