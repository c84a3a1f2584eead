"""The one process of a job that is not the operation: it checks, starts, watches and publishes."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from ..base.context import Clock, Context, open_context
from ..base.failure import (
    EXIT_INTERRUPTED,
    EXIT_NOT_AS_SUBMITTED,
    EXIT_NOT_PUBLISHED,
    JobError,
    explain_os_error,
    resume_hint,
    tell,
)
from ..base.files import remove
from ..base.layout import OUTPUTS
from ..base.plan import JobKind
from ..base.signals import SignalQueue
from ..base.states import State
from ..schedulers import Scheduler, load_scheduler
from .guard import check_code, check_upstream, find_duplicate
from .stage import stage_inputs
from .state_writer import StateWriter

if TYPE_CHECKING:
    from ..rank.messages import Saved, TakenUp
    from ..state.record import StagedInput


def run_job(
    root: Path, *, job: str, task: int | None, attempt: int, plan_sha256: str, code_sha256: str
) -> int:
    """Run one attempt of a job to its end and return the exit code of the job."""
    clock = Clock.now()
    signals = SignalQueue()
    with signals:
        try:
            context = open_context(
                root, job=job, task=task, attempt=attempt, plan_sha256=plan_sha256
            )
            scheduler = load_scheduler(context.plan.scheduler, context.layout.code)
        except JobError as error:
            say(error.reason, error.hint)
            return error.exit_code
        context = context._replace(
            native_id=scheduler.native_id(os.environ), nodes=scheduler.nodes(os.environ)
        )
        if other := find_duplicate(context):
            # Exit code 0 and no word of its own: the state is the other one's to write.
            say(
                f"{context.title} was queued twice; job {other} does it, this one does nothing.", ""
            )
            return 0
        supervisor = Supervisor(context, scheduler, signals, clock)
        return supervisor.run(code_sha256 or context.info.code_sha256)


class Supervisor:
    """One attempt of one job."""

    def __init__(
        self, context: Context, scheduler: Scheduler, signals: SignalQueue, clock: Clock
    ) -> None:
        self._context = context
        self._scheduler = scheduler
        self._signals = signals
        self._clock = clock
        self._state = StateWriter(context)
        self._inputs: list[StagedInput] = []
        self._packages: str | None = None
        self._taken: TakenUp | None = None
        self._scratch: Path | None = None
        self._left = ""
        self._made: dict[str, Saved] | None = None
        """The whole outputs, from when they are published."""

    def run(self, code_sha256: str) -> int:
        """Do the job; whatever happens, leave a state, a record and no half output."""
        try:
            check_code(self._context.layout, code_sha256)
            check_upstream(self._context)
            self._check_destinations()
            self._begin()
            self._publish(self._do())
        except JobError as error:
            return self._fail(error)
        except OSError as error:
            return self._fail(self._os_error(error))
        except Exception as error:  # noqa: BLE001 - the outer edge: a bug must not look like silence
            reason = f"The runtime failed: {type(error).__name__}: {error}."
            return self._bug(JobError(reason, "This is a bug of deepforge_hpc: please report it."))
        except SystemExit as error:
            # Ours does not: it is a launcher's or a scheduler's that an installed package brings.
            reason = f"An installed package called sys.exit({error.code!r}) in the supervisor."
            hint = "The log shows where. Update or replace the package, then submit again."
            return self._bug(JobError(reason, hint))
        finally:
            self._clean()
        return 0

    def _check_destinations(self) -> None:
        context = self._context
        if any(item.to and item.job == context.name for item in context.plan.outputs):
            from .destination import refuse_files_of_others

            if not context.by_hand:
                refuse_files_of_others(context)

    def _bug(self, error: JobError) -> int:
        """Fail for what the code of others, or our own, raised: the traceback goes to the log."""
        import traceback

        tell(traceback.format_exc().rstrip("\n"))
        return self._fail(error)

    def _begin(self) -> None:
        context = self._context
        self._state.write(State.RUNNING)
        remove(context.work)
        context.work.mkdir(parents=True)
        if not context.by_hand and context.folder.rescue.is_dir():
            from .rescue import find, recall

            recall(context)
            self._taken = find(context)
        if context.attempt > 1 and self._taken is None and not context.folder.checkpoints.is_dir():
            # Without a checkpoint the operation begins anew, and so do its curves and figures.
            remove(context.folder.metrics)
            remove(context.folder.figures)

    def _do(self) -> dict[str, Saved]:
        """Make the outputs in the work folder and return what they are."""
        kind = self._context.job.kind
        if kind is JobKind.FINAL:
            from .final import close_execution

            close_execution(self._context)
            return {}
        if kind is JobKind.GATHER:
            from .gather import collect_parts

            entries, self._inputs = collect_parts(self._context)
            return entries
        self._inputs = stage_inputs(self._context)
        return self._run_ranks()

    def _run_ranks(self) -> dict[str, Saved]:
        from .rank_logs import RankLogs
        from .rank_spec import make_scratch, rank_argv, rank_environment, write_spec
        from .ranks import Ranks, interruption, oom_kills

        context = self._context
        self._scratch = make_scratch(context, self._scheduler.scratch(os.environ))
        environ = rank_environment(context, self._scratch)
        context.folder.checkpoints.mkdir(exist_ok=True)
        write_spec(context, self._scratch, self._inputs, self._taken)
        self._signals.wait(0)
        if self._signals.stop is not None:
            raise interruption(context, self._signals.stop, killed=False)
        kills = oom_kills()
        sys.stdout.flush()
        ranks = Ranks(
            rank_argv(context),
            environ,
            self._signals,
            own_group=not context.by_hand,
            grace_s=self._scheduler.grace_s,
        )
        logs = RankLogs(context)

        def tend() -> None:
            self._refresh()
            logs.tend()

        ended = ranks.watch(tend)
        if not self._is_there:
            raise JobError("The execution is not where it was any more.")
        if not context.by_hand:
            from ..rank.packages import keep_packages

            self._packages = keep_packages(context.work, context.ledger)
        from .diagnosis import diagnose

        error = diagnose(context, ended, self._signals.stop, kills)
        if error is not None:
            from .rescue import keep

            self._note_left(())
            raise keep(context, error)
        from .publish import read_entries

        try:
            entries = read_entries(context)
        except JobError:  # its rank left without a word: what it wrote is all that there is
            self._note_left(())
            raise
        self._note_left([entry.source for entry in entries.values() if entry.source])
        return entries

    def _note_left(self, outputs: Sequence[str]) -> None:
        """Keep what would be removed with the working folder, and name it in the log."""
        from .left import keep

        if self._scratch is not None and not self._context.by_hand:
            self._left = keep(self._context, self._scratch, outputs)
            if self._left:
                from ..base.advice import TO_KEEP

                say(f"This job {self._left}.")
                say(f"To make one an output, {TO_KEEP}.")

    def _publish(self, entries: dict[str, Saved]) -> None:
        context = self._context
        if context.by_hand:
            self._show(entries)
            return
        from .publish import publish_job

        self._made = entries
        self._state.write(State.PUBLISHING)
        reason = ""
        if self._taken is not None:
            from .rescue import story

            reason = story(self._taken)
        publish_job(
            context,
            entries=entries,
            inputs=self._inputs,
            packages=self._packages,
            clock=self._clock,
            reason=reason,
        )
        remove(context.folder.rescue)
        with suppress(OSError):  # the marker is there: the job has succeeded, whatever this says
            self._state.write(State.SUCCEEDED, exit_code=0, left=self._left)
        self._refresh()

    def _show(self, entries: dict[str, Saved]) -> None:
        folder = self._context.work / OUTPUTS
        for name, entry in entries.items():
            say(f"{name} ({entry.format}): {folder / entry.path}")
        say("Run by hand: nothing was published, and the state is as it was.")

    def _os_error(self, error: OSError) -> JobError:
        what = explain_os_error(error)
        hint = resume_hint(error, self._context.info.id)
        if self._made is None:
            return JobError(f"The job's folder cannot be used: {what}.", hint, is_retryable=True)
        reason = f"The outputs could not be published: {what}."
        if self._context.job.source is not None:
            from .rescue import keep_made

            kept = keep_made(self._context, self._made)
            then = "publishes what was made" if kept else "runs the operation again"
            hint = f"{hint.rstrip('.')}, which {then}."
        return JobError(reason, hint, exit_code=EXIT_NOT_PUBLISHED, is_retryable=True)

    def _fail(self, error: JobError) -> int:
        """Write down why the job ends; each of these writes may fail on a full disk."""
        if self._context.by_hand or not self._is_there:
            # Moved: what is written would be in its way when it comes back. The job's script tells.
            say(error.reason, error.hint)
            return error.exit_code
        remove(self._context.work)  # first of all: it may be what fills the disk
        say(error.reason, error.hint)
        state = error.state
        if state is State.INTERRUPTED and _was_cancelled(self._context):
            state = State.CANCELLED
        if error.exit_code != EXIT_NOT_AS_SUBMITTED:
            self._record(error)
        try:
            self._state.write(
                state,
                reason=error.reason,
                hint=error.hint,
                error=error.error,
                exit_code=error.exit_code,
                left=self._left,
                again=error.is_retryable,
                lacks=error.lacks,
            )
        except OSError as fault:
            say(f"The state could not be written: {explain_os_error(fault)}.")
        self._refresh()
        return error.exit_code

    @property
    def _is_there(self) -> bool:
        return self._context.layout.execution.exists()

    def _record(self, error: JobError) -> None:
        from ..figures.index import recorded
        from ..state.record import end_record, write_record

        context = self._context
        data = end_record(
            context,
            status=error.state,
            reason=error.reason,
            clock=self._clock,
            inputs=self._inputs,
            figures=recorded(context.folder.figures),
            packages=self._packages,
        )
        try:
            write_record(context.ledger, data)
        except OSError as fault:
            say(f"The record could not be written: {explain_os_error(fault)}.")

    def _clean(self) -> None:
        if self._scratch is not None and not self._context.by_hand:
            remove(self._scratch)
        if not self._context.by_hand:
            remove(self._context.work)
        for folder in (self._context.folder.checkpoints, self._context.folder.figures):
            with suppress(OSError):
                folder.rmdir()  # folders stay only when they hold something

    def _refresh(self) -> None:
        if self._context.by_hand:
            return
        try:
            from ..report.refresh import refresh

            # The final job's word is the last: nobody would write a fresher page after it.
            refresh(self._context.layout.root, force=self._context.job.kind is JobKind.FINAL)
        except Exception as error:  # noqa: BLE001 - the report is extra: it must never fail a job
            say(f"The report could not be refreshed: {error!r}.")


def say(reason: str, hint: str = "") -> None:
    """Tell the job's log."""
    for line in filter(None, (reason, hint)):
        tell(f"dfh: {line}")


def _was_cancelled(context: Context) -> bool:
    """Tell whether `dfh cancel` asked for the end of this attempt."""
    from ..state import journal

    attempt = journal.read(context.layout).attempt(context.attempt)
    return attempt is not None and attempt.is_cancelled


__all__ = ["EXIT_INTERRUPTED", "run_job", "say"]
