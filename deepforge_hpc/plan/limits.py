"""What a queue refuses, and what would be right instead. Pure.

A limit that is unknown refuses nothing: `unknowns` names it for a warning.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import TYPE_CHECKING

from deepforge_hpc.model.site import UNKNOWN, known
from deepforge_hpc.plan.facts import Facts, holds, inside, node_of, usable_cores
from deepforge_hpc.units import format_duration

if TYPE_CHECKING:
    from collections.abc import Iterator

    from deepforge_hpc.model.resources import Resources
    from deepforge_hpc.model.site import JobLimit, Queue, Range, SiteSpec


_SURELY_FREE = 0.9
"""Of what is built in; the system keeps less than the rest at every site whose number is known."""


@dataclass(frozen=True, slots=True, kw_only=True)
class QueueRequest:
    """What a job wants of a queue."""

    resources: Resources
    launch: str = "none"
    has_dependencies: bool = False
    queue: str = ""
    """The one that the user named; empty: the site's order decides."""
    full: frozenset[str] = frozenset()
    """Queues that have no room for all jobs of the pipeline, and are taken by name alone."""


@dataclass(frozen=True, slots=True)
class Excess:
    """Something that a queue does not take."""

    reason: str
    changes: tuple[str, ...] = ()
    """Alternatives: any of them would do."""


