"""How evidence becomes a state."""

from __future__ import annotations

from typing import Any

import pytest

from deepforge_hpc.runtime.base.native import FAILED, WAITS, NativeStatus
from deepforge_hpc.runtime.base.states import State
from deepforge_hpc.runtime.state.assemble import seconds
from deepforge_hpc.runtime.state.journal import Attempt
from deepforge_hpc.runtime.state.judge import Evidence, Trouble, Verdict, judge
from deepforge_hpc.runtime.state.marker import ABSENT, FoundMarker, Marker, ReusedFrom, look
from deepforge_hpc.runtime.state.statefile import Said
from deepforge_hpc.schedulers import slurm

RELEASED = Attempt(number=2, jobs=("a",), ids={"a": "7"}, is_released=True)
MARKER = Marker("a", None, 2, "key", "r", {})
ROOT = Trouble("root", State.FAILED, is_retryable=True)


def native(
    state: str,
    raw: str = "X",
    reason: str = "",
    explanation: str = "because",
    *,
    memory: bool = False,
    ended_by: str = "",
    dependency: str = "",
) -> NativeStatus:
    return NativeStatus(
        native_id="7", state=State(state), raw_state=raw, raw_reason=reason, explanation=explanation,
        wants_memory=memory, ended_by=ended_by, dependency=dependency,
    )  # fmt: skip


def written(state: str, attempt: int = 2, **fields: Any) -> Said:
    return Said(State(state), attempt, **{"reason": "own", **fields})


def of(marker: Marker | None = None, **fields: Any) -> Verdict:
    found = FoundMarker(marker) if marker else ABSENT
    values = {
        "execution": "x-0002", "job": "a", "task": None, "found": found, "attempt": RELEASED,
        "is_asked": True,
    }  # fmt: skip
    return judge(Evidence(**{**values, **fields}))


def text(verdict: Verdict) -> str:
    return str(verdict.notice or "")


@pytest.mark.parametrize("said", [None, "running", "succeeded", "unknown", "pending"])
def test_marker_is_success_whatever_the_scheduler_says(said: str | None) -> None:
    verdict = of(marker=MARKER, native=native(said) if said else None, said=written("running"))
    assert (verdict.state, text(verdict)) == (State.SUCCEEDED, "")


def test_contradiction_of_a_marker_is_a_warning_only_about_that_attempt() -> None:
    assert "FAILED" in text(of(marker=MARKER, native=native("failed", "FAILED")))
    older = MARKER._replace(attempt=1)
    assert text(of(marker=older, native=native("failed", "FAILED"))) == ""


def test_reused_marker_names_its_source() -> None:
    verdict = of(
        marker=MARKER._replace(reused_from=ReusedFrom("x-0001", "a", None, "")), attempt=None
    )
    assert (verdict.state, verdict.reason) == (State.REUSED, "Taken from x-0001.")


def test_own_word_goes_before_the_scheduler() -> None:
    verdict = of(said=written("failed", hint="do"), native=native("succeeded", "COMPLETED"))
    assert (verdict.state, verdict.reason, verdict.hint) == (State.FAILED, "own", "do")
    assert "COMPLETED" in text(verdict)
    assert of(said=written("interrupted"), native=native("failed")).state is State.INTERRUPTED


_TOLD = "because (the scheduler says X)."


@pytest.mark.parametrize(
    ("own", "fields", "ended_by", "state", "reason"),
    [
        ("interrupted", {}, "node", State.INTERRUPTED, _TOLD),
        ("interrupted", {}, "scheduler", State.INTERRUPTED, _TOLD),
        ("interrupted", {}, "", State.INTERRUPTED, "own"),
        ("interrupted", {"exit_code": None}, "node", State.INTERRUPTED, "own"),
        ("failed", {}, "node", State.INTERRUPTED, f"{_TOLD} The job itself says: own"),
        ("failed", {"error": {}}, "scheduler", State.INTERRUPTED, f"{_TOLD} The job itself says: own"),
        ("failed", {"error": {"type": "E"}}, "scheduler", State.FAILED, "own"),
        ("failed", {"error": {"type": "E"}}, "node", State.INTERRUPTED,
         f"{_TOLD} The job itself says: own"),
        ("failed", {}, "", State.FAILED, "own"),
        ("cancelled", {}, "scheduler", State.CANCELLED, "own"),
        ("upstream_failed", {}, "node", State.UPSTREAM_FAILED, "own"),
    ],
)  # fmt: skip
def test_the_scheduler_knows_better_why_it_ended_a_job(
    own: str, fields: dict[str, Any], ended_by: str, state: State, reason: str
) -> None:
    said = written(own, **{"exit_code": 75, **fields})
    verdict = of(said=said, native=native("interrupted", ended_by=ended_by))
    assert (verdict.state, verdict.reason, verdict.is_over) == (state, reason, True)
    assert verdict.is_written is (reason == "own")


def test_word_of_an_earlier_attempt_does_not_count() -> None:
    verdict = of(said=written("failed", attempt=1), native=native("pending"))
    assert verdict.state is State.PENDING


