"""`dfh logs`."""

from __future__ import annotations

import re
import time
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import click

from deepforge_hpc.api import logs, manage
from deepforge_hpc.api.logs import LogFile, read_on
from deepforge_hpc.cli.options import execution_argument, output_options, the_execution
from deepforge_hpc.cli.views.display import Verbatim
from deepforge_hpc.errors import UsageError
from deepforge_hpc.runtime.base.states import State
from deepforge_hpc.runtime.base.text import clean, title

if TYPE_CHECKING:
    from collections.abc import Container

    from deepforge_hpc.api.find import FoundExecution
    from deepforge_hpc.cli.views.display import Display
    from deepforge_hpc.runtime.state.status import ExecutionStatus, UnitStatus

T = TypeVar("T")

_TASK = re.compile(r"(.+)\[(\d{1,9})\]")
"""A task of an array, as it is printed: `sum[3]`."""
_POLL_S = 0.5
_ASK_S = 5.0
_INTEREST = (State.FAILED, State.INTERRUPTED, State.RUNNING, State.UPSTREAM_FAILED)
"""Whose log is shown if no job is named: the first of these states that a job has."""


@click.command("logs")
@execution_argument
@click.argument("job", required=False)
@click.option("--task", type=click.IntRange(0), help="Task of a job array.")
@click.option("--attempt", type=click.IntRange(0), help="Attempt; the newest if not given.")
@click.option("--rank", type=click.IntRange(0), help="What one rank printed.")
@click.option("-f", "--follow", is_flag=True, help="Go on until the job has ended.")
@click.option("-n", "--lines", type=click.IntRange(1), default=100, show_default=True)
@output_options
def command(
    display: Display,
    execution: str,
    job: str | None,
    task: int | None,
    attempt: int | None,
    rank: int | None,
    *,
    follow: bool,
    lines: int,
) -> None:
    """Show what a job printed.

    Without JOB, of those that have a log: the job that failed, else one that runs, else the last
    that ended. EXECUTION is an id, its beginning or number, a path, or `latest` (the default).

    \b
    Example:
      dfh logs redshift-0007 train --follow
    """
    if follow and display.as_json:
        raise UsageError("--follow prints text as it comes", "Leave out --json.")
    found = the_execution(display, execution)
    current = manage.status(found, ask_scheduler=False)
    asked = task
    job, task = _choose(current, found, job, task)
    if follow:
        current = _await_log(display, found, job, task, attempt=attempt, rank=rank)
    _require_log(current, found, job, task)
    log = logs.read_log(found.layout, job, task=task, attempt=attempt, rank=rank, lines=lines)
    name = job if task is None else f"{job}[{task}]"
    display.talk(f"{found.id} {name}, attempt {log.attempt}: {log.path}")
    if task != asked:
        display.talk("(one task of an array; --task N shows another)")
    if not log.is_whole:
        display.talk(f"(the last {len(log.lines)} lines)")
    display.result(log.to_dict(), (_as_written(line) for line in log.lines))
    if follow:
        _follow(display, found, log)


def _as_written(line: str) -> str:
    """Return a line as the job wrote it, but for what dfh itself said there: its steps do here."""
    return line if line.startswith("dfh: ") else Verbatim(line)


def _await_log(
    display: Display,
    found: FoundExecution,
    job: str,
    task: int | None,
    *,
    attempt: int | None,
    rank: int | None,
) -> ExecutionStatus:
    """Wait until there is a log of the attempt that is queued, or none will come."""
    ask_s = max(_ASK_S, manage.least_pause_s(found))
    is_said = False
    while True:
        current = manage.status(found)
        unit = _unit(current, job, task)

        def has_log(number: int = attempt or unit.attempt) -> bool:
            return number in logs.available(found.layout, job, task=task, rank=rank)

        if unit.is_over or unit.state is State.UNKNOWN or has_log():
            return current
        if not is_said:
            display.talk(f"{found.id} {title(job, task)} is {unit.state}: waiting for its log")
            is_said = True
        until = time.monotonic() + ask_s
        while time.monotonic() < until and not has_log():
            time.sleep(_POLL_S)


