"""`submitted.jsonl`: the intent before the first submission, then ids as they come.

It has one writer, the holder of the lease. A line is one `os.write`; a torn last line (the writer
was killed, the disk was full) is as good as none.
"""

# Annotations are types here, which the codec reads.
from collections.abc import Callable, Mapping
from typing import NamedTuple

from ..base.codec import ShapeError, decode, encode, object_of
from ..base.execution import ExecutionInfo
from ..base.files import read_own
from ..base.layout import ExecutionLayout


class Intent(NamedTuple):
    """An attempt begins; nothing of it was submitted yet."""

    attempt: int
    jobs: tuple[str, ...]
    """Names of the jobs it submits, in topological order."""
    tasks: dict[str, tuple[int, ...]]
    """Array tasks to run, for arrays of which not all are run."""
    at: str = ""
    user: str = ""
    cluster: str = ""
    token: str = ""
    host: str = ""
    pid: int = 0
    execution: ExecutionInfo | None = None
    """What `execution.json` says: the one frozen file that names the ledger, and no other it."""


class Queued(NamedTuple):
    """The scheduler took a job."""

    attempt: int
    job: str
    native_id: str
    cluster: str = ""
    """Where that is its id; empty if there is but one."""
    healed: bool = False
    """Whether the id was lost, and found in the queue."""


class Released(NamedTuple):
    """The first jobs may run, and with them all."""

    attempt: int


class Cancelled(NamedTuple):
    """Nothing of an attempt is to run any more."""

    attempt: int
    at: str = ""
    refused: str = ""
    """Why the scheduler took only a part (nothing of it ran), else empty."""


Event = Intent | Queued | Released | Cancelled
_EVENTS: dict[str, type[Event]] = {
    "intent": Intent,
    "job": Queued,
    "released": Released,
    "cancel": Cancelled,
}


def line_of(event: Event) -> dict[str, object]:
    """Return an event as JSON data, without what is empty of it."""
    (name,) = (name for name, kind in _EVENTS.items() if isinstance(event, kind))
    defaults = event._field_defaults
    items = ((key, value) for key, value in event._asdict().items() if value != defaults.get(key))
    return {"event": name, **{key: encode(value) for key, value in items}}


class Attempt(NamedTuple):
    """One intent, and how far its submission came."""

    number: int
    jobs: tuple[str, ...]
    """Names of the jobs it submits, in topological order."""
    tasks: Mapping[str, tuple[int, ...]] = {}
    """Array tasks to run, for arrays of which not all are run."""
    at: str = ""
    user: str = ""
    """Who submitted it; empty: an earlier version, or a damaged line."""
    cluster: str = ""
    """Where its ids are those of its jobs; empty likewise, or if there is but one."""
    token: str = ""
    """The end of the jobs' names in the queue."""
    ids: Mapping[str, str] = {}
    """Job name to native id, as far as they came."""
    is_released: bool = False
    is_cancelled: bool = False
    """The user cancelled it, or the scheduler refused a part of it."""
    refused: str = ""
    """Why the scheduler took only a part (nothing of it ran), else empty."""
    execution: ExecutionInfo | None = None
    """What `execution.json` said; None: an earlier version."""

    @property
    def is_held(self) -> bool:
        """Tell whether the submission stopped half-way and nobody has cleaned up."""
        return not self.is_released and not self.is_cancelled

    def has_task(self, job: str, task: int | None) -> bool:
        """Tell whether it was to run a task, if it was to run the job."""
        return task is None or task in self.tasks.get(job, (task,))

    def native_id(self, job: str, task: int | None) -> str:
        """Return the scheduler's id of a job or array task; empty if it has none."""
        native = self.ids.get(job, "")
        return f"{native}_{task}" if native and task is not None else native


class Journal(NamedTuple):
    """All attempts of an execution, oldest first."""

    attempts: tuple[Attempt, ...] = ()
    fault: str = ""
    """What cannot be read of it; the rest stands."""
    is_lost: bool = False
    """Its file is there and is empty: a file system lost what it said, or nothing was submitted."""

    @property
    def last(self) -> Attempt | None:
        """Return the latest attempt, or None if nothing was ever submitted."""
        return self.attempts[-1] if self.attempts else None

    @property
    def cluster(self) -> str:
        """Return the cluster of the latest attempt of which it was noted."""
        return next((item.cluster for item in reversed(self.attempts) if item.cluster), "")

    @property
    def execution(self) -> ExecutionInfo | None:
        """Return what `execution.json` said at the latest attempt that kept it."""
        return next((item.execution for item in reversed(self.attempts) if item.execution), None)

    @property
    def user(self) -> str:
        """Return who submitted the latest attempt; empty if there is none, or it is not noted."""
        return self.last.user if self.last else ""

    def attempt(self, number: int) -> Attempt | None:
        """Return the attempt of that number."""
        return next((item for item in self.attempts if item.number == number), None)


def read(layout: ExecutionLayout) -> Journal:
    """Return the journal; empty if there is none."""
    return load(lambda: read_own(layout.submitted))


def load(content: Callable[[], bytes]) -> Journal:
    """Return the journal in the bytes that `content` returns; empty if there are none."""
    try:
        return parse(content())
    except FileNotFoundError:
        return Journal()
    except (OSError, ValueError) as error:
        return Journal(fault=f"submitted.jsonl cannot be read: {error}")


def parse(data: bytes) -> Journal:
    """Return the attempts that a journal tells of; a damaged line within it is named."""
    attempts: dict[int, Attempt] = {}
    fault = ""
    for number, line in enumerate(data.split(b"\n")[:-1], 1):
        try:
            _apply(attempts, _event(line))
        except ValueError as error:  # noqa: PERF203 - each line for itself
            fault = fault or f"submitted.jsonl:{number}: a damaged line: {error}"
    return Journal(tuple(attempts[key] for key in sorted(attempts)), fault, not attempts)


def _event(line: bytes) -> Event:
    found = object_of(line)
    kind = _EVENTS.get(str(found.get("event")))
    if kind is None:
        # A later version's: it may have submitted something, so the rest is not all there is.
        raise ShapeError(f"this version knows no event {found.get('event')!r}")
    return decode(kind, found, is_open=True)


def _apply(attempts: dict[int, Attempt], event: Event) -> None:
    number = event.attempt
    if isinstance(event, Intent):
        attempts[number] = Attempt(
            number, event.jobs, event.tasks, event.at, event.user, event.cluster, event.token, {},
            execution=event.execution,
        )  # fmt: skip
        return
    # What is noted of an attempt counts, also where its intent cannot be read: that is a fault.
    attempt = attempts.get(number) or Attempt(number, (), ids={})
    if isinstance(event, Queued):
        # Changed in place: a journal of a thousand jobs is read by each of them.
        attempt.ids[event.job] = event.native_id  # type: ignore[index]
        attempt = attempt._replace(cluster=event.cluster or attempt.cluster)
    elif isinstance(event, Released):
        attempt = attempt._replace(is_released=True)
    else:
        attempt = attempt._replace(is_cancelled=True, refused=event.refused)
    is_intended = number in attempts
    attempts[number] = attempt
    if not is_intended:
        raise ShapeError(f"attempt {number} was never intended")
