"""Capacity: is there room for all jobs of a pipeline at once? All or nothing is submitted. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass

from deepforge_hpc.errors import InvalidInputError, NoResourcesError
from deepforge_hpc.plan.limits import QueueRequest, most_jobs
from deepforge_hpc.plan.queues import choose_queue
from deepforge_hpc.runtime.base.notice import Notice
from deepforge_hpc.runtime.base.plan import Job, JobKind, Plan
from deepforge_hpc.runtime.base.text import listed
from deepforge_hpc.site.model import SiteSpec
from deepforge_hpc.site.unknown import UNKNOWN, known


@dataclass(frozen=True, slots=True, kw_only=True)
class Overload:
    """More jobs than a queue, or the whole site, takes at once."""

    queue: str
    """Empty: the whole site."""
    most: int
    jobs: Mapping[str, int]
    """Job -> as how many it counts."""

    @property
    def count(self) -> int:
        """Return how many there are."""
        return sum(self.jobs.values())


def with_room(
    site: SiteSpec,
    build: Callable[[frozenset[str]], Plan],
    sent: Callable[[Plan], Mapping[str, int]] | None = None,
) -> Plan:
    """Return a plan whose queues hold all its jobs: one that does not is passed over for others.

    `build` makes a plan that passes over some queues; `sent` as in `resolve`. Raises
    NoResourcesError for the queues of the first choice if no others hold all.
    """
    full: frozenset[str] = frozenset()
    refused: NoResourcesError | None = None
    while True:
        try:
            plan = build(full)
        except (NoResourcesError, InvalidInputError):
            if refused is None:
                raise
            raise refused from None
        counts: Mapping[str, int] = {job.name: job.tasks for job in plan.jobs}
        found = overloads(site, plan.jobs, counts)
        if found and sent is not None:
            counts = sent(plan)
            found = overloads(site, plan.jobs, counts)
        if not found:
            doubts = overloads(site, plan.jobs, counts, doubtful=True)
            notices = [_doubt(site, one) for one in doubts]
            return plan._replace(warnings=(*plan.warnings, *notices)) if notices else plan
        refused = refused or no_room(site, plan.jobs, found)
        queues = {one.queue for one in found}
        if not queues.isdisjoint({"", *full}):
            raise refused
        full |= queues


def overloads(
    site: SiteSpec, jobs: Sequence[Job], sent: Mapping[str, int], *, doubtful: bool = False
) -> list[Overload]:
    """Return where there are too many.

    `sent`: job -> how many of it, or of its tasks, are submitted. An array counts as the site says,
    else task by task, as Slurm does by itself. Where that is `unknown` it counts as one job;
    `doubtful`: task by task.
    """
    limits = {queue.name: most_jobs(queue) for queue in site.queues}
    limits[""] = known(site.submit.max_queued)
    by_tasks = site.submit.array_counts_as in ("tasks", None) or (
        doubtful and site.submit.array_counts_as is UNKNOWN
    )
    found: dict[str, Counter[str]] = {name: Counter() for name in limits}
    for job in jobs:
        if count := sent[job.name]:
            for name in {*_queues(job, found), ""}:
                found[name][job.name] = count if by_tasks else 1
    return [
        Overload(queue=name, most=most, jobs=found[name])
        for name, most in limits.items()
        if most is not None and found[name].total() > most
    ]


def no_room(site: SiteSpec, jobs: Sequence[Job], found: Sequence[Overload]) -> NoResourcesError:
    """Return the error that says where there is no room, for what, and the least changes."""
    parts = []
    for overload in found:
        names = [name if n == 1 else f"{name} ({n} tasks)" for name, n in overload.jobs.items()]
        parts.append(f"{takes(site, overload)}: {listed(names)}")
    ways = list(_ways(site, jobs, found[0])) if len(found) == 1 else []
    ways.append("or run a part of it first (--until OPERATION): what has succeeded is reused")
    return NoResourcesError("\n".join(parts), f"Nearest: {'; '.join(ways).removeprefix('or ')}.")


def _doubt(site: SiteSpec, overload: Overload) -> Notice:
    text = f"{takes(site, overload)}, if each task of an array counts"
    return Notice("too_many_jobs", text, overload.queue, keys=("submit.array_counts_as",))


def takes(site: SiteSpec, overload: Overload) -> str:
    """Return a limit and what is beyond it."""
    where = f"queue {overload.queue} of {site.name}" if overload.queue else f"site {site.name}"
    return f"{where} takes {overload.most} job(s) at once, not {overload.count}"


def _ways(site: SiteSpec, jobs: Sequence[Job], overload: Overload) -> Iterator[str]:
    """Yield what would make an overload small enough, each for itself."""
    for job in jobs:
        shards = overload.jobs.get(job.name, 0) - (overload.count - overload.most)
        if job.kind is JobKind.ARRAY and shards > 0:
            yield f"map: {{shards: {shards}}} for {job.operation}"
            break
    # Our own jobs go where they can; only those of the user can be sent elsewhere by name.
    movable = [
        job
        for job in jobs
        if job.name in overload.jobs and job.kind in (JobKind.RUN, JobKind.ARRAY) and overload.queue
    ]
    moved = sum(overload.jobs[job.name] for job in movable)
    if not movable or overload.count - moved > overload.most:
        return
    names = {queue.name for queue in site.queues}
    there = Counter(name for job in jobs for name in _queues(job, names))
    for queue in site.queues:
        most = most_jobs(queue)
        if queue.name == overload.queue or (most is not None and there[queue.name] + moved > most):
            continue
        if all(choose_queue(site, _request(job, queue.name)).queue for job in movable):
            yield f"queue: {queue.name} for {listed(job.operation for job in movable)}"
            return


def _queues(job: Job, names: Collection[str]) -> list[str]:
    """Return the queues that a job counts in: each of several, for it may go to any."""
    return [job.queue] if job.queue in names else job.queue.split(",")


def _request(job: Job, queue: str) -> QueueRequest:
    return QueueRequest(
        resources=job.resources,
        launch=job.launch.name,
        has_dependencies=bool(job.after),
        queue=queue,
    )
