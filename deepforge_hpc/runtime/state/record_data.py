"""What a record of the ledger says: how one attempt of a job ended, from what, with what.

A record is read for ever: each field that another kind of record, or an earlier version, lacks has
a default, and what a later version adds is passed over.
"""

# Annotations are types here, which the codec reads.
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from ..base.codec import parse
from ..base.layout import ExecutionLayout
from ..base.states import State
from .marker import Output, ReusedFrom

SCHEMA = "dfh/record/1"


class Producer(NamedTuple):
    """The record that made an input, and as what."""

    record: str
    job: str = ""
    output: str = ""
    task: int | None = None


class RecordedInput(NamedTuple):
    """One input port, and the data that it got."""

    port: str = ""
    sha256: str = ""
    size: int = 0
    path: str = ""
    """Relative to the project, or absolute."""
    format: str = ""
    trust: str = "declared"
    """content: the digest was checked. stat: size and time were. declared: nothing was."""
    by: Producer | None = None
    """None for external data."""
    uri: str = ""


class RecordedOutput(NamedTuple):
    """What was made."""

    name: str = ""
    sha256: str = ""
    size: int = 0
    path: str = ""
    """Relative to the project, or absolute."""
    format: str = ""
    trust: str = "content"
    copies: tuple[str, ...] = ()
    """Where else it was laid (`outputs.NAME.to`), as `path`; earlier versions did not note it."""
    rows: int | None = None
    """Where they were counted; earlier versions did not note it."""
    parts: bool | None = None
    """Whether it is a folder with a part of each task; earlier versions did not note it."""


def _is_same(made: Output, said: RecordedOutput, folder: Path) -> bool:
    """Compare what a marker and a record say of one output of a job, whose folder is given."""
    below = (folder / made.path).parts
    return (
        (made.sha256, made.size, made.format) == (said.sha256, said.size, said.format)
        and said.rows in (None, made.rows)
        and said.parts in (None, made.parts)
        and Path(said.path).parts[-len(below) :] == below
    )


class RecordedFigure(NamedTuple):
    """A file of a figure that was drawn."""

    name: str = ""
    """In the job's folder `figures/`."""
    sha256: str = ""
    size: int = 0


class RecordedReference(NamedTuple):
    """A resource that the operation got."""

    name: str = ""
    sha256: str = ""
    source: str = ""


class RecordedOperation(NamedTuple):
    """What ran."""

    name: str = ""
    object: str = ""
    source: str = ""
    """Digest of its code."""
    module: str = ""
    attributes: dict[str, Any] = {}  # noqa: RUF012 - nobody writes to what a tuple holds
    """Those that were given."""
    defaults: dict[str, Any] = {}  # noqa: RUF012 - as above
    """Those that were left to the code."""
    computed: dict[str, str] = {}  # noqa: RUF012 - as above
    """Those of them that JSON cannot hold, as the code says them."""
    references: tuple[RecordedReference, ...] = ()


class RecordedEnvironment(NamedTuple):
    """The software around it."""

    python: str = ""
    version: str = ""
    modules: tuple[str, ...] = ()
    packages: str | None = None
    """Digest of the list that the ledger keeps."""
    declared: dict[str, Any] = {}  # noqa: RUF012 - as above
    """As the plan has it."""
    vars: dict[str, Any] = {}  # noqa: RUF012 - as above


class RecordedScheduler(NamedTuple):
    """Where it ran."""

    name: str = ""
    native_id: str = ""
    host: str = ""
    nodes: str = ""


class Span(NamedTuple):
    """From when to when; UTC, ISO 8601."""

    start: str = ""
    end: str = ""
    monotonic_s: float = 0.0


class RecordData(NamedTuple):
    """The content of a record."""

    kind: str = ""
    """end: how an attempt ended. acct: what the scheduler counted."""
    execution: str = ""
    uuid: str = ""
    job: str = ""
    task: int | None = None
    attempt: int = 0
    operation: RecordedOperation = RecordedOperation()
    plan_key: str = ""
    result_key: str | None = None
    plan: str = ""
    """Digests of the frozen files."""
    code: str = ""
    pipeline: str = ""
    script: str = ""
    site: str = ""
    site_file: str = ""
    inputs: tuple[RecordedInput, ...] = ()
    outputs: tuple[RecordedOutput, ...] = ()
    figures: tuple[RecordedFigure, ...] = ()
    """As they lay there at the end; earlier versions did not write them down."""
    status: State = State.UNKNOWN
    reason: str = ""
    seed: int | None = None
    world_size: int = 1
    environment: RecordedEnvironment = RecordedEnvironment()
    scheduler: RecordedScheduler = RecordedScheduler()
    time: Span = Span()
    user: str = ""
    tags: tuple[str, ...] = ()
    dfh: str = ""
    """Version of deepforge_hpc."""
    reused_from: ReusedFrom | None = None
    schema: str = SCHEMA

    @property
    def label(self) -> str:
        """Return what a person calls it: `redshift-0007/render[3]`."""
        return label(self.execution, self.job or "?", self.task)

    def made(self, sha256: str) -> RecordedOutput | RecordedFigure | None:
        """Return the output, or the file of a figure, that has this digest."""
        items: tuple[RecordedOutput | RecordedFigure, ...] = (*self.outputs, *self.figures)
        return next((item for item in items if item.sha256 == sha256), None)

    def says(self, outputs: Mapping[str, Output]) -> bool:
        """Tell whether it says the same of all outputs as a success marker, in all that both do."""
        recorded = {output.name: output for output in self.outputs}
        folder = ExecutionLayout(Path()).job(self.job, self.task).root
        return recorded.keys() == outputs.keys() and all(
            _is_same(made, recorded[name], folder) for name, made in outputs.items()
        )

    @property
    def producers(self) -> list[str]:
        """Return the ids of the records that it follows from."""
        found = [item.by.record for item in self.inputs if item.by]
        found += [self.reused_from.record] if self.reused_from else []
        return list(dict.fromkeys(found))


class CountedAt(NamedTuple):
    """When the scheduler was asked; UTC, ISO 8601."""

    end: str = ""


class AccountingData(NamedTuple):
    """What the scheduler counted of one attempt."""

    execution: str
    uuid: str
    attempt: int
    user: str
    dfh: str
    clock: str
    """Whose clock the times of the rows are of."""
    jobs: tuple[dict[str, Any], ...]
    """A row for each, in the scheduler's own fields."""
    raw: str
    """Digest of its very words, which the ledger keeps."""
    time: CountedAt
    inputs: tuple[RecordedInput, ...] = ()
    outputs: tuple[RecordedOutput, ...] = ()
    kind: str = "acct"
    schema: str = SCHEMA


def label(execution: str, job: str, task: int | None) -> str:
    """Return what a person calls a job, or a task of an array, of an execution."""
    return f"{execution}/{job}" + ("" if task is None else f"[{task}]")


def parse_record(content: bytes) -> RecordData:
    """Return what a record says; ShapeError if it is none that this version can read."""
    return parse(RecordData, content, is_open=True)
