"""Which jobs and array tasks are to be submitted: what has no success marker."""

from __future__ import annotations

from collections.abc import Container, Sequence
from dataclasses import dataclass

from deepforge_hpc.runtime.base.plan import Job, JobKind, Plan
from deepforge_hpc.runtime.state.assemble import build
from deepforge_hpc.runtime.state.read import Files, Key


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


def select(plan: Plan, files: Files) -> tuple[Selected, ...]:
    """Return what has not succeeded, in the plan's order; empty if there is nothing to do."""
    current = build(files, None, now=0)
    jobs = {job.name: job for job in current.jobs}
    done = {
        (job.name, unit.task) for job in current.jobs for unit in job.units if unit.state.is_success
    }
    missing = without(plan, done)
    only_final = [item.job.kind for item in missing] == [JobKind.FINAL]
    return () if only_final and jobs[missing[0].job.name].state.is_success else missing


def without(plan: Plan, done: Container[Key]) -> tuple[Selected, ...]:
    """Return the jobs of a plan, in its order, but for the jobs and tasks that are done.

    The tasks of an array are not needed once its gather job has published their parts. The final
    job closes every attempt.
    """
    needless = {
        job.operation
        for job in plan.jobs
        if job.kind is JobKind.GATHER and (job.name, None) in done
    }
    chosen: list[Selected] = []
    for job in plan.jobs:
        if job.kind is JobKind.ARRAY:
            if job.operation in needless:
                continue
            tasks = tuple(task for task in range(job.tasks) if (job.name, task) not in done)
            if tasks:
                chosen.append(Selected(job=job, tasks=None if len(tasks) == job.tasks else tasks))
        elif job.kind is JobKind.FINAL or (job.name, None) not in done:
            chosen.append(Selected(job=job))
    return tuple(chosen)


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
