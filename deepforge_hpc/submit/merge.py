"""The rules by which evidence becomes a state. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

from deepforge_hpc.runtime.base.failure import MEMORY_HINT
from deepforge_hpc.runtime.base.states import State
from deepforge_hpc.runtime.base.text import listed
from deepforge_hpc.runtime.schedulers.slurm import wants_memory

if TYPE_CHECKING:
    from deepforge_hpc.model.execution import NativeStatus
    from deepforge_hpc.submit.journal import Attempt

_LIVE = frozenset({State.HELD, State.PENDING, State.RUNNING, State.PUBLISHING})
_WAITING = frozenset({State.HELD, State.PENDING, State.PLANNED})


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """All that is known of one job or array task."""

    title: str
    marker: dict[str, Any] | None
    """A sound success marker."""
    state: dict[str, Any] | None
    """A sound state file, of whatever attempt."""
    attempt: Attempt | None
    """The latest attempt, if this job is in it."""
    native: NativeStatus | None
    """The scheduler's answer on the latest attempt."""
    is_asked: bool
    """False if the scheduler was not asked, or did not answer."""
    trouble: str
    """Job above this one because of which it cannot run, or empty."""
    waits_for: tuple[str, ...] = ()
    """Jobs that have not ended and that it starts after."""

    @property
    def number(self) -> int:
        """Return the attempt that the verdict is about."""
        if self.marker is not None:
            return int(self.marker["attempt"])
        if self.attempt is not None:
            return self.attempt.number
        return int(self.state["attempt"]) if self.state else 0

    @property
    def current(self) -> dict[str, Any] | None:
        """Return the state file if it tells of that attempt."""
        if self.state is None or self.state["attempt"] != self.number:
            return None
        return self.state


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """A state, and why."""

    state: State
    reason: str = ""
    hint: str = ""
    raw: str = ""
    warning: str = ""
    is_written: bool = True
    """False for an end that stands in no state file."""
    again: bool = True
    """False for a failure that running the same frozen code again would only repeat."""


def judge(evidence: Evidence) -> Verdict:
    """Return the state of a job or task. What the job proved or said goes before the scheduler."""
    raw = _raw(evidence.native)
    if evidence.marker is not None:
        return _succeeded(evidence, raw)
    written = evidence.current
    if written is not None and State(written["state"]).is_final:
        return _by_own_word(evidence, written, raw)
    if evidence.attempt is None:
        # Never submitted, or only as part of an earlier attempt that did not get to run it.
        return Verdict(state=State.PLANNED)
    if not evidence.is_asked:
        return _unasked(evidence, written)
    if evidence.native is None:
        return _absent(evidence)
    return _by_scheduler(evidence, evidence.native, written, raw)


def _succeeded(evidence: Evidence, raw: str) -> Verdict:
    marker = evidence.marker or {}
    native = evidence.native
    state = State.REUSED if marker.get("reused_from") else State.SUCCEEDED
    warning = ""
    is_same = evidence.attempt is not None and marker["attempt"] == evidence.attempt.number
    if native is not None and is_same:
        said = State(native.state)
        if said.is_final and not said.is_success:
            warning = (
                f"{evidence.title}: the scheduler says {raw}, but the success marker is there: "
                "its results are whole"
            )
    reason = ""
    if state is State.REUSED:
        reason = f"Taken from {marker['reused_from'].get('execution', 'an earlier execution')}."
    return Verdict(state=state, reason=reason, raw=raw, warning=warning)


def _by_own_word(evidence: Evidence, written: dict[str, Any], raw: str) -> Verdict:
    state = State(written["state"])
    reason = str(written.get("reason") or "")
    if state.is_success:
        if evidence.title == "_final" or state is State.REUSED:
            return Verdict(state=state, reason=reason, raw=raw)
        reason = "Its state says succeeded, but its success marker is missing or damaged."
        return Verdict(state=State.UNKNOWN, reason=reason, raw=raw)
    warning = ""
    if evidence.native is not None and evidence.native.state == State.SUCCEEDED.value:
        warning = f"{evidence.title}: it says {state.value}, the scheduler says {raw}"
    hint = str(written.get("hint") or "")
    again = state is not State.FAILED or bool(written.get("again"))
    return Verdict(state=state, reason=reason, hint=hint, raw=raw, warning=warning, again=again)


