"""The final job: says what never ran and why, keeps the accounting, and closes the report."""

from __future__ import annotations

import os
import time
from contextlib import suppress
from typing import TYPE_CHECKING, Any, NamedTuple

from ..base.context import timestamp
from ..base.failure import MEMORY_HINT
from ..base.files import publish_json, read_json, remove
from ..base.states import State
from ..schedulers import sacct
from ..state import journal, marker, statefile

if TYPE_CHECKING:
    from ..base.context import Context
    from ..schedulers.sacct import Account

_AT_WORK = frozenset({State.RUNNING, State.PUBLISHING})
_LAST_WORDS_S = 40.0
"""From SIGTERM to SIGKILL it is 30 s by Slurm's default (KillWait), and 10 s on the local site."""
_PAUSE_S = 0.2


class Unit(NamedTuple):
    """A job, or one task of a job array."""

    job: str
    task: int | None

    def __str__(self) -> str:
        return self.job if self.task is None else f"{self.job} task {self.task}"


def close_execution(context: Context) -> None:
    """Give each job that did not say how it ended a final state; exit 0 even if jobs failed."""
    ids = journal.native_ids(context.layout, context.attempt)
    cancelled = context.attempt in journal.cancelled_attempts(context.layout)
    if cancelled:
        _await_last_words(context, ids)
    accounts = sacct.ask(context, ids)
    closer = _Closer(context, _read_states(context), accounts, ids, cancelled)
    for job in context.plan["jobs"]:  # in topological order: ancestors have their states first
        for unit in units_of(job) if job["kind"] != "final" else ():
            closer.close(unit, job)


def _await_last_words(context: Context, ids: dict[str, str]) -> None:
    """Wait until the jobs that a cancellation interrupts have written their ends.

    What waited for them was dropped at once, so that nothing held this job back. Slurm's accounting
    calls a job ended when the signal is sent.
    """
    deadline = time.monotonic() + _LAST_WORDS_S
    while time.monotonic() < deadline:
        gone = sacct.gone(context)
        if not any(
            state["state"] in _AT_WORK and native_id(ids, unit) not in gone
            for unit, state in _read_states(context).items()
        ):
            return
        time.sleep(_PAUSE_S)


def _read_states(context: Context) -> dict[Unit, dict[str, Any]]:
    return {
        unit: _read_state(context, unit)
        for job in context.plan["jobs"]
        if job["kind"] != "final"
        for unit in units_of(job)
    }


def units_of(job: dict[str, Any]) -> list[Unit]:
    """Return the tasks of an array, or the one job."""
    if job["kind"] == "array":
        return [Unit(job["name"], task) for task in range(job["tasks"])]
    return [Unit(job["name"], None)]


def native_id(ids: dict[str, str], unit: Unit) -> str:
    """Return the scheduler's id of a job or an array task; empty if it was not submitted."""
    native = ids.get(unit.job, "")
    return native if unit.task is None or not native else f"{native}_{unit.task}"


class _Closer(NamedTuple):
    context: Context
    states: dict[Unit, dict[str, Any]]
    accounts: dict[str, Account]
    ids: dict[str, str]
    cancelled: bool

    def close(self, unit: Unit, job: dict[str, Any]) -> None:
        """Write the final state of a unit that has none, and remove what its attempts left."""
        found = self.states[unit]
        if State(found["state"]).is_final:
            self._sweep(unit)
            return
        native = native_id(self.ids, unit)
        account = self.accounts.get(native)
        if account is not None and not account.ended:
            return  # still queued or running: its own to say
        state, reason, hint = self._judge(job, found, account)
        again = state is not State.FAILED or account is None or account.again
        if not again:
            hint = MEMORY_HINT
        self._sweep(unit)
        data = statefile.build(
            job=unit.job,
            task=unit.task,
            attempt=self.context.attempt,
            state=state,
            since=timestamp(),
            started=found["started"],
            ended=timestamp(),
            host=found["host"],
            pid=found["pid"],
            native_id=native or found["native_id"],
            reason=reason,
            hint=hint,
            again=again,
        )
        self.states[unit] = data
        folder = self.context.layout.job(*unit)
        folder.root.mkdir(parents=True, exist_ok=True)
        publish_json(folder.state, data)

    def _judge(
        self, job: dict[str, Any], found: dict[str, Any], account: Account | None
    ) -> tuple[State, str, str]:
        resume = f"dfh resume {self.context.info['id']} runs what is missing."
        if found["state"] in _AT_WORK:
            if account is not None:
                return account.state, account.sentence, resume
            reason = "The job ended without a word: it was killed, or its node failed."
            return State.FAILED, reason, resume
        if self.cancelled:
            return State.CANCELLED, "Cancelled by dfh cancel before it started.", resume
        culprit = self._culprit(job, set())
        if culprit is not None:
            state = self.states[culprit]["state"]
            return State.NEVER_RAN, f"It never started, because {culprit} {_SAID[state]}.", resume
        if account is not None and account.state is not State.UNKNOWN:
            return account.state, account.sentence, resume
        return State.NEVER_RAN, "It never started, and the scheduler does not know it.", resume

    def _culprit(self, job: dict[str, Any], seen: set[str]) -> Unit | None:
        """Return the ancestor where the trouble began: the farthest one that did not succeed."""
        for name in job["after"]:
            if name in seen:
                continue
            seen.add(name)
            ancestor = self.context.planned(name)
            deeper = self._culprit(ancestor, seen)
            if deeper is not None:
                return deeper
            for unit in units_of(ancestor):
                state = State(self.states[unit]["state"])
                if state.is_final and not state.is_success:
                    return unit
        return None

    def _sweep(self, unit: Unit) -> None:
        with suppress(OSError):
            for entry in os.scandir(self.context.layout.job(*unit).root):
                number = entry.name.removeprefix(".work-")
                if number != entry.name and number.isdigit() and number != "0":
                    remove(self.context.layout.job(*unit).root / entry.name)


_SAID = {
    "failed": "failed",
    "interrupted": "was interrupted",
    "cancelled": "was cancelled",
    "upstream_failed": "found an upstream job without a success marker",
    "never_ran": "never ran",
}


def _read_state(context: Context, unit: Unit) -> dict[str, Any]:
    """Return the state of a unit; a marker decides, a missing or old state is `planned`."""
    folder = context.layout.job(*unit)
    unknown = statefile.build(state=State.PLANNED, host="", pid=0, native_id="")
    try:
        found = {**unknown, **read_json(folder.state)}
        State(found["state"])
    except (OSError, ValueError):
        found = unknown
    with suppress(OSError, ValueError):
        done = marker.read(folder)
        if done is not None:
            state = State.REUSED if done["reused_from"] else State.SUCCEEDED
            return {**found, "state": state.value}
    if found.get("attempt", context.attempt) != context.attempt:
        return unknown  # of an earlier attempt: this one has not said anything
    return found
