"""How states look and read, and the operations that the report speaks of."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

from ..base.plan import JobKind
from ..base.states import WAITING, State, combine
from ..base.times import parse_time
from ..state.status import JobStatus, UnitStatus, elapsed_s, tally
from .markup import esc

if TYPE_CHECKING:
    from datetime import datetime


class Look(NamedTuple):
    """How a state looks: its word, its colour class and its icon, never colour alone."""

    word: str
    css: str
    icon: str


LOOKS = {
    state: Look(state.value.replace("_", " "), css, icon)
    for state, (css, icon) in {
        State.PLANNED: ("wait", "dash"),
        State.HELD: ("wait", "pause"),
        State.PENDING: ("wait", "clock"),
        State.RUNNING: ("run", "play"),
        State.PUBLISHING: ("run", "play"),
        State.SUCCEEDED: ("ok", "check"),
        State.REUSED: ("reuse", "check"),
        State.FAILED: ("fail", "cross"),
        State.INTERRUPTED: ("warn", "bang"),
        State.CANCELLED: ("off", "slash"),
        State.UPSTREAM_FAILED: ("off", "slash"),
        State.NEVER_RAN: ("off", "slash"),
        State.UNKNOWN: ("warn", "ask"),
    }.items()
}

FAILED = (State.FAILED, State.INTERRUPTED)
URGENT = (*FAILED, State.UNKNOWN, State.RUNNING, State.PUBLISHING)
"""What a person looks at first, in this order."""

_QUIET = {*WAITING, State.NEVER_RAN, State.CANCELLED, State.UPSTREAM_FAILED}


class Operation(NamedTuple):
    """An operation with its job, or its job array and the gather job."""

    name: str
    jobs: tuple[JobStatus, ...]
    state: State

    @property
    def main(self) -> JobStatus:
        """Return the job that does the work."""
        return self.jobs[0]

    @property
    def tasks(self) -> list[UnitStatus]:
        """Return the tasks of all its jobs."""
        return [task for job in self.jobs for task in job.units]

    def words(self) -> str:
        """Return the state in words, for an array with the number of tasks, as `dfh status`."""
        word = LOOKS[self.state].word
        return word if self.state in WAITING else word + tally(self.state, self.main.units)

    def started(self) -> datetime | None:
        """Return when the first task started."""
        return min(filter(None, (task.started_at for task in self.tasks)), default=None)

    def first(self) -> datetime | None:
        """Return when the first task of the first attempt started; None if this is the first."""
        known = (parse_time(task.first) for task in self.tasks if task.first)
        return min(filter(None, known), default=None)

    def ended(self) -> datetime | None:
        """Return when the last task ended, if all have."""
        ends = filter(None, (task.ended_at for task in self.tasks))
        return max(ends, default=None) if all(task.is_over for task in self.tasks) else None

    def elapsed(self, now: datetime) -> float | None:
        """Return how many seconds it ran, as `dfh status`."""
        return elapsed_s(self.tasks, now.timestamp())

    def is_quiet(self) -> bool:
        """Tell whether nothing of it ran yet, or ever will: there is only a state to show."""
        return self.state in _QUIET and self.started() is None


def operations(jobs: Sequence[JobStatus]) -> list[Operation]:
    """Return the jobs grouped by operation, in the order of the plan."""
    groups: dict[str, list[JobStatus]] = {}
    for job in jobs:
        groups.setdefault(job.operation, []).append(job)
    found = []
    for name, members in groups.items():
        ordered = sorted(members, key=lambda job: job.plan.kind is JobKind.GATHER)
        found.append(Operation(name, tuple(ordered), combine(job.state for job in ordered)))
    return found


def badge(state: State, words: str = "") -> str:
    """Return a state as icon and word."""
    look = LOOKS[state]
    return f'<span class="badge {look.css}">{icon(look.icon)}{esc(words or look.word)}</span>'


def icon(name: str) -> str:
    """Return one of the page's symbols."""
    return f'<svg class="icon" aria-hidden="true"><use href="#i-{name}"/></svg>'


def anchor(name: str) -> str:
    """Return the id of an operation's part of the page."""
    return "op-" + "".join(c if c.isalnum() and c.isascii() else "-" for c in name)


def state_bar(parts: Sequence[tuple[str, int]], total: int, words: str) -> str:
    """Return a bar with a coloured stretch for each part, and the words that say the same."""
    rects, at = "", 0.0
    for css, amount in parts:
        width = 1000 * amount / max(1, total)
        rects += f'<rect class="{css}" x="{at:.1f}" y="0" width="{width:.1f}" height="8"/>'
        at += width
    return (
        f'<div class="bar"><svg viewBox="0 0 1000 8" preserveAspectRatio="none" aria-hidden="true">'
        f'<rect class="rail" width="1000" height="8"/>{rects}</svg><p>{esc(words)}</p></div>'
    )