def _unit(current: ExecutionStatus, job: str, task: int | None) -> UnitStatus:
    status = next(item for item in current.jobs if item.name == job)
    return next((unit for unit in status.units if unit.task == task), status.units[0])


def _require_log(
    current: ExecutionStatus, found: FoundExecution, job: str, task: int | None
) -> None:
    """Raise UsageError for a job that left no log here, and will not: it says where to look."""
    unit = _unit(current, job, task)
    if logs.available(found.layout, job, task=task):
        return
    if unit.reused_from:
        made, is_there = logs.made_in(found, job, task)
        execution = made.execution if made else unit.reused_from
        message = f"{found.id}: {job} did not run here, its results are those of {execution}"
        if made is None or not is_there:
            raise UsageError(message, f"Its log was removed with {execution}.")
        of_task = "" if made.task is None else f" --task {made.task}"
        raise UsageError(message, f"Its log: dfh logs {execution} {made.job}{of_task}")
    if unit.state.is_final or unit.state is State.UNKNOWN:
        what = "It has ended without one" if unit.started else "It never ran"
        if unit.state is State.UNKNOWN:
            what = "Nobody knows whether it ran"
        message = f"{found.id}: {title(job, task)} has no log"
        raise UsageError(message, f"{what}: dfh status {found.id} tells why.")


def _choose(
    current: ExecutionStatus, found: FoundExecution, job: str | None, task: int | None
) -> tuple[str, int | None]:
    """Return the job and the array task whose log is wanted: if there is a choice, one that is."""
    jobs = {item.name: item for item in current.jobs}
    if task is None and job not in jobs and (printed := _TASK.fullmatch(job or "")):
        job, task = printed[1], int(printed[2])
    if job is None:
        states = {name: item.state for name, item in jobs.items()}
        job = _most_interesting(states, [k for k in jobs if logs.by_task(found.layout, k)])
    if job not in jobs:
        raise UsageError(f"{current.id}: there is no job {job!r}", f"Its jobs: {', '.join(jobs)}.")
    tasks = {item.task: item.state for item in jobs[job].tasks}
    if tasks and task is None:
        task = _most_interesting(tasks, logs.by_task(found.layout, job))
    if task is not None and task not in tasks:
        message = f"{current.id}: {job} has no task {task}"
        hint = f"Its tasks: 0 to {len(tasks) - 1}." if tasks else "It is not a job array."
        raise UsageError(message, hint)
    return job, task


def _most_interesting(states: dict[T, State], logged: Container[object]) -> T:
    states = {name: state for name, state in states.items() if name in logged} or states
    for wanted in _INTEREST:
        for name, state in states.items():
            if state is wanted:
                return name
    ended = [name for name, state in states.items() if state.is_final and name != "_final"]
    return ended[-1] if ended else next(iter(states))


def _follow(display: Display, found: FoundExecution, log: LogFile) -> None:
    offset, next_question = log.offset, time.monotonic()
    ask_s = max(_ASK_S, manage.least_pause_s(found))
    while True:
        # The job's own files say when it ends; only one that was killed leaves that to others.
        ask = time.monotonic() >= next_question
        is_over = _is_over(found, log, ask_scheduler=ask)
        if ask:
            next_question = time.monotonic() + ask_s
        text, offset = read_on(Path(log.path), offset, is_complete=is_over)
        if text:
            display.write(clean(text))
        elif is_over:
            return
        else:
            time.sleep(_POLL_S)


def _is_over(found: FoundExecution, log: LogFile, *, ask_scheduler: bool) -> bool:
    current = manage.status(found, ask_scheduler=ask_scheduler)
    return _unit(current, log.job, log.task).is_over
