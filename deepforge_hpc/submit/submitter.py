"""Submit one attempt of an execution, all or nothing.

Roots are held until every job has its id, so a submission that breaks off leaves nothing that runs.
"""

from __future__ import annotations

import os
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from deepforge_hpc.errors import (
    DeepforgeHpcError,
    NoSchedulerError,
    SchedulerError,
    StorageError,
    SubmitLimitError,
    TransientSchedulerError,
    UsageError,
)
from deepforge_hpc.processes import user_name
from deepforge_hpc.runtime.base.context import timestamp
from deepforge_hpc.runtime.base.failure import explain_os_error
from deepforge_hpc.runtime.base.text import count
from deepforge_hpc.runtime.state.journal import Cancelled, Intent, Queued, Released
from deepforge_hpc.runtime.state.read import read_files
from deepforge_hpc.submit import destinations, journal, reuse
from deepforge_hpc.submit.lease import SUBMITTING, lease
from deepforge_hpc.submit.live_jobs import LiveJobs
from deepforge_hpc.submit.reports import SubmitReport
from deepforge_hpc.submit.requests import check_widest, request_for
from deepforge_hpc.submit.select import Selected, dependencies, select

if TYPE_CHECKING:
    from contextlib import AbstractContextManager

    from deepforge_hpc.plugins.scheduler import Scheduler
    from deepforge_hpc.runtime.base.execution import ExecutionInfo
    from deepforge_hpc.runtime.base.layout import ExecutionLayout
    from deepforge_hpc.runtime.base.plan import Plan
    from deepforge_hpc.runtime.state.read import Files

_MINUTE_S = 60.0


def _reason(error: BaseException) -> str:
    """Return why a submission broke off, as `dfh status` tells it."""
    if isinstance(error, DeepforgeHpcError):
        return error.message
    if isinstance(error, KeyboardInterrupt):
        return "it was interrupted (Ctrl-C)."
    return explain_os_error(error) if isinstance(error, OSError) else repr(error)


