"""What became of an execution: what its jobs wrote, and what the scheduler says, asked once."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping

from deepforge_hpc.errors import LedgerError, SchedulerError
from deepforge_hpc.plugins.scheduler import JobScope, Scheduler
from deepforge_hpc.processes import user_name, write_for_owner
from deepforge_hpc.runtime.base.execution import ExecutionInfo
from deepforge_hpc.runtime.base.layout import ExecutionLayout
from deepforge_hpc.runtime.base.native import NativeStatus
from deepforge_hpc.runtime.base.notice import INFO, Notice
from deepforge_hpc.runtime.base.states import State, state_of
from deepforge_hpc.runtime.state.assemble import build
from deepforge_hpc.runtime.state.journal import Attempt, Journal
from deepforge_hpc.runtime.state.read import Files, last_metrics, read_files
from deepforge_hpc.runtime.state.status import ExecutionStatus, JobStatus
from deepforge_hpc.submit.frozen import (
    check_code,
    check_plan,
    is_at_home,
    moved_project,
    read_info,
    read_plan,
)


def status(
    layout: ExecutionLayout, scheduler: Scheduler | None, *, now: float | None = None
) -> ExecutionStatus:
    """Return the state of every job; asks the scheduler once for all of them.

    Without `scheduler`, or if it does not answer, the answer rests on the jobs' own files, and a
    notice says so. Jobs that can write no state any more get one.
    """
    try:
        files = read_files(layout.root)
    except OSError:
        read_info(layout)  # it says more
        raise
    info = _sound_info(layout, files)
    at_home = is_at_home(layout, info)
    attempt = files.journal.last
    answers, sees_all, is_heard, notices = _ask(scheduler, info, files)
    current = build(
        files, answers, now=now or time.time(), sees_all=sees_all, has_accounting=is_heard
    )
    is_live = any(unit.state.is_live for job in current.jobs for unit in job.units)
    if answers is not None and not is_live and at_home:
        _close(layout, current)
    jobs = tuple(
        job._replace(metrics=last_metrics(layout.root, job.speaker.folder)) if job.has_run else job
        for job in current.jobs
    )
    notices += _waiting_for_data(jobs)
    is_submitting = attempt is not None and attempt.is_held and _is_being_submitted(layout)
    if not at_home:
        notices.append(_elsewhere(layout, info))
    elif attempt is not None and attempt.is_held and not is_submitting:
        notices.append(_broken(info, attempt))
    if at_home and attempt is not None and (notice := _other_user(info, files.journal, current)):
        notices.append(notice)
    if at_home and (attempt is None or attempt.is_held or not is_live):
        notices += _code_notices(layout, info, current)
    kinds = {notice.kind for notice in notices}
    if kinds & _NOT_RESUMED:
        jobs = tuple(_rehinted(job, "") for job in jobs)
    elif any(job.state in _BUSY for job in current.work):
        jobs = tuple(_rehinted(job, "Once the rest has ended: {}") for job in jobs)
    current = current._replace(jobs=jobs, warnings=(*notices, *current.warnings))
    return current._replace(next=_next(layout, info, current, kinds, is_submitting=is_submitting))


def _waiting_for_data(jobs: tuple[JobStatus, ...]) -> list[Notice]:
    """Return what to do about jobs whose training waits for its data too long."""
    logging = [job for job in jobs if job.metrics]
    if not logging:
        return []
    from deepforge_hpc.runtime.base.epochs import WAITS_NEXT, epoch_split

    splits = ((job.name, epoch_split(job.metrics)) for job in logging)
    return [
        Notice("waits_for_data", f"{name}: {split.waits}", name, next=WAITS_NEXT)
        for name, split in splits
        if split is not None and split.waits
    ]


def _sound_info(layout: ExecutionLayout, files: Files) -> ExecutionInfo:
    """Return `execution.json`; StorageError or LedgerError if it or the plan is not as it was."""
    if files.damaged:  # these say of what is damaged how
        read_plan(layout, read_info(layout))
    check_plan(layout, files.plan_sha256, files.info)
    return files.info


def _close(layout: ExecutionLayout, current: ExecutionStatus) -> None:
    """Close an execution in the place of its final job, if that could not."""
    if any(unit.is_over and not unit.is_written for job in current.work for unit in job.units):
        from deepforge_hpc.runtime.report.refresh import refresh
        from deepforge_hpc.runtime.state.ends import write_ends

        write_for_owner(layout.root)
        write_ends(current)
        refresh(layout.root, force=True)


def _is_being_submitted(layout: ExecutionLayout) -> bool:
    from deepforge_hpc.submit.orphans import is_being_submitted

    return is_being_submitted(layout)


def _ask(
    scheduler: Scheduler | None, info: ExecutionInfo, files: Files
) -> tuple[Mapping[str, NativeStatus] | None, bool, bool, list[Notice]]:
    """Return what the scheduler says, whether that is all that there is, whether its accounting
    answered, and what is to be told.

    It is not all where it may hide jobs from the caller: then one that it does not know, or that
    only its accounting calls alive, is not lost.
    """
    history = files.journal
    if scheduler is None or history.last is None or not history.last.ids:
        return None, True, True, []
    native_ids = list(history.last.ids.values())
    try:
        mine = scheduler.scoped(JobScope.of(info, history, files.plan.cluster))
        answers = mine.query(info.home, native_ids)
    except SchedulerError as error:
        text = f"The scheduler does not answer: {error.message}"
        return None, True, True, [Notice("scheduler_silent", text, info.scheduler, next=error.hint)]
    known = {key: job for key, job in answers.items() if state_of(job.state) is not State.UNKNOWN}
    seen = {native_id.partition("_")[0] for native_id in known}
    if seen.issuperset(native_ids):
        return answers, True, True, []
    notices, is_heard = [], not mine.unanswered
    if not is_heard:
        text = f"The scheduler's accounting does not answer: {mine.unanswered}"
        notices.append(Notice("scheduler_silent", text, info.scheduler))
    # In this order: to ask for the name of a user costs files.
    if os.geteuid() == 0 or not _other(info, history):
        return answers, True, is_heard, notices
    return known, False, is_heard, notices


def _other(info: ExecutionInfo, history: Journal) -> str:
    """Return who submitted it, if that is another user."""
    user = history.user or info.user
    return "" if user in {"", user_name()} else user


def _other_user(info: ExecutionInfo, history: Journal, current: ExecutionStatus) -> Notice | None:
    if current.is_closed or not (user := _other(info, history)):
        return None
    text = (
        f"It was submitted by {user}: until it is over, only {user} can resume or cancel it, and "
    )
    text += "what the queue shows to nobody else is told as its jobs last said."
    return Notice("other_user", text, info.id, next=f"ask {user}", level=INFO)


def _broken(info: ExecutionInfo, last: Attempt) -> Notice:
    text = (
        f"The submission broke off: {len(last.ids)} of {len(last.jobs)} jobs are known to be "
        "queued, held, and nothing runs."
    )
    return Notice("submission_broken", text, info.id, next=f"dfh resume {info.id}")


_NOT_RESUMED = {"copy", "code_modified"}
_BUSY = (State.PENDING, State.RUNNING, State.PUBLISHING)
"""Nothing is resumed while a job is one of these."""


def _code_notices(
    layout: ExecutionLayout, info: ExecutionInfo, current: ExecutionStatus
) -> list[Notice]:
    """Say that it cannot be resumed if its frozen code was changed."""
    if current.state.is_success:
        return []
    try:
        check_code(layout, info)
    except LedgerError as error:
        return [Notice("code_modified", error.message, info.id)]
    return []


def _rehinted(job: JobStatus, form: str) -> JobStatus:
    """Return a job with other hints of how the same frozen code runs again; `{}`: the hint."""
    units = tuple(
        unit._replace(hint=form.format(unit.hint))
        if unit.hint and unit.state.is_final and unit.is_retryable
        else unit
        for unit in job.units
    )
    return job._replace(units=units, hint=job._replace(units=units).speaker.hint)


def _elsewhere(layout: ExecutionLayout, info: ExecutionInfo) -> Notice:
    what = "Its project was moved" if moved_project(layout, info) else "This is a copy"
    text = f"{what}: {info.id} was created at {info.home}."
    return Notice("copy", text, str(layout.root))


def _after_move(layout: ExecutionLayout, info: ExecutionInfo, current: ExecutionStatus) -> str:
    """Return what to do about an execution whose project lies elsewhere now; nothing for a copy."""
    if (moved := moved_project(layout, info)) is None:
        return ""
    if all(job.is_over for job in current.work):
        return info.submit_command
    from shlex import quote

    return f"mv {quote(str(moved))} {quote(info.project)}; then dfh status {info.id}"


def _next(
    layout: ExecutionLayout,
    info: ExecutionInfo,
    current: ExecutionStatus,
    kinds: set[str],
    *,
    is_submitting: bool,
) -> str:
    """Return the command that a person would type next; empty if there is nothing to do."""
    if "copy" in kinds or current.state.is_success:
        return "" if current.state.is_success else _after_move(layout, info, current)
    is_stuck = not current.can_move and any(job.is_stuck for job in current.work)
    is_live = any(job.state.is_live for job in current.work)
    watch = f"dfh status {info.id} --watch"
    if "other_user" in kinds:
        return watch
    if "code_modified" in kinds:
        return f"dfh cancel {info.id}; then " * is_live + info.submit_command
    if "submission_broken" in kinds or (current.is_stopped and not is_submitting):
        return f"dfh resume {info.id}"
    from deepforge_hpc.runtime.base.advice import edit_step, next_step

    if is_live:
        return f"dfh cancel {info.id}; {edit_step(info.submit_command)}" if is_stuck else watch
    return next_step(current.ends(), identity=info.id, submit=info.submit_command)
