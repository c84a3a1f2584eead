"""Which jobs and array tasks are to be submitted: what has no success marker."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from deepforge_hpc.model.plan import Job, JobKind
from deepforge_hpc.runtime.base.files import read_json
from deepforge_hpc.runtime.base.states import State
from deepforge_hpc.runtime.state import marker

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from deepforge_hpc.model.plan import Plan
    from deepforge_hpc.runtime.base.layout import ExecutionLayout, JobLayout


@dataclass(frozen=True, slots=True, kw_only=True)
class Selected:
    """A job to submit."""

    job: Job
    tasks: tuple[int, ...] | None = None
    """Those of an array's tasks that are to run, in order; None: it is no array, or all of them."""

    @property
    def array(self) -> str:
        """Return the array in the scheduler's form, `0-7` or `3,5`; empty for a single job."""
        if self.job.kind is not JobKind.ARRAY:
            return ""
        if self.tasks is None:
            return f"0-{self.job.tasks - 1}"
        return ",".join(str(task) for task in self.tasks)


def select(plan: Plan, layout: ExecutionLayout) -> tuple[Selected, ...]:
    """Return what has not succeeded, in the plan's order; empty if there is nothing to do."""
    missing = without(plan, lambda job, task: has_succeeded(layout.job(job, task)))
    if [item.job.kind for item in missing] == [JobKind.FINAL] and _has_closed(
        layout.job(missing[0].job.name)
    ):
        return ()
    return missing


def without(plan: Plan, is_done: Callable[[str, int | None], bool]) -> tuple[Selected, ...]:
    """Return the jobs of a plan, in its order, but for the jobs and tasks that are done.

    The tasks of an array are not needed once its gather job has published their parts. The final
    job closes every attempt.
    """
    needless = {
        job.operation for job in plan.jobs if job.kind is JobKind.GATHER and is_done(job.name, None)
    }
    chosen: list[Selected] = []
    for job in plan.jobs:
        if job.kind is JobKind.ARRAY:
            if job.operation in needless:
                continue
            tasks = tuple(task for task in range(job.tasks) if not is_done(job.name, task))
            if tasks:
                chosen.append(Selected(job=job, tasks=None if len(tasks) == job.tasks else tasks))
        elif job.kind is JobKind.FINAL or not is_done(job.name, None):
            chosen.append(Selected(job=job))
    return tuple(chosen)


def has_succeeded(folder: JobLayout) -> bool:
    """Tell whether a whole success marker is there; a damaged one is none."""
    try:
        return marker.read(folder) is not None
    except (OSError, ValueError):
        return False


def _has_closed(folder: JobLayout) -> bool:
    """Tell whether the final job has done its work; it has no outputs that a marker would name."""
    try:
        return has_succeeded(folder) or read_json(folder.state)["state"] == State.SUCCEEDED.value
    except (OSError, ValueError, KeyError):
        return False


def dependencies(selected: Sequence[Selected]) -> dict[str, tuple[str, ...]]:
    """Return for each job the jobs that it waits for, without those that have succeeded.

    The final job waits for all: the leaves of the plan may be done while others still run.
    """
    names = {item.job.name for item in selected}
    needs = {
        item.job.name: tuple(name for name in item.job.after if name in names) for item in selected
    }
    inner = {name for after in needs.values() for name in after}
    for item in selected:
        if item.job.kind is JobKind.FINAL:
            others = names - inner - {item.job.name}
            needs[item.job.name] = tuple(sorted({*needs[item.job.name], *others}))
    return needs