def test_word_of_an_earlier_attempt_counts_if_there_was_no_later() -> None:
    assert of(said=written("failed", attempt=1), attempt=None).state is State.FAILED


@pytest.mark.parametrize("state", ["succeeded"])
def test_success_without_a_marker_is_unknown(state: str) -> None:
    assert of(native=native(state, "COMPLETED")).state is State.UNKNOWN
    assert of(said=written(state)).state is State.UNKNOWN
    assert of(is_final_job=True, said=written(state)).state is State.SUCCEEDED


def test_job_that_left_the_queue_is_unknown_never_a_success() -> None:
    verdict = of(said=written("running"))
    assert verdict.state is State.UNKNOWN
    assert "no accounting tells" in verdict.reason
    assert of().state is State.UNKNOWN


def test_accounting_says_how_a_silent_job_ended() -> None:
    for state in ("failed", "interrupted", "cancelled"):
        verdict = of(native=native(state), said=written("running"))
        # What ran was not cancelled, unless by `dfh cancel`.
        ended = State.INTERRUPTED if state == "cancelled" else State(state)
        assert (verdict.state, verdict.reason) == (ended, "because (the scheduler says X).")
        assert not verdict.is_written


def test_only_what_a_change_would_mend_is_not_to_run_again() -> None:
    assert of(said=written("failed", again=True)).is_retryable
    assert not of(said=written("failed", again=False)).is_retryable
    assert of(said=written("interrupted", again=True)).is_retryable
    assert not of(said=written("interrupted", again=False)).is_retryable  # at the same time limit
    assert of(said=written("cancelled", again=False)).is_retryable
    for has_checkpoint in (True, False):
        said = written("interrupted", exit_code=75, again=False)
        limit = native("interrupted", raw="TIMEOUT", ended_by="limit")
        verdict = of(native=limit, said=said, has_checkpoint=has_checkpoint)
        assert verdict.is_retryable is has_checkpoint
        assert verdict.hint.startswith("dfh resume") is has_checkpoint
    assert of(native=native("failed", raw="BOOT_FAIL"), said=written("running")).is_retryable
    for raw in ("OUT_OF_MEMORY", "OUT_OF_ME+"):
        killed = native("failed", raw=raw, memory=True)
        for kept in (True, False):
            verdict = of(native=killed, said=written("running"), has_checkpoint=kept)
            assert (verdict.is_retryable, "mem_per_node" in verdict.hint) == (kept, True)
            assert verdict.hint.startswith("dfh resume") is kept


@pytest.mark.parametrize(
    "end",
    [
        native("interrupted", raw="TIMEOUT", ended_by="limit"),
        native("failed", raw="FAILED", memory=True),
    ],
)
def test_end_while_outputs_are_published_asks_for_nothing_more(end: NativeStatus) -> None:
    verdict = of(native=end, said=written("publishing"))
    assert (verdict.is_retryable, verdict.hint) == (
        True,
        of(native=native("failed", raw="BOOT_FAIL")).hint,
    )


@pytest.mark.parametrize("has_accounting", [True, False])
def test_job_that_the_queue_does_not_know_is_over_only_if_accounting_answers(
    has_accounting: bool,
) -> None:
    verdict = of(is_asked=True, trouble=ROOT, has_accounting=has_accounting)
    assert (verdict.state, verdict.is_over) == (State.NEVER_RAN, has_accounting)


@pytest.mark.parametrize("said", ["never_ran", "cancelled"])
def test_job_below_trouble_never_ran_because_of_it(said: str) -> None:
    verdict = of(native=native(said, "CANCELLED"), trouble=ROOT)
    assert verdict.state is State.NEVER_RAN
    assert "root" in verdict.reason


@pytest.mark.parametrize(
    "told",
    [
        slurm.parse_queue("7|CANCELLED|Dependency|a.01234567\n"),
        slurm.parse_accounting(
            "7|CANCELLED|0:0|None|None assigned|2026-11-22T08:00:00|a.01234567\n"
        ),
    ],
)
def test_of_a_job_that_was_dropped_nobody_says_that_another_failed_where_none_did(
    told: dict[str, NativeStatus],
) -> None:
    verdict = of(native=told["7"])
    assert verdict.state is State.NEVER_RAN
    assert verdict.reason == "It never started: it was cancelled while it waited in the queue."
    assert of(native=told["7"], trouble=ROOT).reason == "It never started, because root failed."
    by_dfh = of(native=told["7"], attempt=RELEASED._replace(is_cancelled=True))
    assert by_dfh.reason == "Cancelled before it started."


@pytest.mark.parametrize("is_retryable", [True, False])
def test_below_a_failure_that_needs_an_edit_nothing_says_resume(is_retryable: bool) -> None:
    trouble = ROOT._replace(is_retryable=is_retryable)
    guarded = {"trouble": trouble, "is_guarded": True}
    verdicts = [
        of(native=native("never_ran"), trouble=trouble),
        of(said=written("upstream_failed"), **guarded),
        of(native=native("upstream_failed"), **guarded),
    ]
    assert [bool(verdict.hint) for verdict in verdicts] == [is_retryable] * 3


