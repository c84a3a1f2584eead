"""Submit the jobs of an execution; retry what did not succeed; cancel."""

from __future__ import annotations

from collections.abc import Container

from deepforge_hpc.errors import LedgerError, SchedulerError, StorageError, UsageError
from deepforge_hpc.plugins.scheduler import JobScope, Scheduler
from deepforge_hpc.processes import write_for_owner
from deepforge_hpc.runtime.base.context import timestamp
from deepforge_hpc.runtime.base.layout import ExecutionLayout
from deepforge_hpc.runtime.base.notice import Notice
from deepforge_hpc.runtime.base.plan import FINAL_JOB, Plan
from deepforge_hpc.runtime.base.text import listed
from deepforge_hpc.runtime.state.assemble import build
from deepforge_hpc.runtime.state.journal import Cancelled
from deepforge_hpc.runtime.state.journal import read as read_journal
from deepforge_hpc.runtime.state.read import Key, read_files
from deepforge_hpc.submit import journal
from deepforge_hpc.submit.frozen import (
    check_code,
    check_home,
    read_enough_to_cancel,
    read_info,
    read_plan,
    restore,
)
from deepforge_hpc.submit.lease import BusyError
from deepforge_hpc.submit.permission import check_user
from deepforge_hpc.submit.recovery import recover, settle
from deepforge_hpc.submit.reports import CancelReport, SubmitReport
from deepforge_hpc.submit.rescue import name_formats
from deepforge_hpc.submit.select import select, without
from deepforge_hpc.submit.submitter import RateLimit, Submitter

_CANCEL_S = 3.0
_Asked = tuple[tuple[str, ...], tuple[Notice, ...]]
"""The jobs that were asked to end, and what is to be said of them."""


def submit(
    layout: ExecutionLayout,
    scheduler: Scheduler,
    *,
    plan: Plan | None = None,
    reused: Container[Key] | None = None,
    rate_limit: RateLimit | None = None,
) -> SubmitReport:
    """Submit a new execution: every job that has no result yet; not faster than the limit.

    `plan` is what its file holds, and `reused` the jobs and tasks that have a result, from who has
    just written that: to read it of 1,000 jobs takes as long as to make it. Raises SchedulerError
    if the scheduler refuses a job: then nothing of the execution runs.
    """
    submitter = _open(layout, scheduler, "submitted", rate_limit, plan)
    with submitter.leased():
        return _go_on(submitter, reused)


def resume(
    layout: ExecutionLayout, scheduler: Scheduler, *, rate_limit: RateLimit | None = None
) -> SubmitReport:
    """Complete a submission that broke off, or submit again what did not succeed.

    Raises UsageError while jobs of the execution are queued or running, LedgerError if its frozen
    code was edited.
    """
    submitter = _open(layout, scheduler, "resumed", rate_limit)
    check_user(submitter, "resume")
    with submitter.leased():
        restore(layout, submitter.info)
        check_code(layout, submitter.info)
        _require_journal(submitter)
        return _go_on(submitter)


def _require_journal(submitter: Submitter) -> None:
    """Raise UsageError if jobs are queued that the journal, which precedes them, knows nothing of.

    It was lost with what the file system lost: a first attempt would end them, and run them anew.
    """
    if journal.read(submitter.layout).last is None and (live := submitter.live_jobs.live()):
        execution = submitter.info.id
        message = f"{execution} is not over: {listed(sorted(live), 9)}; submitted.jsonl is empty"
        raise UsageError(message, f"Wait, or end it: dfh cancel {execution}")


def _go_on(submitter: Submitter, reused: Container[Key] | None = None) -> SubmitReport:
    """Begin, complete a submission or begin again, as the journal says; the lease is held."""
    layout = submitter.layout
    last = journal.read(layout).last
    if last is None:
        selected = without(submitter.plan, reused) if reused is not None else None
        return submitter.submit(selected)
    report = recover(submitter, last) if last.is_held else settle(submitter, last)
    if report is not None:
        return report
    name_formats(layout, submitter.info, select(submitter.plan, read_files(layout.root)))
    return submitter.submit()