def excesses(site: SiteSpec, queue: Queue, request: QueueRequest) -> Iterator[Excess]:
    """Yield all for which a queue would refuse a job."""
    size = request.resources
    if queue.name in request.full and queue.name != request.queue:
        yield Excess(f"takes {most_jobs(queue)} job(s) at once, the pipeline has more")
    cpus = size.nodes * size.ntasks_per_node * size.cpus_per_task
    nodes = _within(queue.nodes, queue.at_once.nodes)
    yield from _beyond("nodes", size.nodes, nodes, "nodes: {}")
    yield from _gpus(site, queue, size)
    yield from _all_gpus(queue, size)
    yield from _cores(site, queue, request)
    yield from _beyond("cores", cpus, queue.cpus, "nodes * ntasks_per_node * cpus_per_task: {}")
    multiple = known(queue.cpu_multiple)
    if multiple and cpus % multiple:
        up = -(-cpus // multiple) * multiple
        reason = f"{cpus} cores, only multiples of {multiple}"
        yield Excess(reason, (f"nodes * ntasks_per_node * cpus_per_task: {up}",))
    yield from _memory(site, queue, size)
    node = node_of(site, queue)
    if size.node_local and node is not None and node.local is False:
        yield Excess("its nodes have no disk of their own", ("node_local: false",))
    yield from _time(queue, request)
    if request.has_dependencies and queue.chaining == "forbidden":
        yield Excess("takes no job that waits for others")


def most_jobs(queue: Queue) -> int | None:
    """Return how many jobs a queue takes at once, waiting or running; None: nobody says."""
    limits = (queue.jobs.any_state, queue.jobs.submitted)
    found = [known(limit.max) for limit in limits if limit is not None]
    return min((most for most in found if most is not None), default=None)


def time_limits(queue: Queue, nodes: int) -> tuple[int | None, int | None]:
    """Return the least and the greatest walltime of a job of so many nodes, as far as known."""
    found = [queue.time]
    for tier in queue.tiers:
        if inside(nodes, tier.nodes):
            found.append(tier.time)
            break
    lows = [low for low in (known(item.min) for item in found) if low is not None]
    highs = [high for high in (known(item.max) for item in found) if high is not None]
    minutes = known(queue.node_minutes)
    if minutes is not None:
        highs.append(minutes // nodes * 60)
    return max(lows, default=None), min(highs, default=None)


def unknowns(site: SiteSpec, queue: Queue, request: QueueRequest) -> tuple[str, ...]:
    """Return the limits that nobody has told and that this job may be beyond."""
    size = request.resources
    tier = next((tier for tier in queue.tiers if inside(size.nodes, tier.nodes)), None)
    time = queue.time if tier is None or tier.time.max is None else tier.time
    asked = {
        "nodes": size.nodes > 1 and _is_unknown(queue.nodes),
        "gpus": size.gpus_per_node > 0 and _is_unknown(queue.gpus),
        "gpus_per_node": size.gpus_per_node > 0 and _is_unknown(queue.gpus_per_node),
        "cpus": _is_unknown(queue.cpus),
        "cpus_per_node": _is_unknown(queue.cpus_per_node),
        "cpu_multiple": queue.cpu_multiple is UNKNOWN,
        "mem_per_node": size.mem_per_node_mib is not None and _is_unknown(queue.mem_per_node),
        "time": size.time_s is not None and _is_unknown(time),
        "node_minutes": queue.node_minutes is UNKNOWN,
        "chaining": request.has_dependencies and queue.chaining is UNKNOWN,
        **_unknown_of_node(site, queue, request),
    }
    return tuple(name for name, is_open in asked.items() if is_open)


def _unknown_of_node(site: SiteSpec, queue: Queue, request: QueueRequest) -> dict[str, bool]:
    """Tell of which facts of a node nothing limits what the job asks of them."""
    size, node = request.resources, node_of(site, queue)
    if node is None:
        return {}
    cpus = size.ntasks_per_node * size.cpus_per_task
    mib, most = size.mem_per_node_mib, memory_of_node(site, queue)
    return {
        "cores of a node": cpus > 1
        and node.cores is UNKNOWN
        and cores_of_node(site, queue, request) is None,
        "memory of a node": mib is not None
        and UNKNOWN in (node.mem_mib, node.mem_requestable_mib)
        and (most is None or (most == known(node.mem_mib) and mib > most * _SURELY_FREE)),
        "GPUs of a node": size.gpus_per_node > 0
        and node.gpus is UNKNOWN
        and gpus_of_node(site, queue) is None,
    }


def _is_unknown(limits: Range) -> bool:
    return UNKNOWN in (limits.min, limits.max)


def _within(limits: Range, at_once: JobLimit | None) -> Range:
    """Return the limits of one job, which can have no more than all jobs together."""
    most = known(at_once.max) if at_once is not None else None
    high = known(limits.max)
    if most is None or (high is not None and high <= most):
        return limits
    return dataclasses.replace(limits, max=most)


def _beyond(unit: str, value: int, limits: Range, change: str) -> Iterator[Excess]:
    low, high = known(limits.min), known(limits.max)
    if high is not None and value > high:
        yield Excess(f"{value} {unit}, at most {high}", (change.format(high),))
    if low is not None and value < low:
        yield Excess(f"{value} {unit}, at least {low}", (change.format(low),))


def _gpus(site: SiteSpec, queue: Queue, size: Resources) -> Iterator[Excess]:
    least = max(known(queue.gpus_per_node.min) or 0, -(-(known(queue.gpus.min) or 0) // size.nodes))
    if not size.gpus_per_node:
        if least:
            yield Excess("for jobs with GPUs", (f"gpus_per_node: {least}",))
        return
    most = gpus_of_node(site, queue)
    if most is not None and size.gpus_per_node > most:
        changes = (f"gpus_per_node: {most}",) if most else ()
        text = f"{size.gpus_per_node} GPUs a node, at most {most}"
        yield Excess(text if most else "has no GPUs", changes)
    low = known(queue.gpus_per_node.min)
    if low is not None and size.gpus_per_node < low:
        yield Excess(
            f"{size.gpus_per_node} GPUs a node, at least {low}", (f"gpus_per_node: {low}",)
        )


def _all_gpus(queue: Queue, size: Resources) -> Iterator[Excess]:
    """Yield what is wrong with the GPUs of the whole job: other nodes help, or GPUs a node."""
    each, gpus = size.gpus_per_node, size.nodes * size.gpus_per_node
    limits = _within(queue.gpus, queue.at_once.gpus)
    low, high = known(limits.min), known(limits.max)
    if each and high is not None and gpus > high:
        fewer = [("nodes", high // each), ("gpus_per_node", high // size.nodes)]
        ways = [f"{name}: {n}" for name, n in fewer if n]
        yield Excess(f"{gpus} GPUs, at most {high}", tuple(ways))
    if each and low is not None and gpus < low:
        ways = [f"nodes: {-(-low // each)}", f"gpus_per_node: {-(-low // size.nodes)}"]
        yield Excess(f"{gpus} GPUs, at least {low}", tuple(ways))


def gpus_of_node(site: SiteSpec, queue: Queue) -> int | None:
    """Return how many GPUs a job can have on a node of a queue; None: nobody knows."""
    limits = [known(queue.gpus_per_node.max), known(queue.gpus.max)]
    node = node_of(site, queue)
    if node is not None:
        # A kind of node that is described, without a word on GPUs, has none.
        limits.append(0 if node.gpus is None else known(node.gpus))
    return min((limit for limit in limits if limit is not None), default=None)


def cores_of_node(site: SiteSpec, queue: Queue, request: QueueRequest) -> int | None:
    """Return how many cores a job can have on a node of a queue; None: nobody knows."""
    node = node_of(site, queue)
    limits = [known(queue.cpus_per_node.max)]
    if node is not None:
        facts = Facts(resources=request.resources, launch=request.launch, queue=queue, node=node)
        frees = any(
            rule.directive == ("core-spec", "0") and holds(rule.when, facts)
            for rule in site.request.extra
        )
        limits.append(usable_cores(node, all_cores=frees))
    return min((limit for limit in limits if limit is not None), default=None)


def memory_of_node(site: SiteSpec, queue: Queue) -> int | None:
    """Return how many MiB a job can have on a node of a queue; None: nobody knows."""
    node = node_of(site, queue)
    most = known(queue.mem_per_node.max)
    if most is None and node is not None:
        most = known(node.mem_requestable_mib) or known(node.mem_mib)
    return most


def _cores(site: SiteSpec, queue: Queue, request: QueueRequest) -> Iterator[Excess]:
    size = request.resources
    cpus = size.ntasks_per_node * size.cpus_per_task
    most = cores_of_node(site, queue, request)
    low = known(queue.cpus_per_node.min)
    if most is not None and cpus > most:
        yield Excess(
            f"{cpus} cores a node, at most {most}", (f"ntasks_per_node * cpus_per_task <= {most}",)
        )
    if low is not None and cpus < low:
        yield Excess(
            f"{cpus} cores a node, at least {low}", (f"ntasks_per_node * cpus_per_task >= {low}",)
        )


def _memory(site: SiteSpec, queue: Queue, size: Resources) -> Iterator[Excess]:
    mib, low = size.mem_per_node_mib, known(queue.mem_per_node.min)
    most = memory_of_node(site, queue)
    if mib is not None and most is not None and mib > most:
        yield Excess(f"{mib} MiB a node, at most {most}", (f"mem_per_node: {most}MiB",))
    if low is not None and (mib or 0) < low:
        yield Excess(f"{mib or 0} MiB a node, at least {low}", (f"mem_per_node: {low}MiB",))


def _time(queue: Queue, request: QueueRequest) -> Iterator[Excess]:
    nodes, asked = request.resources.nodes, request.resources.time_s
    if asked is None:
        return
    # Beyond the number of nodes there is no time: the nearest number that is legal has one.
    low, high = known(queue.nodes.min), known(queue.nodes.max)
    nodes = max(low or 1, nodes if high is None else min(nodes, high))
    low, high = time_limits(queue, nodes)
    if low is not None and asked < low:
        least = format_duration(low)
        yield Excess(f"{format_duration(asked)}, at least {least}", (f'time: "{least}"',))
    if high is None or asked <= high:
        return
    most = format_duration(high)
    text = f"{format_duration(asked)}, at most {most}"
    if queue.tiers or known(queue.node_minutes) is not None:
        text += f" on {nodes} node(s)"
    yield Excess(text, tuple(_shorter(queue, nodes, asked, high)))


def _shorter(queue: Queue, nodes: int, asked: int, high: int) -> Iterator[str]:
    """Yield ways to have a time that is beyond the limit."""
    if high:
        segments = -(-asked // high)
        can_chain = queue.chaining != "forbidden"
        chain = f" (a chain of {segments} such jobs is as long)" if can_chain else ""
        yield f'time: "{format_duration(high)}"{chain}'
    for tier in queue.tiers:
        low = known(tier.nodes.min)
        if low is not None and low > nodes and inside(low, queue.nodes):
            most = time_limits(queue, low)[1]
            if most is None or most >= asked:
                yield f"nodes: {low}"
                break
    minutes = known(queue.node_minutes)
    fewer = minutes // -(-asked // 60) if minutes is not None else 0
    if 0 < fewer < nodes and inside(fewer, queue.nodes):
        yield f"nodes: {fewer}"
