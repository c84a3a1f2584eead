"""What a scheduler says of a job."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from .states import State


WAITS, FAILED = "waits", "failed"


class NativeStatus(NamedTuple):
    """What the scheduler says of one job or array task."""

    native_id: str
    """`123`, or `123_4` for a task."""
    state: State
    raw_state: str = ""
    """The scheduler's own word, e.g. `CANCELLED by 1000`."""
    raw_reason: str = ""
    explanation: str = ""
    """One sentence for a person: why it waits, how it ended."""
    name: str = ""
    """The job's name, which holds the token; empty if not known."""
    exit_code: str = ""
    """The scheduler's own form, e.g. `3:0`."""
    wants_memory: bool = False
    """Whether it ended for want of memory, so that it needs more of it before it runs again."""
    ended_by: str = ""
    """`node`: one that it ran on failed. `limit`: its time was over. `scheduler`: a preemption or a
    person ended it. Empty: its script did, or that is not known."""
    dependency: str = ""
    """Of what has not started. WAITS: for other jobs alone. FAILED: one of them did, so that it
    never will. Empty: neither is known."""
    is_stuck: bool = False
    """Whether it waits for what no wait brings: it asks for more than it may have."""
    ended: str = ""
    """ISO 8601, by the scheduler's own clock; empty if not known."""
