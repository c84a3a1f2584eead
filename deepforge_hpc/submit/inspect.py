"""What became of an execution: what its jobs wrote, merged with what the scheduler says.

A success marker is the only success. Else a job's own words about this attempt count, then the
scheduler's. A job that left the queue without either is unknown until accounting says how it ended.
"""

from __future__ import annotations

import time
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from deepforge_hpc.errors import LedgerError, SchedulerError
from deepforge_hpc.model.plan import FINAL_JOB, Job, JobKind
from deepforge_hpc.runtime.base.advice import End, next_step, submit_command
from deepforge_hpc.runtime.base.states import State, combine
from deepforge_hpc.submit import journal, own
from deepforge_hpc.submit.frozen import is_at_home, read_info, read_plan
from deepforge_hpc.submit.merge import Evidence, judge, seconds
from deepforge_hpc.submit.status import ExecutionStatus, JobStatus, OutputStatus, TaskStatus

if TYPE_CHECKING:
    from collections.abc import Mapping

    from deepforge_hpc.model.execution import ExecutionInfo, NativeStatus
    from deepforge_hpc.plugins.scheduler import Scheduler
    from deepforge_hpc.runtime.base.layout import ExecutionLayout
    from deepforge_hpc.submit.journal import Attempt, Journal

LIVE = frozenset(
    state.value for state in (State.HELD, State.PENDING, State.RUNNING, State.PUBLISHING)
)


def status(
    layout: ExecutionLayout,
    scheduler: Scheduler | None,
    *,
    ask: bool = True,
    now: float | None = None,
) -> ExecutionStatus:
    """Return the state of every job; asks the scheduler once for all of them.

    Without `scheduler`, or if it does not answer, the answer rests on the jobs' own files, and a
    warning says so. Jobs that can write no state any more get one.
    """
    info = read_info(layout)
    plan = read_plan(layout, info)
    warnings: list[str] = []
    try:
        history = journal.read(layout)
    except LedgerError as error:
        warnings.append(error.message)
        history = journal.Journal()
    attempt = history.last
    native: dict[str, NativeStatus] = {}
    is_answered = False
    if ask and scheduler is not None and attempt is not None and attempt.ids:
        try:
            native = scheduler.query(info.home, list(attempt.ids.values()))
            is_answered = True
        except SchedulerError as error:
            warnings.append(f"The scheduler does not answer: {error.message}")
    view = _View(layout, info, attempt, native, is_answered, now or time.time(), warnings)
    jobs = tuple(view.job(job) for job in plan.jobs)
    is_over = is_answered and not any(unit.state in LIVE for _, unit in view.units)
    if is_over and is_at_home(layout, info):
        view.write_ends()
    return _whole(layout, info, jobs, history, warnings)


