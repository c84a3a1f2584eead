"""`state.json`: what a job does now.

One writer: the job itself, and for one that can write nothing any more, who closes the execution.
"""

# Annotations are types here, which the codec reads.
from typing import NamedTuple

from ..base.codec import ShapeError, decode, encode, object_of
from ..base.failure import Raised
from ..base.files import publish_json, read_own
from ..base.layout import ExecutionLayout, JobLayout
from ..base.states import State

SCHEMA = "dfh/state/1"


class Said(NamedTuple):
    """What a job last said of itself."""

    state: State
    attempt: int
    job: str = ""
    task: int | None = None
    since: str = ""
    started: str | None = None
    """ISO 8601, as are the others; None if it has not."""
    ended: str | None = None
    host: str = ""
    pid: int = 0
    native_id: str = ""
    reason: str = ""
    hint: str = ""
    error: Raised | None = None
    exit_code: int | None = None
    again: bool = True
    """Whether it `is_retryable`, by its name in the file."""
    lacks: str = ""
    """What it had too little of, in the words of `advice`; empty for a fault of the code."""
    left: str = ""
    """What it left in its working folder: the end of a sentence."""
    first: str = ""
    """When its first attempt started, if this is a later one."""
    schema: str = SCHEMA

    @property
    def is_retryable(self) -> bool:
        """Tell whether it is no failure that the same frozen code would only repeat."""
        return self.again


def parse(data: bytes) -> Said:
    """Return a sound state; ShapeError if it is torn, or in words of a later version."""
    value = object_of(data)
    found = decode(Said, value, is_open=True)
    if found.state is State.UNKNOWN and value["state"] != State.UNKNOWN:
        problem = f"{value['state']!r} is not a state that this version knows"
        raise ShapeError(problem, "state")
    return found


def read(folder: JobLayout) -> Said | None:
    """Return what a job said; None if it has said nothing that this version can read."""
    try:
        return parse(read_own(folder.state))
    except (OSError, ValueError):
        return None


def has_ended(layout: ExecutionLayout) -> bool:
    """Tell whether a job of an execution says that it ended: then it has written its record."""
    name = JobLayout(layout.root).state.name
    found = (
        path for pattern in (name, f"task-*/{name}") for path in layout.jobs.glob(f"*/{pattern}")
    )
    said = (read(JobLayout(path.parent)) for path in found)
    return any(one is not None and one.exit_code is not None for one in said)


def _filtered(said: Said) -> Said:
    """Return a state without credentials in its words: `dfh status` shows them to anybody."""
    if not said.reason and said.error is None:
        return said
    from ..base.redact import filter_text

    error = said.error
    if error is not None:
        lines = tuple(filter_text(line) for line in error.traceback)
        error = error._replace(message=filter_text(error.message), traceback=lines)
    return said._replace(reason=filter_text(said.reason), hint=filter_text(said.hint), error=error)


def publish(folder: JobLayout, said: Said, *, durable: bool = True) -> None:
    """Write a state so that no reader ever sees a part of it."""
    data = encode(_filtered(said))
    for name in ("lacks", "left", "first"):
        if not data[name]:
            del data[name]  # as of most jobs
    publish_json(folder.state, data, durable=durable)
