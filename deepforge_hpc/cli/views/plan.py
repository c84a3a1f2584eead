"""How plans and records look as text: lines for `Display`, nothing is printed here."""

from __future__ import annotations

from collections.abc import Iterator

from deepforge_hpc.api.pipelines import CheckedPipeline
from deepforge_hpc.cli.views.display import listing
from deepforge_hpc.runtime.base.plan import Job, Plan
from deepforge_hpc.runtime.base.text import count, listed
from deepforge_hpc.units import format_duration


def checked_lines(checked: CheckedPipeline) -> Iterator[str]:
    """Yield what `dfh check` says."""
    site = f" for site {checked.site}" if checked.site else ""
    yield (
        f"{checked.path}: pipeline {checked.pipeline} is sound{site}:"
        f" {count(len(checked.operations), 'operation')}, {count(len(checked.inputs), 'input')}"
    )


def plan_lines(plan: Plan, *, origins: bool) -> Iterator[str]:
    """Yield the table of jobs, then the origins of the values if they are wanted."""
    yield f"{plan.pipeline} on {plan.site} ({plan.scheduler})"
    yield ""
    yield from listing(_JOBS, plan.jobs)
    if origins:
        yield ""
        yield from listing(_ORIGINS, plan.origins)


def _size(job: Job) -> str:
    resources = job.resources
    parts = [count(resources.nodes, "node")]
    if resources.world_size > 1:
        parts.append(f"{resources.world_size} ranks")
    parts.append(count(resources.cpus_per_task, "cpu"))
    if resources.gpus_per_node:
        parts.append(count(resources.gpus_per_node, "gpu"))
        if resources.ntasks_per_node > 1 and job.launch.argv:
            sees = {"own": "a rank sees its own", "all": "a rank sees all"}
            parts[-1] += f" ({sees.get(job.launch.gpu_visibility, '')})"
    if resources.mem_per_node_mib:
        parts.append(f"{resources.mem_per_node_mib} MiB")
    if resources.node_local:
        parts.append("disk of its own")
    times = f"{count(job.tasks, 'task')} of " if job.kind.value == "array" else ""
    return times + " x ".join(parts[:1]) + ("".join(f", {part}" for part in parts[1:]))


def _time(job: Job) -> str:
    seconds = job.resources.time_s
    return "" if seconds is None else format_duration(seconds)


_JOBS = (
    ("JOB", "name"),
    ("QUEUE", "queue"),
    ("SIZE", _size),
    ("TIME", _time),
    ("AFTER", lambda job: listed(job.after)),
)
_ORIGINS = (("VALUE OF", "key"), ("IS", "value"), ("FROM", "source"))