class RateLimit:
    """A rate limit, so many in any 60 seconds: few jobs go at once, many wait for their turn."""

    def __init__(
        self,
        per_minute: int | None,
        *,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._recent: deque[float] = deque(maxlen=per_minute)
        self._is_limited = bool(per_minute)
        self._clock, self._sleep = clock, sleep

    def wait(self) -> None:
        """Return when one more may be submitted, and count it."""
        if not self._is_limited:
            return
        if len(self._recent) == self._recent.maxlen:
            rest = self._recent[0] + _MINUTE_S - self._clock()
            if rest > 0:
                self._sleep(rest)
        self._recent.append(self._clock())


@dataclass(slots=True, eq=False)
class Submitter:
    """One execution and its scheduler, while the lease is held."""

    layout: ExecutionLayout
    info: ExecutionInfo
    plan: Plan
    scheduler: Scheduler
    rate_limit: RateLimit

    @property
    def live_jobs(self) -> LiveJobs:
        """Return what of the execution is in the scheduler's queue."""
        return LiveJobs(self.scheduler, self.info)

    def leased(self) -> AbstractContextManager[None]:
        """Return the lease of the one submitter."""
        return lease(self.layout.root / SUBMITTING, f"{self.info.id} is being submitted")

    def submit(self, selected: Sequence[Selected] | None = None) -> SubmitReport:
        """Submit what has no result, as the attempt after all that anything tells of.

        `selected` is that of a new execution, of which nothing is to be read.
        """
        number = 1
        if selected is None:
            files = read_files(self.layout.root)
            number, selected = _latest(files, self.layout) + 1, select(self.plan, files)
        if not selected:
            return self.report(number - 1, (), "Nothing to do: every job has succeeded.")
        tasks = {item.job.name: item.tasks for item in selected if item.tasks is not None}
        try:
            check_widest(self.info, self.scheduler, selected, number)
            cluster = self.scheduler.cluster()
        except SchedulerError as error:
            message = f"{error.message.rstrip('.')}. Nothing of {self.info.id} was queued."
            raise error.again(message, error.hint, self._way_on(error)) from error
        intent = Intent(
            number,
            tuple(item.job.name for item in selected),
            tasks,
            at=timestamp(),
            user=user_name(),
            cluster=cluster,
            token=self.info.token,
            host=os.uname().nodename,
            pid=os.getpid(),
            execution=self.info,
        )
        journal.append(self.layout, intent, durable=True)
        return self.queue_jobs(number, selected, {})

    def queue_jobs(
        self, number: int, selected: Sequence[Selected], ids: dict[str, str]
    ) -> SubmitReport:
        """Queue the jobs that have no id yet, then release the roots."""
        needs = dependencies(selected)
        name = ""
        try:
            destinations.lock(self.info, self.plan, number)
            for item in selected:
                name = item.job.name
                if name in ids:
                    continue
                after = [ids[upstream] for upstream in needs[name]]
                request = request_for(self.info, item, number, after)
                self.rate_limit.wait()
                ids[name] = self.scheduler.submit(request)
                self.note(number, name, ids[name])
            # A command that timed out, and was run again, may have been heard after all.
            found = self.live_jobs.adopt(ids)
            self.publish_reused()
        except BaseException as error:
            self._undo(number, name, ids, error)
            raise
        try:
            self.release(number, [found[n] for n in needs if not needs[n] and n in found])
        except KeyboardInterrupt as error:
            self._undo(number, name, ids, error)
            raise
        return self.report(number, tuple(ids.items()), f"Submitted {count(len(ids), 'job')}.")

    def publish_reused(self) -> None:
        """Lay what was reused at its destinations, once: all jobs are queued, and held.

        Before that it may still be refused, and later they are another execution's, or the jobs'.
        """
        if not any(output.to for output in self.plan.outputs):
            return
        if not any(attempt.is_released for attempt in journal.read(self.layout).attempts):
            reuse.publish(self.layout, self.info, self.plan)

    def note(self, number: int, job: str, native_id: str, *, healed: bool = False) -> None:
        """Write down which id a job has, and where that is its id."""
        journal.append(
            self.layout, Queued(number, job, native_id, self.scheduler.cluster(), healed)
        )

    def release(self, number: int, roots: Sequence[str]) -> None:
        """Let the roots of an attempt go, and note it."""
        try:
            self.scheduler.release(self.info.home, roots)
        except SchedulerError as error:
            message = f"All jobs of {self.info.id} are queued, but held: {error.message}"
            hint = f"Let them go: dfh resume {self.info.id}. Or: dfh cancel {self.info.id}"
            raise error.again(message, hint) from error
        journal.append(self.layout, Released(number), durable=True)

    def _undo(self, number: int, job: str, ids: dict[str, str], error: BaseException) -> None:
        """Cancel what was queued before a refusal (or Ctrl-C); all of it is held or waits for it.

        Raises SchedulerError in the place of one, saying what is left; a KeyboardInterrupt is
        given words that say it.
        """
        reason = _reason(error)
        left = (
            f"the jobs queued before it ({len(ids)}) were cancelled" if ids else "none was queued"
        )
        is_left = False
        try:
            # Where the scheduler's commands cannot run, none has, and the queue cannot be asked.
            if ids or not isinstance(error, NoSchedulerError):
                self.live_jobs.clear(known=ids)
            journal.append(self.layout, Cancelled(number, timestamp(), reason), durable=True)
        except (SchedulerError, StorageError) as second:
            is_left = bool(ids) or isinstance(error, TransientSchedulerError)
            if is_left:
                left = f"what was queued may still be there, held ({second.message})"
        if isinstance(error, KeyboardInterrupt):
            way_on = f"To submit it after all: dfh resume {self.info.id}"
            error.args = (f"Stopped. Nothing of {self.info.id} runs; {left}. {way_on}",)
        if isinstance(error, UsageError):  # a destination is not free
            error.hint += f". Then: dfh resume {self.info.id}"
        if isinstance(error, SchedulerError):
            message = f"{job}: {reason.rstrip('.')}. Nothing of {self.info.id} runs; {left}."
            raise error.again(message, error.hint, self._way_on(error, is_left=is_left)) from error

    def _way_on(self, error: SchedulerError, *, is_left: bool = False) -> str:
        """Return what to do after a refusal: the plan is frozen, so what it asks for stays."""
        if isinstance(error, (SubmitLimitError, TransientSchedulerError, NoSchedulerError)):
            return f"Then: dfh resume {self.info.id}"
        first = f"Take back what is left: dfh cancel {self.info.id}. " if is_left else ""
        return (
            f"{first}Then submit again; `dfh executions rm {self.info.id}` removes this execution."
        )

    def report(
        self, number: int, submitted: tuple[tuple[str, str], ...], message: str
    ) -> SubmitReport:
        """Return what was done for an attempt."""
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


_MOST = 10**9
"""No execution has as many attempts: a larger number is not counted on from."""


def _latest(files: Files, layout: ExecutionLayout) -> int:
    """Return the latest attempt that anything tells of; 0: there was none.

    A file system may have lost lines of the journal, and a number that was used has a log.
    """
    numbers = [layout.logged()]
    numbers += [attempt.number for attempt in files.journal.attempts]
    for unit in files.units.values():
        numbers += [found.attempt for found in (unit.said, unit.found.marker) if found]
    return max((number for number in numbers if number < _MOST), default=0)
