"""The rules by which evidence becomes a state. Pure; everybody who asks for a state asks here.

A success marker is the only success. Else a job's own words about the attempt count, then the
scheduler's. Unknown is never "ended" and never "failed": what nobody positively called ended
(`Verdict.is_over`) is left alone by all who remove or write.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from ..base.native import FAILED, WAITS
from ..base.notice import Notice
from ..base.states import WAITING, State
from ..base.text import listed, title

if TYPE_CHECKING:
    from ..base.advice import Remedy
    from ..base.native import NativeStatus
    from .journal import Attempt
    from .marker import FoundMarker
    from .statefile import Said


class Trouble(NamedTuple):
    """The job or task above another one because of which that one cannot run."""

    title: str
    state: State
    is_retryable: bool


class Evidence(NamedTuple):
    """All that is known of one job or array task."""

    execution: str
    job: str
    task: int | None
    found: FoundMarker
    """Its success marker."""
    said: Said | None = None
    """Its state file, of whatever attempt."""
    said_fault: str = ""
    """Why there is none that can be read, if something is there."""
    attempt: Attempt | None = None
    """The latest attempt, if this job is in it."""
    journal_fault: str = ""
    native: NativeStatus | None = None
    """The scheduler's answer on the latest attempt."""
    is_asked: bool = False
    """False if the scheduler was not asked for it, or did not answer."""
    has_accounting: bool = True
    """False if its accounting did not answer: what the queue does not know need not be over."""
    trouble: Trouble | None = None
    waits_for: tuple[str, ...] = ()
    """Jobs that have not ended and that it starts after."""
    is_guarded: bool = False
    """Whether it starts however those end (`afterany`), and its guard decides."""
    has_checkpoint: bool = False
    """Whether it has left one; only asked after a time limit or a kill."""
    memory_words: str = ""
    """What the scheduler wrote into its log, if it ended it for want of memory; asked likewise."""
    is_final_job: bool = False
    """Whether it is the one that closes an attempt; it has no outputs."""

    @property
    def title(self) -> str:
        """Return what the job or task is called."""
        return title(self.job, self.task)

    @property
    def number(self) -> int:
        """Return the attempt that the verdict is about."""
        if self.found.marker is not None:
            return self.found.marker.attempt
        # The journal may have lost what the job knows of.
        planned = self.attempt.number if self.attempt else 0
        return max(planned, self.said.attempt if self.said else 0)

    @property
    def current(self) -> Said | None:
        """Return what it said of that attempt."""
        return self.said if self.said and self.said.attempt == self.number else None

    @property
    def native_id(self) -> str:
        """Return the scheduler's id; empty if it has none."""
        return self.attempt.native_id(self.job, self.task) if self.attempt else ""

    @property
    def is_cancelled(self) -> bool:
        """Tell whether `dfh cancel` asked for the end of the latest attempt."""
        return self.attempt is not None and self.attempt.is_cancelled


class Verdict(NamedTuple):
    """A state, and why."""

    state: State
    reason: str = ""
    hint: str = ""
    raw: str = ""
    """The scheduler's own words."""
    notice: Notice | None = None
    is_over: bool = False
    """A positive word, its own or the scheduler's, says that nothing of it runs or will."""
    is_written: bool = True
    """False for an end that stands in no state file."""
    is_retryable: bool = True
    """False for a failure that running the same frozen code again would only repeat."""
    lacks: str = ""
    """What that lacks, in the words of `advice`; empty for a fault of the code."""
    is_stuck: bool = False
    """It waits in the queue for what no wait brings."""