def _unasked(evidence: Evidence, written: dict[str, Any] | None) -> Verdict:
    """Judge by files alone: what was last known."""
    attempt = evidence.attempt
    assert attempt is not None
    if written is not None:
        return Verdict(state=State(written["state"]), reason=str(written.get("reason") or ""))
    name = evidence.title.split(" task ")[0]
    if attempt.is_cancelled:
        return _cancelled(attempt)
    if name not in attempt.ids:
        return Verdict(state=State.PLANNED)
    if evidence.trouble:
        return _never_ran(evidence, "")
    return Verdict(state=State.PENDING if attempt.is_released else State.HELD)


def _absent(evidence: Evidence) -> Verdict:
    """Judge a job of which neither queue nor accounting knows anything."""
    attempt = evidence.attempt
    assert attempt is not None
    if evidence.title.split(" task ")[0] not in attempt.ids:
        return _cancelled(attempt) if attempt.is_cancelled else Verdict(state=State.PLANNED)
    if attempt.is_cancelled:
        return _cancelled(attempt)
    reason = "It left the queue without a word, and the accounting does not know how it ended."
    hint = "Try again in a moment; `dfh resume` runs it again if nothing of it is queued."
    return Verdict(state=State.UNKNOWN, reason=reason, hint=hint)


def _cancelled(attempt: Attempt) -> Verdict:
    if attempt.refused:
        return Verdict(state=State.PLANNED, reason="The submission was refused half-way.")
    return Verdict(state=State.CANCELLED, reason="Cancelled before it started.", is_written=False)


def _by_scheduler(
    evidence: Evidence, native: NativeStatus, written: dict[str, Any] | None, raw: str
) -> Verdict:
    state = State(native.state)
    if state in _LIVE:
        if written is not None and state is State.RUNNING:
            state = State(written["state"])
        if state is State.PENDING and native.raw_reason == "DependencyNeverSatisfied":
            return _never_ran(evidence, raw)
        reason = native.explanation
        if state is State.PENDING and native.raw_reason == "Dependency" and evidence.waits_for:
            reason = f"It waits for {listed(evidence.waits_for)}."
        return Verdict(state=state, reason=reason, raw=raw)
    if state.is_success:
        reason = (
            f"The scheduler says {raw}, but the job left no success marker: "
            "its results are not to be used."
        )
        return Verdict(state=State.UNKNOWN, reason=reason, raw=raw, hint="`dfh logs` may tell why.")
    attempt = evidence.attempt
    was_dropped = state is State.CANCELLED and written is None and bool(evidence.trouble)
    never_ran = state is State.NEVER_RAN or was_dropped
    if attempt is not None and (attempt.refused or (attempt.is_cancelled and never_ran)):
        return _cancelled(attempt)
    if never_ran:
        return _never_ran(evidence, raw)
    again = not wants_memory(native.raw_state, native.exit_code)
    return Verdict(
        state=state,
        reason=native.explanation,
        raw=raw,
        hint="" if again else MEMORY_HINT,
        is_written=state is State.UNKNOWN,
        again=again,
    )


def _never_ran(evidence: Evidence, raw: str) -> Verdict:
    cause = evidence.trouble or "a job that it needs"
    reason = f"It never started, because {cause} did not succeed."
    return Verdict(state=State.NEVER_RAN, reason=reason, raw=raw, is_written=False)


def _raw(native: NativeStatus | None) -> str:
    if native is None:
        return ""
    parts = [native.raw_state]
    if native.raw_reason and native.raw_reason not in {"None", native.raw_state}:
        parts.append(native.raw_reason)
    if native.exit_code and native.exit_code != "0:0":
        parts.append(f"exit code {native.exit_code}")
    return ", ".join(parts)


def seconds(started: str, ended: str, now: float, *, is_over: bool) -> float | None:
    """Return how long something ran, or has run until now; None if that is not known."""
    if not started or (is_over and not ended):
        return None
    try:
        begin = datetime.fromisoformat(started).timestamp()
        end = datetime.fromisoformat(ended).timestamp() if ended else now
    except ValueError:
        return None
    return round(max(0.0, end - begin), 3)
