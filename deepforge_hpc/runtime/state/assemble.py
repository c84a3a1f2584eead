"""The status of an execution, put together from its files and the scheduler's answers."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..base.advice import TO_KEEP
from ..base.layout import LAYOUT, ExecutionLayout, log_name
from ..base.notice import Notice
from ..base.plan import JobKind
from ..base.states import State, combine, state_of
from ..base.text import plain, title
from .judge import Evidence, Trouble, judge
from .marker import ABSENT
from .status import ExecutionStatus, JobStatus, OutputStatus, UnitStatus, elapsed_s, seconds, tally

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from ..base.native import NativeStatus
    from ..base.outline import PlannedJob
    from .journal import Attempt
    from .marker import Marker
    from .read import Files, Unit

_LOG_TAIL = 1 << 14
_JOBS = LAYOUT.jobs.name


def build(
    files: Files,
    answers: Mapping[str, NativeStatus] | None,
    *,
    now: float,
    number: int | None = None,
    sees_all: bool = True,
    has_accounting: bool = True,
) -> ExecutionStatus:
    """Return the status by the files of an execution and the scheduler's answers, by native id.

    None: it was not asked, or did not answer. `number`: the attempt to judge, if not the last.
    `sees_all`: False where it may hide jobs from who asks, so that a missing answer says nothing.
    `has_accounting`: False where its accounting did not answer, so that it says of no end.
    """
    history = files.journal
    attempt = history.last if number is None else history.attempt(number)
    view = _Assembly(files, attempt, answers, now, sees_all=sees_all, has_accounting=has_accounting)
    jobs = tuple(view.job(job) for job in files.jobs)
    done = {job.name for job in jobs if job.state.is_success}
    return ExecutionStatus(
        path=str(files.root),
        info=files.info,
        state=combine(job.state for job in jobs if job.plan.kind is not JobKind.FINAL),
        attempt=attempt.number if attempt else 0,
        jobs=jobs,
        copies={one.name: one.to for one in files.plan.outputs if one.to and one.job in done},
        warnings=(*_problems(files), *view.warnings),
        at=now,
    )


def _problems(files: Files) -> Iterator[Notice]:
    for name in files.damaged:
        yield Notice("file_damaged", f"{name} is missing or damaged.", name)
    if files.journal.fault:
        hint = f"Jobs can still be found in the queue by their names: dfh cancel {files.info.id}"
        yield Notice("journal_damaged", files.journal.fault, LAYOUT.submitted.name, next=hint)
    last = files.journal.last
    if last is not None and last.refused:
        text = f"The submission broke off, nothing of it runs: {last.refused}"
        yield Notice("submission_refused", text, files.info.id)


class _Assembly:
    """All that is known of one execution at one moment."""

    def __init__(
        self,
        files: Files,
        attempt: Attempt | None,
        answers: Mapping[str, NativeStatus] | None,
        now: float,
        *,
        sees_all: bool,
        has_accounting: bool,
    ) -> None:
        self._files = files
        self._attempt = attempt
        self._answers = answers
        self._now = now
        self._sees_all = sees_all
        self._has_accounting = has_accounting
        # What has an id was submitted, also where the line of its intent is damaged.
        self._attempted = frozenset((*attempt.jobs, *attempt.ids) if attempt else ())
        self._trouble: dict[str, Trouble] = {}
        """Job that did not succeed -> where the trouble began."""
        self._open: set[str] = set()
        """Jobs that are not over."""
        self.warnings: list[Notice] = []

    def job(self, job: PlannedJob) -> JobStatus:
        """Return the status of a job; those that it waits for have been asked for before."""
        units = tuple(self._unit(job, task) for task in job.indices)
        if left := [unit for unit in units if unit.left]:
            self.warnings.append(_left_behind(job.name, left))
        state = combine(unit.state for unit in units)
        is_over = all(unit.is_over for unit in units)
        if not is_over:
            self._open.add(job.name)
        if (state.is_final or state is State.UNKNOWN) and (began := _began(job, units)):
            self._trouble[job.name] = self._origin(job) or began
        started = min((unit.started for unit in units if unit.started), default="")
        ended = max((unit.ended for unit in units), default="") if is_over else ""
        alike = [unit for unit in units if unit.state is state] or units
        first = next((unit for unit in alike if not unit.is_retryable), alike[0])
        found = JobStatus(
            plan=job,
            state=state,
            detail=state.value + tally(state, units),
            reason=_reason(first, units),
            hint=first.hint,
            raw=first.raw,
            exit_code=first.exit_code,
            native_id=self._attempt.native_id(job.name, None) if self._attempt else "",
            attempt=max(unit.attempt for unit in units),
            started=started,
            ended=ended,
            elapsed_s=elapsed_s(units, self._now),
            metrics={},
            log="",
            outputs=first.outputs if job.kind is not JobKind.ARRAY else (),
            reused_from=next((unit.reused_from for unit in units if unit.reused_from), ""),
            units=units,
            is_retryable=all(unit.is_retryable for unit in units),
        )
        if not found.has_run:
            return found
        return found._replace(
            log=f"{_folder(job.name, None)}/{log_name(first.attempt or 1, first.task)}"
        )

    def _unit(self, job: PlannedJob, task: int | None) -> UnitStatus:
        unit = self._files.units[job.name, task]
        evidence = self._evidence(job, task, unit)
        verdict = judge(evidence)
        if verdict.notice:
            self.warnings.append(verdict.notice)
        said, marker = evidence.current, evidence.found.marker
        started, ended = (said.started or "", said.ended or "") if said else ("", "")
        if started and not ended and verdict.is_over and evidence.native is not None:
            ended = evidence.native.ended  # it could not say so itself
        is_success = verdict.state.is_success
        return UnitStatus(
            task=task,
            state=verdict.state,
            reason=verdict.reason,
            hint=verdict.hint,
            native_id=evidence.native_id or (said.native_id if said else ""),
            raw=verdict.raw,
            attempt=evidence.number,
            started=started,
            first=said.first if said else "",
            ended=ended,
            elapsed_s=seconds(started, ended, self._now, is_over=verdict.is_over),
            exit_code=said.exit_code if said else None,
            is_over=verdict.is_over,
            is_written=verdict.is_written,
            is_retryable=verdict.is_retryable,
            lacks=verdict.lacks,
            is_stuck=verdict.is_stuck,
            host=said.host if said else "",
            folder=_folder(job.name, task),
            error=said.error if said and not is_success else None,
            outputs=_outputs(marker) if is_success else (),
            reused_from=marker.reused_from.execution if marker and marker.reused_from else "",
            left=said.left if said else "",
        )

    def _evidence(self, job: PlannedJob, task: int | None, unit: Unit) -> Evidence:
        attempt, found = self._attempt, unit.found
        if attempt and not (job.name in self._attempted and attempt.has_task(job.name, task)):
            attempt = None
        if job.kind is JobKind.FINAL and found.marker and self._is_older(found.marker):
            found = ABSENT  # it closed an earlier attempt
        native_id = attempt.native_id(job.name, task) if attempt else ""
        native = self._native(job.name, native_id)
        return Evidence(
            execution=self._files.info.id,
            job=job.name,
            task=task,
            found=found,
            said=unit.said,
            said_fault=unit.said_fault,
            attempt=attempt,
            journal_fault=self._files.journal.fault,
            native=native,
            is_asked=self._answers is not None
            and bool(native_id)
            and (native is not None or self._sees_all),
            has_accounting=self._has_accounting,
            trouble=self._origin(job),
            waits_for=tuple(name for name in job.after if name in self._open),
            is_guarded=job.is_guarded,
            has_checkpoint=native is not None
            and (native.ended_by == "limit" or native.wants_memory)
            and ExecutionLayout(self._files.root).job(job.name, task).has_checkpoint(),
            memory_words=self._memory_words(job, task, attempt, native),
            is_final_job=job.kind is JobKind.FINAL,
        )

    def _memory_words(
        self,
        job: PlannedJob,
        task: int | None,
        attempt: Attempt | None,
        native: NativeStatus | None,
    ) -> str:
        """Return what the scheduler wrote into a job's log as it ended it for want of memory."""
        if attempt is None or native is None or not native.wants_memory:
            return ""
        from ..base.files import read_own
        from ..schedulers import memory_words

        layout = ExecutionLayout(self._files.root)
        try:
            log = read_own(layout.log(job.name, attempt.number, task), tail=_LOG_TAIL)
        except (OSError, ValueError):
            return ""
        return memory_words(self._files.info.scheduler, log.decode("utf-8", "replace"))

    def _is_older(self, marker: Marker) -> bool:
        return self._attempt is not None and marker.attempt < self._attempt.number

    def _native(self, job: str, native_id: str) -> NativeStatus | None:
        found = (self._answers or {}).get(native_id)
        if found is not None and found.name and found.name != f"{job}.{self._files.info.token}":
            # After a crash Slurm gives the ids of jobs that it lost to other people's jobs.
            return None
        # An adapter from outside may give a text, and one that is no state.
        return found._replace(state=state_of(found.state)) if found else None

    def _origin(self, job: PlannedJob) -> Trouble | None:
        """Return where the trouble began because of which a job cannot run, if there is any."""
        if job.kind is JobKind.FINAL:
            return None
        return _worst(self._trouble[name] for name in job.after if name in self._trouble)