def cancel(
    layout: ExecutionLayout, scheduler: Scheduler, *, is_closed: bool = True
) -> CancelReport:
    """Cancel every job of the execution that is queued or running, orphans included.

    The final job is left to close the execution, unless nothing else is left or it is not to be
    closed (`is_closed`): then it is cancelled too.
    """
    info = read_enough_to_cancel(layout)
    check_home(layout, info, "cancelled")
    write_for_owner(layout.root)
    # What is queued is asked for, whatever the plan says, which may be damaged as well.
    plan, files = Plan(info.pipeline, info.site, info.scheduler, ()), read_files(layout.root)
    mine = scheduler.scoped(JobScope.of(info, files.journal, files.plan.cluster))
    submitter = Submitter(layout, info, plan, mine, RateLimit(None))
    check_user(submitter, "cancel")
    try:
        with submitter.leased():
            names, warnings = _cancel(submitter, spared=FINAL_JOB if is_closed else "")
            warnings += _left_alone(submitter, names)
    except BusyError:
        raise
    except StorageError as error:
        # A full disk or a read-only mount must not keep jobs alive that nobody wants.
        names, warnings = _cancel_queue(submitter)
        text = f"That it was cancelled could not be noted: {error.message}"
        warnings += (Notice("not_noted", text, submitter.info.id, next=error.hint),)
    return CancelReport(execution=submitter.info.id, jobs=names, warnings=warnings)


def _cancel(submitter: Submitter, *, spared: str) -> _Asked:
    """Cancel all that is queued, and note it."""
    try:
        last = journal.read(submitter.layout).last
    except LedgerError:
        # A clean queue is what was asked for.
        last = None
    was_released = last is not None and not last.is_held
    if last is not None and was_released and submitter.live_jobs.live():
        # Before the signal: a job that gets it asks the journal whether it was cancelled.
        journal.append(submitter.layout, Cancelled(last.number, timestamp()), durable=True)
    # The final job waits for the others however they end, and then tells how they did.
    asked = _cancel_queue(submitter, spared=spared if was_released else "")
    if last is not None and not was_released:
        # After it: until the held jobs are gone, the next command names them.
        journal.append(submitter.layout, Cancelled(last.number, timestamp()), durable=True)
    return asked


def _left_alone(submitter: Submitter, cancelled: tuple[str, ...]) -> tuple[Notice, ...]:
    """Return the warning of jobs that nobody knows of, also not that they ended."""
    files = read_files(submitter.layout.root)
    ids = dict(files.journal.last.ids) if files.journal.last else {}
    ended = {job.name for job in build(files, None, now=0).jobs if job.is_over}
    left = {name: ids[name] for name in ids.keys() - ended - {*cancelled}}
    try:
        lost = submitter.live_jobs.unheard(left.values()) if left else []
    except SchedulerError:
        return ()  # what could be cancelled is
    names = listed(sorted(name for name in left if left[name] in lost))
    text = (
        f"Neither the queue nor accounting knows {names}, and no word of theirs says that they "
        "ended: if they come back, another cancellation finds them by their names"
    )
    return (Notice("scheduler_silent", text, submitter.info.id),) if names else ()


def _cancel_queue(submitter: Submitter, *, spared: str = "") -> _Asked:
    """Cancel all that is queued, but for a job that is not alone."""
    names = submitter.live_jobs.cancel_all(spared=spared)
    # Waiting jobs are gone at once; running ones may take their time to end.
    staying = submitter.live_jobs.leave(names, limit_s=_CANCEL_S)
    if not staying:
        return names, ()
    look = f"dfh status {submitter.info.id} --watch"
    text = f"still ending: {listed(staying)}"
    return names, (Notice("still_ending", text, submitter.info.id, next=look),)


def _open(
    layout: ExecutionLayout,
    scheduler: Scheduler,
    verb: str,
    rate_limit: RateLimit | None = None,
    plan: Plan | None = None,
) -> Submitter:
    info = read_info(layout)
    check_home(layout, info, verb)
    write_for_owner(layout.root)
    plan = plan or read_plan(layout, info)
    mine = scheduler.scoped(JobScope.of(info, read_journal(layout), plan.cluster))
    return Submitter(layout, info, plan, mine, rate_limit or RateLimit(None))
