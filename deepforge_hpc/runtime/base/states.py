"""The states of a job, and the small files that carry them."""

from __future__ import annotations

from collections.abc import Iterable
from enum import Enum


class State(str, Enum):
    """The state of a job, or of one task of a job array."""

    PLANNED = "planned"
    HELD = "held"
    PENDING = "pending"
    RUNNING = "running"
    PUBLISHING = "publishing"
    SUCCEEDED = "succeeded"
    """The success marker is there and names the digests of verified outputs."""
    REUSED = "reused"
    """Taken from an earlier execution with the same plan key."""
    FAILED = "failed"
    INTERRUPTED = "interrupted"
    """Stopped by the walltime, a preemption or a SIGTERM."""
    CANCELLED = "cancelled"
    UPSTREAM_FAILED = "upstream_failed"
    """Started, found that a job it needs has no success marker, and stopped."""
    NEVER_RAN = "never_ran"
    """Never started, and will not."""
    UNKNOWN = "unknown"

    __str__ = str.__str__

    @property
    def is_final(self) -> bool:
        """Tell whether the job will not change by itself any more."""
        return self in _FINAL

    @property
    def is_live(self) -> bool:
        """Tell whether the job is queued or runs."""
        return self in _LIVE

    @property
    def is_at_work(self) -> bool:
        """Tell whether the job runs."""
        return self in {State.RUNNING, State.PUBLISHING}

    @property
    def is_success(self) -> bool:
        """Tell whether the outputs are there."""
        return self in {State.SUCCEEDED, State.REUSED}


_LIVE = frozenset({State.HELD, State.PENDING, State.RUNNING, State.PUBLISHING})
WAITING = frozenset({State.PLANNED, State.HELD, State.PENDING})
_FINAL = frozenset(State) - WAITING - _LIVE - {State.UNKNOWN}

# The state of a whole (array, execution) is the first of these that any part has.
_PRECEDENCE = (
    *(State.RUNNING, State.PUBLISHING, State.PENDING, State.HELD, State.UNKNOWN),
    *(State.FAILED, State.INTERRUPTED, State.CANCELLED, State.UPSTREAM_FAILED, State.NEVER_RAN),
    *(State.PLANNED, State.SUCCEEDED, State.REUSED),
)


def state_of(word: object) -> State:
    """Return the state that somebody else's word names; UNKNOWN if it is none of ours."""
    try:
        return State(word)
    except ValueError:
        return State.UNKNOWN


def combine(states: Iterable[State]) -> State:
    """Return the state of a whole from the states of its parts; PLANNED if there is none."""
    present = set(states)
    return next((state for state in _PRECEDENCE if state in present), State.PLANNED)