class _View:
    """All that is known of one execution at one moment."""

    def __init__(
        self,
        layout: ExecutionLayout,
        info: ExecutionInfo,
        attempt: Attempt | None,
        native: Mapping[str, NativeStatus],
        is_answered: bool,
        now: float,
        warnings: list[str],
    ) -> None:
        self._layout = layout
        self._info = info
        self._attempt = attempt
        self._native = native
        self._is_answered = is_answered
        self._now = now
        self._warnings = warnings
        self.units: list[tuple[str, TaskStatus]] = []
        """Job name and status of all single jobs and array tasks that were asked for."""
        self._markers: dict[str, dict[str, Any]] = {}
        """Of jobs without tasks."""
        self._reused_from: dict[str, str] = {}
        """Job -> the execution that made its outputs, or those of its first re-used task."""
        self._trouble: dict[str, str] = {}
        """Job that did not succeed -> the job where the trouble began."""
        self._open: set[str] = set()
        """Jobs that have not ended."""

    def write_ends(self) -> None:
        """Write down the ends that stand in no file yet; most often there are none."""
        if any(not unit.is_written for _, unit in self.units):
            from deepforge_hpc.submit.closing import write_ends

            write_ends(self._layout, self.units)

    def job(self, job: Job) -> JobStatus:
        """Return the status of a job; those that it waits for have been asked for before."""
        indices: tuple[int | None, ...] = (None,)
        if job.kind is JobKind.ARRAY:
            indices = tuple(range(job.tasks))
        tasks = tuple(self._task(job, index) for index in indices)
        self.units += [(job.name, task) for task in tasks]
        state = combine(State(task.state) for task in tasks)
        if not state.is_final:
            self._open.add(job.name)
        elif not state.is_success:
            self._trouble[job.name] = self._origin(job) or job.name
        first = _speaker(tasks, state)
        started = min((task.started for task in tasks if task.started), default="")
        ended = max((task.ended for task in tasks), default="") if state.is_final else ""
        marker = self._markers.get(job.name)
        has_run = state not in {State.PLANNED, State.HELD, State.PENDING, State.NEVER_RAN}
        return JobStatus(
            name=job.name,
            operation=job.operation,
            kind=job.kind.value,
            after=job.after,
            state=state.value,
            detail=_detail(state, tasks),
            reason=_reason(first, tasks),
            hint=first.hint,
            raw=first.raw,
            exit_code=first.exit_code,
            native_id=(self._attempt.ids.get(job.name, "") if self._attempt else ""),
            attempt=max(task.attempt for task in tasks),
            started=started,
            ended=ended,
            elapsed_s=seconds(started, ended, self._now, is_over=state.is_final),
            metrics=own.last_metrics(self._layout.job(job.name, first.task)) if has_run else {},
            log=self._log(job, first) if has_run else "",
            outputs=_outputs(marker),
            reused_from=self._reused_from.get(job.name, ""),
            tasks=tasks if job.kind is JobKind.ARRAY else (),
            again=all(task.again for task in tasks),
        )

    def _task(self, job: Job, index: int | None) -> TaskStatus:
        folder = self._layout.job(job.name, index)
        attempt = self._attempt
        is_in = attempt is not None and job.name in attempt.jobs
        if is_in and index is not None and attempt is not None:
            is_in = index in attempt.tasks.get(job.name, (index,))
        native_id = attempt.ids.get(job.name, "") if attempt is not None and is_in else ""
        if native_id and index is not None:
            native_id = f"{native_id}_{index}"
        marker = own.read_marker(folder)
        if marker and index is None:
            self._markers[job.name] = marker
        if marker and (origin := marker.get("reused_from")):
            self._reused_from.setdefault(job.name, str(origin.get("execution", "")))
        if marker and job.kind is JobKind.FINAL and attempt and marker["attempt"] < attempt.number:
            marker = None  # it closed an earlier attempt
        evidence = Evidence(
            title=job.name if index is None else f"{job.name} task {index}",
            marker=marker,
            state=own.read_state(folder),
            attempt=attempt if is_in else None,
            native=self._native_of(job.name, native_id),
            is_asked=self._is_answered and bool(native_id),
            trouble=self._origin(job),
            waits_for=tuple(name for name in job.after if name in self._open),
        )
        verdict = judge(evidence)
        if verdict.warning:
            self._warnings.append(verdict.warning)
        written = evidence.current or {}
        started, ended = str(written.get("started") or ""), str(written.get("ended") or "")
        return TaskStatus(
            task=index,
            state=verdict.state.value,
            reason=verdict.reason,
            hint=verdict.hint,
            native_id=native_id or str(written.get("native_id") or ""),
            raw=verdict.raw,
            attempt=evidence.number,
            started=started,
            ended=ended,
            elapsed_s=seconds(started, ended, self._now, is_over=verdict.state.is_final),
            exit_code=written.get("exit_code"),
            is_written=verdict.is_written,
            again=verdict.again,
        )

    def _native_of(self, job: str, native_id: str) -> NativeStatus | None:
        found = self._native.get(native_id)
        if found is not None and found.name and found.name != f"{job}.{self._info.token}":
            # After a crash Slurm gives the ids of jobs that it lost to other people's jobs.
            return None
        return found

    def _origin(self, job: Job) -> str:
        """Return the job because of which this one cannot run; empty if there is none."""
        if job.kind is JobKind.FINAL:
            return ""
        return next((self._trouble[name] for name in job.after if name in self._trouble), "")

    def _log(self, job: Job, task: TaskStatus) -> str:
        path = self._layout.log(job.name, max(1, task.attempt), task.task)
        return path.relative_to(self._layout.root).as_posix()


