"""The final job: says what never ran and why, keeps the accounting, and closes the report."""

from __future__ import annotations

import time

from ..base.context import Context
from ..base.failure import explain_os_error, tell
from ..base.native import NativeStatus
from ..schedulers import QueryResult, Scheduler, load_scheduler
from ..state.assemble import build
from ..state.ends import write_ends
from ..state.journal import Attempt
from ..state.read import read_files
from ..state.status import ExecutionStatus

_LAST_WORDS_S = 40.0
"""Longer than any scheduler lets pass from SIGTERM to SIGKILL."""
_PAUSE_S = 0.2


def close_execution(context: Context) -> None:
    """Give each job that is over and did not say how it ended a final state.

    What nobody positively calls ended is left alone: accounting that does not answer, or does not
    know a job yet, is not an end.
    """
    files = read_files(context.layout.root)
    attempt = files.journal.attempt(context.attempt)
    if attempt is None:
        return
    scheduler = load_scheduler(context.plan.scheduler, context.layout.code)
    if attempt.is_cancelled:
        _await_last_words(context, scheduler)
    found = scheduler.query(context.layout.root, _units(context, attempt))
    if found.rows:
        _keep(context, found)
    write_ends(_status(context, found.jobs, has_accounting=found.has_accounting))


def _units(context: Context, attempt: Attempt) -> set[str]:
    """Return the ids of all jobs and array tasks of an attempt, but for this job."""
    units = set()
    for job in context.plan.jobs:
        if job.name in attempt.ids and job.name != context.name:
            tasks = attempt.tasks.get(job.name, job.indices)
            units |= {attempt.native_id(job.name, i) for i in tasks}
    return units


def _keep(context: Context, found: QueryResult) -> None:
    """Keep the accounting as a record; without one, all else still holds."""
    from ..state.record import accounting_record, write_blob, write_record

    try:
        raw = write_blob(context.ledger, found.raw)
        data = accounting_record(context, found.rows, raw, found.clock)
        write_record(context.ledger, data)
    except OSError as error:
        tell(f"dfh: the accounting could not be kept: {explain_os_error(error)}")


def _await_last_words(context: Context, scheduler: Scheduler) -> None:
    """Wait until the jobs that a cancellation interrupts have written their ends.

    What waited for them was dropped at once, so that nothing held this job back. Accounting may
    call a job ended when the signal is sent.
    """
    deadline = time.monotonic() + _LAST_WORDS_S
    while time.monotonic() < deadline:
        current = _status(context, scheduler.look(context.layout.root))
        if not any(unit.state.is_at_work for job in current.work for unit in job.units):
            return
        time.sleep(_PAUSE_S)


def _status(
    context: Context, answers: dict[str, NativeStatus] | None, *, has_accounting: bool = True
) -> ExecutionStatus:
    files, number = read_files(context.layout.root), context.attempt
    return build(files, answers, now=time.time(), number=number, has_accounting=has_accounting)