def judge(evidence: Evidence) -> Verdict:
    """Return the state of a job or task."""
    verdict = _judge(evidence)
    if evidence.journal_fault and evidence.found.marker is None and verdict.is_over:
        # The end of one attempt, or none: what cannot be read may be the start of another.
        reason = f"Nobody knows whether it was submitted: {evidence.journal_fault}."
        if verdict.state.is_final:
            reason = f"The last that is known is {verdict.state}, but nobody knows whether it was "
            reason += f"submitted again: {evidence.journal_fault}."
        return Verdict(State.UNKNOWN, reason, _look(evidence), verdict.raw)
    # Its own last word stands, but while the queue has it, it may be run again, or still ends.
    is_over = verdict.is_over and (evidence.found.marker is not None or not _is_queued(evidence))
    return verdict._replace(is_over=is_over)


def _is_queued(evidence: Evidence) -> bool:
    native = evidence.native
    if native is None or evidence.attempt is None or evidence.number > evidence.attempt.number:
        return False
    return native.state.is_live and native.dependency != FAILED


def _judge(evidence: Evidence) -> Verdict:
    raw, said = _raw(evidence.native), evidence.current
    if said is not None and said.state in WAITING:
        said = None  # how far it came before it started, the journal and the queue know better
    if evidence.found.marker is not None:
        return _succeeded(evidence, raw)
    if said is not None and (said.state.is_final or said.state is State.UNKNOWN):
        return _by_own_word(evidence, said, raw)
    if evidence.native is not None and evidence.attempt is not None:
        return _by_scheduler(evidence, evidence.native, said, raw)
    if fault := _fault(evidence):
        return Verdict(State.UNKNOWN, fault, _look(evidence))
    return _last_known(evidence, said) if said else _silent(evidence)


def _fault(evidence: Evidence) -> str:
    """Return what of the evidence cannot be read and might have said more."""
    if evidence.found.is_unsound:
        return f"It {evidence.found.fault}."
    if evidence.said_fault:
        return f"Its state.json cannot be read: {evidence.said_fault}."
    return ""


def _unproven(evidence: Evidence) -> str:
    """Return why a success is not one, as the end of a sentence."""
    found = evidence.found
    if found.is_unread:
        return f"{found.fault}: its owner can tell whether its results are whole"
    return f"{found.fault}: its results are not to be used"


def _succeeded(evidence: Evidence, raw: str) -> Verdict:
    marker, native, attempt = evidence.found.marker, evidence.native, evidence.attempt
    assert marker is not None
    notice = None
    is_bad = native is not None and native.state.is_final and not native.state.is_success
    if is_bad and attempt is not None and marker.attempt == attempt.number:
        text = f"{evidence.title}: the scheduler says {raw}, but the success marker is there: "
        text += "its results are whole"
        notice = Notice("marker_contradicted", text, evidence.title)
    if not marker.reused_from:
        return Verdict(State.SUCCEEDED, raw=raw, notice=notice, is_over=True)
    reason = f"Taken from {marker.reused_from.execution}."
    return Verdict(State.REUSED, reason, raw=raw, notice=notice, is_over=True)


def _by_own_word(evidence: Evidence, said: Said, raw: str) -> Verdict:
    if said.state.is_success and not evidence.is_final_job:
        reason = f"Its state says {said.state}, but it {_unproven(evidence)}."
        return Verdict(State.UNKNOWN, reason, raw=raw, is_over=True)
    notice, native = None, evidence.native
    if native is not None and _knows_better(native, said):
        return _ended_by_scheduler(evidence, native, said, raw)
    is_bad = said.state.is_final and not said.state.is_success
    if is_bad and native is not None and native.state.is_success:
        text = f"{evidence.title}: it says {said.state}, the scheduler says {raw}"
        notice = Notice("state_contradicted", text, evidence.title)
    is_retryable = said.is_retryable or said.state not in {State.FAILED, State.INTERRUPTED}
    hint = said.hint
    if said.state is State.UPSTREAM_FAILED and evidence.trouble:
        hint = _below(evidence)
    return Verdict(
        said.state,
        said.reason,
        hint,
        raw,
        notice,
        is_over=True,
        is_retryable=is_retryable,
        lacks=said.lacks,
    )