def test_job_that_can_never_start_is_told_though_it_still_waits() -> None:
    verdict = of(native=native("pending", "PENDING", dependency=FAILED), trouble=ROOT)
    assert verdict.state is State.NEVER_RAN


def test_job_that_waits_for_others_names_them() -> None:
    waiting = native("pending", raw="PENDING", dependency=WAITS)
    assert of(native=waiting, waits_for=("b", "c")).reason == "It waits for b, c."
    many = of(native=waiting, waits_for=tuple("bcdefgh")).reason
    assert many == "It waits for b, c, d, e and 3 more."
    assert of(native=waiting).reason == "because"
    for_nodes = native("pending", raw="PENDING", reason="Dependency")
    assert of(native=for_nodes, waits_for=("b",)).reason == "because"


def test_running_job_tells_what_it_does() -> None:
    assert of(native=native("running"), said=written("publishing")).state is State.PUBLISHING
    assert of(native=native("running")).state is State.RUNNING
    # Requeued: it waits again, whatever it wrote before.
    assert of(native=native("pending"), said=written("running")).state is State.PENDING


def test_without_the_scheduler_the_last_known_state_is_shown() -> None:
    assert of(is_asked=False, said=written("running")).state is State.RUNNING
    assert of(is_asked=False).state is State.PENDING
    assert of(is_asked=False, trouble=ROOT).state is State.NEVER_RAN
    held = Attempt(number=2, jobs=("a",), ids={"a": "7"})
    assert of(is_asked=False, attempt=held).state is State.HELD
    no_id = Attempt(number=2, jobs=("a",), ids={})
    assert of(is_asked=False, attempt=no_id).state is State.PLANNED
    cancelled = Attempt(number=2, jobs=("a",), ids={"a": "7"}, is_cancelled=True)
    verdict = of(is_asked=False, attempt=cancelled)  # noted before it is sent
    assert (verdict.state, verdict.is_over) == (State.UNKNOWN, False)
    assert "nobody says that it ended" in verdict.reason


def test_refused_submission_leaves_jobs_planned() -> None:
    refused = Attempt(number=2, jobs=("a",), ids={"a": "7"}, is_cancelled=True, refused="limit")
    for answer in (None, native("cancelled", "CANCELLED")):
        verdict = of(attempt=refused, native=answer)
        assert (verdict.state, verdict.is_written) == (State.PLANNED, True)


def test_never_submitted_is_planned() -> None:
    assert of(attempt=None).state is State.PLANNED


def test_seconds_run_until_now_or_the_end() -> None:
    begin, end = "2026-01-01T00:00:00+00:00", "2026-01-01T00:01:00+00:00"
    assert seconds(begin, end, 0, is_over=True) == 60
    assert seconds(begin, "", 1767225605.0, is_over=False) == 5
    assert seconds(begin, "", 9e9, is_over=True) is None
    assert seconds("", "", 9e9, is_over=False) is None
    assert seconds("soon", "", 9e9, is_over=False) is None


def test_whether_a_marker_is_there_does_not_hang_on_the_words_for_it() -> None:
    def gone() -> bytes:
        raise FileNotFoundError

    assert not look(gone, "a", None, "key").is_unsound
    assert look(lambda: b"{", "a", None, "key").is_unsound

    def closed() -> bytes:
        raise PermissionError(13, "Permission denied")

    found = look(closed, "a", None, "key")
    for seen in ({"said": written("succeeded")}, {"native": native("succeeded", "COMPLETED")}):
        verdict = of(found=found, **seen)
        assert verdict.state is State.UNKNOWN
        assert "cannot be read here (Permission denied): its owner can tell" in verdict.reason
        assert "damaged" not in verdict.reason
    assert not ABSENT._replace(fault="was never written").is_unsound


def test_what_dfh_cancel_ended_is_cancelled_whatever_the_job_said_of_the_signal() -> None:
    cancelled = RELEASED._replace(is_cancelled=True)
    by_signal = native(
        "cancelled", "CANCELLED", explanation="It was cancelled.", ended_by="scheduler"
    )
    for said in ("interrupted", "failed"):
        own = written(said, exit_code=75)
        assert of(said=own, native=by_signal, attempt=cancelled).state is State.CANCELLED
        assert of(said=own, native=by_signal).state is State.INTERRUPTED
        limit = native("interrupted", "TIMEOUT", ended_by="limit")
        assert of(said=own, native=limit, attempt=cancelled).state is State.INTERRUPTED


def test_what_the_scheduler_wrote_of_memory_goes_before_a_guess() -> None:
    killed = native("failed", "FAILED", memory=True)
    words = "exceeded memory limit (2 > 1)"
    verdict = of(native=killed, memory_words=words)
    assert verdict.reason == f"It ran out of memory (the scheduler says FAILED: {words})."
    assert verdict.lacks == "memory"
    assert words not in of(native=killed).reason