def _is_being_submitted(layout: ExecutionLayout) -> bool:
    from deepforge_hpc.submit.orphans import is_being_submitted

    return is_being_submitted(layout)


def _speaker(tasks: tuple[TaskStatus, ...], state: State) -> TaskStatus:
    """Return the task that tells most about the whole: the first in its state."""
    return next((task for task in tasks if task.state == state.value), tasks[0])


def _reason(first: TaskStatus, tasks: tuple[TaskStatus, ...]) -> str:
    """Return why, and for which task of an array if not for all."""
    if not first.reason or all(task.reason == first.reason for task in tasks):
        return first.reason
    return f"task {first.task}: {first.reason}"


def _detail(state: State, tasks: tuple[TaskStatus, ...]) -> str:
    if len(tasks) == 1:
        return state.value
    done = sum(State(task.state).is_success for task in tasks)
    if state in {State.RUNNING, State.PENDING, State.PUBLISHING, State.HELD}:
        return f"{state.value} {done}/{len(tasks)}"
    same = sum(task.state == state.value for task in tasks)
    return state.value if same == len(tasks) else f"{state.value} {same}/{len(tasks)}"


def _outputs(marker: dict[str, object] | None) -> tuple[OutputStatus, ...]:
    entries = (marker or {}).get("outputs")
    if not isinstance(entries, dict):
        return ()
    return tuple(
        OutputStatus(
            name=str(name),
            path=str(entry.get("path", "")),
            format=str(entry.get("format", "")),
            sha256=str(entry.get("sha256", "")),
            size=int(entry.get("size") or 0),
        )
        for name, entry in sorted(entries.items())
        if isinstance(entry, dict)
    )


def _whole(
    layout: ExecutionLayout,
    info: ExecutionInfo,
    jobs: tuple[JobStatus, ...],
    history: Journal,
    warnings: list[str],
) -> ExecutionStatus:
    state = combine(State(job.state) for job in jobs if job.name != FINAL_JOB)
    last = history.last
    at_home = is_at_home(layout, info)
    is_submitting = last is not None and last.is_held and _is_being_submitted(layout)
    is_orphaned = last is not None and last.is_held and not is_submitting
    if not at_home:
        warnings.append(f"This is a copy: {info.id} was created at {info.home}.")
    elif last is not None and is_orphaned:
        warnings.append(
            f"The submission broke off: {len(last.ids)} of {len(last.jobs)} jobs are known to be "
            "queued, held, and nothing runs."
        )
    elif last is not None and last.refused:
        warnings.append(f"The submission was refused, nothing of it runs: {last.refused}")
    return ExecutionStatus(
        id=info.id,
        path=str(layout.root),
        pipeline=info.pipeline,
        site=info.site,
        scheduler=info.scheduler,
        name=info.name,
        note=info.note,
        created=info.created,
        state=state.value,
        attempt=last.number if last else 0,
        jobs=jobs,
        warnings=tuple(warnings),
        next=_next(
            info, state, jobs, is_orphaned=is_orphaned, is_submitting=is_submitting, at_home=at_home
        ),
    )


def _next(
    info: ExecutionInfo,
    state: State,
    jobs: tuple[JobStatus, ...],
    *,
    is_orphaned: bool,
    is_submitting: bool,
    at_home: bool,
) -> str:
    """Return the command that a person would type next; empty if there is nothing to do."""
    if not at_home or state.is_success:
        return ""
    stopped = any(job.state == State.HELD.value for job in jobs) and not is_submitting
    if is_orphaned or stopped or state is State.PLANNED:
        return f"dfh resume {info.id}"
    if any(job.state in LIVE for job in jobs if job.name != FINAL_JOB):
        return f"dfh status {info.id} --watch"
    ends = [End(job.name, State(job.state), job.again) for job in jobs]
    return next_step(ends, identity=info.id, submit=submit_command(asdict(info)))