def _knows_better(native: NativeStatus, said: Said) -> bool:
    """Tell whether the scheduler's word for an end goes before the one that the job wrote down.

    Where the scheduler ends a job it signals first and says why later, so the job knows the signal
    alone. What ranks raise that lost another one is an effect of a failed node too.
    """
    if (
        not native.ended_by or said.exit_code is None
    ):  # without a code it was not the job that wrote
        return False
    is_effect = native.ended_by == "node" or not said.error
    return said.state is State.INTERRUPTED or (said.state is State.FAILED and is_effect)


def _ended_by_scheduler(evidence: Evidence, native: NativeStatus, said: Said, raw: str) -> Verdict:
    reason = f"{native.explanation.rstrip('.')} (the scheduler says {raw})."
    if said.state is State.FAILED:
        reason += f" The job itself says: {said.reason}"
    hint, is_retryable, lacks = _after(evidence, native, said)
    return Verdict(
        State.CANCELLED
        if evidence.is_cancelled and native.state is State.CANCELLED
        else State.INTERRUPTED,
        reason,
        hint,
        raw,
        is_over=True,
        is_written=False,
        is_retryable=is_retryable,
        lacks=lacks,
    )


def _after(evidence: Evidence, native: NativeStatus, said: Said | None) -> Remedy:
    """Return what to do after an end that the scheduler tells."""
    from ..base.advice import Remedy, kill_advice, limit_advice

    again = Remedy(_resume(evidence), is_retryable=True)
    if said is not None and said.state is State.PUBLISHING:
        return again  # the work was done, and what it made is whole
    if native.wants_memory:
        return kill_advice(evidence.execution, has_checkpoint=evidence.has_checkpoint)
    if native.ended_by == "limit":
        return limit_advice(evidence.execution, has_checkpoint=evidence.has_checkpoint)
    return again


def _last_known(evidence: Evidence, said: Said) -> Verdict:
    """Judge a job that said it runs, and of which the scheduler says nothing."""
    if not evidence.is_asked:
        return Verdict(said.state, said.reason)
    return _lost(evidence)


def _lost(evidence: Evidence) -> Verdict:
    reason = "It left the queue without a word, and no accounting tells how it ended."
    hint = "Try again in a moment; "
    hint += f"dfh resume {evidence.execution} runs it again if nothing of it is queued."
    return Verdict(State.UNKNOWN, reason, hint)


def _silent(evidence: Evidence) -> Verdict:
    """Judge a job that said nothing, and of which the scheduler says nothing."""
    attempt, is_absent = evidence.attempt, evidence.is_asked and bool(evidence.native_id)
    is_over = is_absent and evidence.has_accounting
    if attempt is None:
        # Never submitted, or only as part of an earlier attempt that did not get to run it.
        return Verdict(State.PLANNED, is_over=True)
    if attempt.is_cancelled:
        if attempt.refused or is_over or not evidence.native_id:
            return _cancelled(attempt)
        reason = "Its cancellation was asked for, and nobody says that it ended."
        return Verdict(State.UNKNOWN, reason, f"Try again: dfh cancel {evidence.execution}")
    if not evidence.native_id:
        return Verdict(State.PLANNED)  # the scheduler may have heard more than was noted
    if evidence.trouble and not evidence.is_guarded:
        return _never_ran(evidence, "", is_over=is_over)
    waits = Verdict(State.PENDING if attempt.is_released else State.HELD)
    return _lost(evidence) if is_absent else waits


def _cancelled(attempt: Attempt, raw: str = "") -> Verdict:
    if attempt.refused:
        reason = "Its submission broke off half-way."
        return Verdict(State.PLANNED, reason, raw=raw, is_over=True)
    reason = "Cancelled before it started."
    return Verdict(State.CANCELLED, reason, raw=raw, is_over=True, is_written=False)