def _began(job: PlannedJob, units: tuple[UnitStatus, ...]) -> Trouble | None:
    return _worst(
        Trouble(title(job.name, unit.task), unit.state, unit.is_retryable)
        for unit in units
        if unit.state.is_final and not unit.state.is_success
    )


def _worst(troubles: Iterable[Trouble]) -> Trouble | None:
    """Return the one that wants an edit, if any does: after that all others go on too."""
    found = sorted(troubles, key=lambda one: one.is_retryable)
    return found[0] if found else None


def _left_behind(job: str, units: list[UnitStatus]) -> Notice:
    more = f", as did {len(units) - 1} more of its tasks" if units[1:] else ""
    text = f"{title(job, units[0].task)} {plain(units[0].left)}{more}"
    return Notice("files_left", text, job, next=f"to make one an output, {TO_KEEP}")


def _folder(job: str, task: int | None) -> str:
    if task is None:  # most often: joining paths costs more than all the rest of a job's status
        return f"{_JOBS}/{job}"
    return LAYOUT.job(job, task).root.as_posix()


def _reason(first: UnitStatus, units: tuple[UnitStatus, ...]) -> str:
    """Return why, and for which task of an array if not for all."""
    if not first.reason or all(unit.reason == first.reason for unit in units):
        return first.reason
    return f"task {first.task}: {first.reason}"


def _outputs(marker: Marker | None) -> tuple[OutputStatus, ...]:
    entries = marker.outputs if marker else {}
    return tuple(
        OutputStatus(
            name, entry.path, entry.format, entry.sha256, entry.size, entry.parts,
        )
        for name, entry in sorted(entries.items())
    )  # fmt: skip
