"""The status of an execution as data: what `dfh status` prints and `--json` holds."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any

SCHEMA = "dfh/status/1"


@dataclass(frozen=True, slots=True, kw_only=True)
class OutputStatus:
    """A published output."""

    name: str
    path: str
    """Relative to the job's folder."""
    format: str
    sha256: str
    size: int


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskStatus:
    """A single job, or one task of a job array."""

    task: int | None
    state: str
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
    is_written: bool = True
    """False for an end that the job itself could not write down."""
    again: bool = True
    """False for a failure that running the same frozen code again would only repeat."""


@dataclass(frozen=True, slots=True, kw_only=True)
class JobStatus:
    """A job of the plan; of an array the tasks together."""

    name: str
    operation: str
    kind: str
    after: tuple[str, ...]
    state: str
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
    metrics: dict[str, Any]
    """The last line that the job logged."""
    log: str
    """Relative to the execution; empty if it has not run."""
    outputs: tuple[OutputStatus, ...]
    reused_from: str
    """Id of the execution that made the outputs (of an array: those of a task), or empty."""
    tasks: tuple[TaskStatus, ...] = ()
    again: bool = True
    """False if that of a task is."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ExecutionStatus:
    """An execution, and what to do next."""

    id: str
    path: str
    pipeline: str
    site: str
    scheduler: str
    name: str
    note: str
    created: str
    state: str
    """Of all operations together; the final job does not count."""
    attempt: int
    jobs: tuple[JobStatus, ...]
    warnings: tuple[str, ...]
    next: str
    """A command, or empty."""
    schema: str = field(default=SCHEMA)

    def to_dict(self) -> dict[str, Any]:
        """Return JSON data."""
        return asdict(self)