def _by_scheduler(evidence: Evidence, native: NativeStatus, said: Said | None, raw: str) -> Verdict:
    state, attempt = native.state, evidence.attempt
    assert attempt is not None
    if state.is_live:
        return _live(evidence, native, said, raw)
    was_dropped = state is State.CANCELLED and said is None and evidence.trouble is not None
    never_ran = state is State.NEVER_RAN or was_dropped
    if state.is_final and (attempt.refused or (attempt.is_cancelled and never_ran)):
        return _cancelled(attempt, raw)
    if never_ran:
        return _never_ran(evidence, raw, is_over=True)
    return _ended(evidence, native, said, raw)


def _ended(evidence: Evidence, native: NativeStatus, said: Said | None, raw: str) -> Verdict:
    state = native.state
    if state is State.CANCELLED and said is not None and not evidence.is_cancelled:
        state = State.INTERRUPTED  # it ran
    if not state.is_final:  # the scheduler itself does not know, or says a word that we do not
        reason = native.explanation or f"The scheduler says {raw or 'nothing'} of it."
        return Verdict(State.UNKNOWN, reason, raw=raw)
    if state.is_success:
        reason = f"The scheduler says {raw}, but the job {_unproven(evidence)}."
        return Verdict(State.UNKNOWN, reason, _look(evidence), raw, is_over=True, is_written=False)
    reason = f"{native.explanation.rstrip('.')} (the scheduler says {raw})."
    if evidence.memory_words:
        reason = f"It ran out of memory (the scheduler says {raw}: {evidence.memory_words})."
    hint, is_retryable, lacks = _after(evidence, native, said)
    if state is State.UPSTREAM_FAILED:
        hint = _below(evidence)
    return Verdict(
        state,
        reason,
        hint,
        raw,
        is_over=True,
        is_written=False,
        is_retryable=is_retryable,
        lacks=lacks,
    )


def _live(evidence: Evidence, native: NativeStatus, said: Said | None, raw: str) -> Verdict:
    state = native.state
    if state is State.RUNNING and said is not None:
        state = said.state
    if state is State.PENDING and native.dependency == FAILED:
        return _never_ran(evidence, raw, is_over=True)
    reason = native.explanation
    if state is State.PENDING and native.dependency == WAITS and evidence.waits_for:
        reason = f"It waits for {listed(evidence.waits_for)}."
    return Verdict(state, reason, raw=raw, is_stuck=state is State.PENDING and native.is_stuck)


_HOW = {
    State.FAILED: "failed",
    State.INTERRUPTED: "was interrupted",
    State.CANCELLED: "was cancelled",
    State.UPSTREAM_FAILED: "found an upstream job without a success marker",
    State.NEVER_RAN: "never ran",
}


def _never_ran(evidence: Evidence, raw: str, *, is_over: bool) -> Verdict:
    trouble, native = evidence.trouble, evidence.native
    reason = native.explanation if native else ""  # no more than it says
    if trouble:
        reason = f"It never started, because {trouble.title} {_HOW[trouble.state]}."
    hint = _below(evidence)
    return Verdict(State.NEVER_RAN, reason, hint, raw, is_over=is_over, is_written=not is_over)


def _below(evidence: Evidence) -> str:
    """Return what to do about a job that another one stopped: nothing, if that needs an edit."""
    trouble = evidence.trouble
    return _resume(evidence) if trouble is None or trouble.is_retryable else ""


def _look(evidence: Evidence) -> str:
    task = "" if evidence.task is None else f" --task {evidence.task}"
    return f"dfh logs {evidence.execution} {evidence.job}{task} may tell what became of it."


def _resume(evidence: Evidence) -> str:
    return f"dfh resume {evidence.execution} runs what is missing."


def _raw(native: NativeStatus | None) -> str:
    if native is None:
        return ""
    parts = [native.raw_state]
    if native.raw_reason and native.raw_reason not in {"None", native.raw_state}:
        parts.append(native.raw_reason)
    if native.exit_code and native.exit_code != "0:0":
        parts.append(f"exit code {native.exit_code}")
    return ", ".join(parts)
