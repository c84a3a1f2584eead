"""Submit the jobs of an execution, all or nothing; submit again what did not succeed; cancel.

Roots are held until every job has its id, so a submission that breaks off leaves nothing that runs.
What is queued is found by its token (the end of the job's name), never by an id alone: Slurm gives
the ids of jobs that it lost in a crash to new jobs.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from deepforge_hpc.errors import (
    LedgerError,
    SchedulerError,
    StorageError,
    SubmitLimitError,
    TransientSchedulerError,
    UsageError,
)
from deepforge_hpc.model.plan import FINAL_JOB, JobKind
from deepforge_hpc.runtime.context import timestamp
from deepforge_hpc.runtime.states import State
from deepforge_hpc.submit import journal, own
from deepforge_hpc.submit.frozen import check_code, check_home, read_info, read_plan
from deepforge_hpc.submit.lease import BusyError, lease
from deepforge_hpc.submit.pace import Pace
from deepforge_hpc.submit.queue import Queue, wait_for_submitters
from deepforge_hpc.submit.reports import CancelReport, SubmitReport
from deepforge_hpc.submit.requests import request_for
from deepforge_hpc.submit.select import Selected, dependencies, select

if TYPE_CHECKING:
    from collections.abc import Sequence
    from contextlib import AbstractContextManager

    from deepforge_hpc.abc.scheduler import Scheduler
    from deepforge_hpc.model.execution import ExecutionInfo
    from deepforge_hpc.model.plan import Plan
    from deepforge_hpc.runtime.layout import ExecutionLayout
    from deepforge_hpc.submit.journal import Attempt

_CANCEL_S = 3.0


def submit(
    layout: ExecutionLayout, scheduler: Scheduler, *, pace: Pace | None = None
) -> SubmitReport:
    """Submit a new execution: every job that has no result yet; not faster than `pace`.

    Raises SchedulerError if the scheduler refuses a job: then nothing of the execution runs.
    """
    chain = _open(layout, scheduler, "submitted", pace)
    with chain.leased():
        if journal.read(layout).attempts:
            message = f"{chain.info.id} was submitted before"
            raise UsageError(message, f"Look at it: dfh status {chain.info.id}")
        return chain.submit(1)


def resume(
    layout: ExecutionLayout, scheduler: Scheduler, *, pace: Pace | None = None
) -> SubmitReport:
    """Complete a submission that broke off, or submit again what did not succeed.

    Raises UsageError while jobs of the execution are queued or running, LedgerError if its frozen
    code was edited.
    """
    chain = _open(layout, scheduler, "resumed", pace)
    with chain.leased():
        check_code(layout, chain.info)
        last = journal.read(layout).last
        if last is None:
            return chain.submit(1)
        report = chain.heal(last) if last.is_held else chain.settle(last)
        if report is not None:
            return report
        return chain.submit(last.number + 1)


def cancel(layout: ExecutionLayout, scheduler: Scheduler) -> CancelReport:
    """Cancel every job of the execution that is queued or running, orphans included."""
    chain = _open(layout, scheduler, "cancelled")
    warning = ""
    try:
        with chain.leased():
            names = chain.cancel()
    except BusyError:
        raise
    except StorageError as error:
        # A full disk or a read-only mount must not keep jobs alive that nobody wants.
        names = chain.cancel_queue()
        warning = f"That it was cancelled could not be noted: {error.message}"
    return CancelReport(execution=chain.info.id, jobs=names, warning=warning)


def _open(
    layout: ExecutionLayout, scheduler: Scheduler, verb: str, pace: Pace | None = None
) -> _Chain:
    info = read_info(layout)
    check_home(layout, info, verb)
    return _Chain(layout, info, read_plan(layout, info), scheduler, pace or Pace(None))


class _Chain:
    """One execution and its scheduler, while the lease is held."""

    def __init__(
        self,
        layout: ExecutionLayout,
        info: ExecutionInfo,
        plan: Plan,
        scheduler: Scheduler,
        pace: Pace,
    ) -> None:
        self.layout = layout
        self.info = info
        self.plan = plan
        self.scheduler = scheduler
        self.pace = pace
        self.writer = journal.Writer(layout)
        self.queue = Queue(scheduler, info)

    def leased(self) -> AbstractContextManager[None]:
        """Return the lease of the one submitter."""
        return lease(self.layout.root / ".submitting", f"{self.info.id} is being submitted")

    # ---- a new attempt

    def submit(self, number: int) -> SubmitReport:
        """Submit what has no result, as attempt `number`."""
        selected = select(self.plan, self.layout)
        if not selected:
            return self._report(number - 1, (), "Nothing to do: every job has succeeded.")
        tasks = {item.job.name: item.tasks for item in selected if item.tasks is not None}
        names = [item.job.name for item in selected]
        me = {"token": self.info.token, "host": os.uname().nodename, "pid": os.getpid()}
        self.writer.append(
            "intent", number, durable=True, jobs=names, tasks=tasks, at=timestamp(), **me
        )
        return self._queue_jobs(number, selected, {})

    def _queue_jobs(
        self, number: int, selected: Sequence[Selected], ids: dict[str, str]
    ) -> SubmitReport:
        """Queue the jobs that have no id yet, then release the roots."""
        needs = dependencies(selected)
        name = ""
        try:
            for item in selected:
                name = item.job.name
                if name in ids:
                    continue
                after = [ids[upstream] for upstream in needs[name]]
                request = request_for(self.info, item, number, after)
                self.pace.wait()
                ids[name] = self.scheduler.submit(request)
                self.writer.append("job", number, job=name, native_id=ids[name])
            # A command that timed out, and was run again, may have been heard after all.
            self.queue.adopt(ids)
        except BaseException as error:
            self._undo(number, name, ids, error)
            raise
        try:
            self._release(number, [ids[name] for name in needs if not needs[name]])
        except KeyboardInterrupt as error:
            self._undo(number, name, ids, error)
            raise
        return self._report(number, tuple(ids.items()), f"Submitted {len(ids)} jobs.")

    def _release(self, number: int, roots: Sequence[str]) -> None:
        try:
            self.scheduler.release(self.info.home, roots)
        except SchedulerError as error:
            message = f"All jobs of {self.info.id} are queued, but held: {error.message}"
            hint = f"Let them go: dfh resume {self.info.id}. Or: dfh cancel {self.info.id}"
            raise type(error)(
                message, hint, argv=error.argv, returncode=error.returncode, stderr=error.stderr
            ) from error
        self.writer.append("released", number, durable=True)

    def _undo(self, number: int, job: str, ids: dict[str, str], error: BaseException) -> None:
        """Cancel what was queued before a refusal (or Ctrl-C); all of it is held or waits for it.

        Raises SchedulerError in the place of one, saying what is left; a KeyboardInterrupt is
        given words that say it.
        """
        reason = error.message if isinstance(error, SchedulerError) else repr(error)
        left = (
            f"the jobs queued before it ({len(ids)}) were cancelled" if ids else "none was queued"
        )
        try:
            self.queue.clear(known=ids)
            self.writer.append("cancel", number, durable=True, at=timestamp(), refused=reason)
        except (SchedulerError, StorageError) as second:
            if ids or isinstance(error, TransientSchedulerError):
                left = f"what was queued may still be there, held ({second.message})"
        if isinstance(error, KeyboardInterrupt):
            way_on = f"To submit it after all: dfh resume {self.info.id}"
            error.args = (f"Stopped. Nothing of {self.info.id} runs; {left}. {way_on}",)
        if isinstance(error, SchedulerError):
            message = f"{job}: {reason.rstrip('.')}. Nothing of {self.info.id} runs; {left}."
            hint = f"{error.hint} {self._way_on(error)}".strip()
            raise type(error)(
                message, hint, argv=error.argv, returncode=error.returncode, stderr=error.stderr
            ) from error

    def _way_on(self, error: SchedulerError) -> str:
        """Return what to do after a refusal: the plan is frozen, so what it asks for stays."""
        if isinstance(error, (SubmitLimitError, TransientSchedulerError)):
            return f"Then: dfh resume {self.info.id}"
        return f"Then submit again; `dfh executions rm {self.info.id}` removes this execution."

    # ---- the end

    def cancel(self) -> tuple[str, ...]:
        """Cancel all that is queued, note it, and return the names of the jobs."""
        try:
            last = journal.read(self.layout).last
        except LedgerError:
            # A clean queue is what was asked for.
            last = None
        was_released = last is not None and not last.is_held
        if last is not None and was_released and self.queue.live():
            # Before the signal: a job that gets it asks the journal whether it was cancelled.
            self.writer.append("cancel", last.number, durable=True, at=timestamp())
        names = self.cancel_queue()
        if last is not None and not was_released:
            # After it: until the held jobs are gone, the next command names them.
            self.writer.append("cancel", last.number, durable=True, at=timestamp())
        return names

    def cancel_queue(self) -> tuple[str, ...]:
        """Cancel all that is queued and return the names of the jobs."""
        names = self.queue.cancel_all()
        # Waiting jobs are gone at once; running ones may take their time to end.
        self.queue.leave(names, limit_s=_CANCEL_S)
        return names

    # ---- an attempt that broke off

    def heal(self, attempt: Attempt) -> SubmitReport | None:
        """Complete an attempt whose submitter died; nothing of it has started, unless at the end.

        What is queued is kept if the missing jobs can still be joined to it. Otherwise (jobs were
        lost in between) it is cancelled, and all is submitted afresh. None: it had been let go
        before its submitter died, and has ended.
        """
        wait_for_submitters(self.info.token)
        selected = self._intended(attempt)
        needs = dependencies(selected)
        found = self.queue.adopt(attempt.ids)
        if all(name in attempt.ids for name in needs):
            # It died after the last id: the roots may have been released, and have run.
            roots = [found[name] for name in needs if not needs[name] and name in found]
            self._release(attempt.number, roots)
            if not found:
                return None
            ids = tuple(attempt.ids.items())
            return self._report(attempt.number, ids, "Released: every job had been queued.")
        is_whole = all(name in found for name in attempt.ids) and all(
            upstream in found for name in found for upstream in needs.get(name, ())
        )
        if not is_whole:
            self.queue.clear()
            self.writer.append(
                "cancel", attempt.number, durable=True, at=timestamp(), refused="jobs were lost"
            )
            return self.submit(attempt.number + 1)
        for name in [name for name in found if attempt.ids.get(name) != found[name]]:
            self.writer.append("job", attempt.number, job=name, native_id=found[name], healed=True)
        return self._queue_jobs(attempt.number, selected, found)

    def _intended(self, attempt: Attempt) -> tuple[Selected, ...]:
        jobs = {job.name: job for job in self.plan.jobs}
        return tuple(
            Selected(job=jobs[name], tasks=attempt.tasks.get(name)) for name in attempt.jobs
        )

    # ---- an attempt that was submitted whole

    def settle(self, last: Attempt) -> SubmitReport | None:
        """Bring the queue to rest, so that a new attempt can begin.

        A report says that the attempt goes on instead. Raises UsageError if jobs are live.
        """
        live = self.queue.live()
        states = self.queue.states(live)
        held = sorted(name for name, state in states.items() if state == "held")
        if held and not last.is_cancelled and not self.queue.has_lost(last.ids):
            self.scheduler.release(self.info.home, [i for name in held for i in live[name]])
            message = f"Released {len(held)} held jobs of attempt {last.number}."
            return self._report(last.number, tuple(last.ids.items()), message)
        # What has written its end is only leaving the queue; a final job need not be waited for.
        ending = {name for name in live if self._has_ended(name, last)}
        busy = [] if held else sorted(set(live) - ending - {FINAL_JOB})
        if busy or not self.queue.leave(ending):
            busy = busy or sorted(ending)
            some = ", ".join(f"{name} ({states.get(name, '?')})" for name in busy[:8])
            more = f" and {len(busy) - 8} more" if len(busy) > 8 else ""
            message = f"{self.info.id} is not over: {some}{more}"
            hint = f"Wait for it: dfh status {self.info.id}. Or: dfh cancel {self.info.id}"
            raise UsageError(message, hint)
        self.queue.clear()
        return None

    def _has_ended(self, name: str, attempt: Attempt) -> bool:
        job = self.plan.job(name)
        tasks = attempt.tasks.get(name, range(job.tasks)) if job.kind is JobKind.ARRAY else (None,)
        found = [own.read_state(self.layout.job(name, task)) for task in tasks]
        return all(
            State(state["state"]).is_final and state["attempt"] == attempt.number
            if state
            else False
            for state in found
        )

    def _report(
        self, number: int, submitted: tuple[tuple[str, str], ...], message: str
    ) -> SubmitReport:
        names = {name for name, _ in submitted}
        kept = tuple(job.name for job in self.plan.jobs if job.name not in names)
        return SubmitReport(
            execution=self.info.id,
            path=self.info.home,
            attempt=number,
            submitted=submitted,
            kept=kept,
            message=message,
        )
