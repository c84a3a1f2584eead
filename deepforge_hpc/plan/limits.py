"""What a queue refuses, and what would be right instead. Pure.

A limit that is unknown refuses nothing: `unknowns` names it for a warning.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import NamedTuple

from deepforge_hpc.plan.facts import SURELY_FREE, Facts, holds, inside, node_of, usable_cores
from deepforge_hpc.runtime.base.plan import Resources
from deepforge_hpc.site.model import SiteSpec
from deepforge_hpc.site.queue import JobLimit, NodeType, Queue
from deepforge_hpc.site.unknown import ANY, UNKNOWN, Count, Range, known
from deepforge_hpc.units import format_duration

_CORES, _MEMORY, _GPUS = "cores of a node", "memory of a node", "GPUs of a node"
_GRES, _THREADS = "gres of a node", "threads, as more CPUs than cores are asked for"
OF_NODE = {
    _CORES: "cores",
    _MEMORY: "mem",
    _GPUS: "gpus",
    _GRES: "gres",
    _THREADS: "threads_per_core",
}
"""Limits that are told of the kind of node, with their keys there; the others of the queue."""


class QueueRequest(NamedTuple):
    """What a job wants of a queue."""

    resources: Resources
    launch: str = "none"
    has_dependencies: bool = False
    queue: str = ""
    """The one that the user named; empty: the site's order decides."""
    full: frozenset[str] = frozenset()
    """Queues that have no room for all jobs of the pipeline, and are taken by name alone."""


@dataclass(frozen=True, slots=True)
class Change:
    """What to write under `resources:`."""

    key: str
    """What it changes; for a product, `nodes * cpus_per_task`."""
    text: str
    distance: float = 0.0
    """How far it is from what was asked for: the logarithm of the ratio, so that units can be
    compared. 0: the size stays."""


@dataclass(frozen=True, slots=True)
class Excess:
    """Something that a queue does not take."""

    reason: str
    changes: tuple[Change, ...] = ()
    """Alternatives: any of them would do."""


def excesses(site: SiteSpec, queue: Queue, request: QueueRequest) -> Iterator[Excess]:
    """Yield all for which a queue would refuse a job."""
    size = request.resources
    if queue.name in request.full and queue.name != request.queue:
        yield Excess(f"takes {most_jobs(queue)} job(s) at once, the pipeline has more")
    cpus = size.nodes * size.ntasks_per_node * size.cpus_per_task
    nodes = _within(queue.nodes, queue.at_once.nodes)
    yield from _beyond("nodes", size.nodes, nodes, "nodes")
    yield from _gpus(site, queue, size)
    yield from _cores(site, queue, request)
    within = _within(queue.cpus, queue.at_once.cpus)
    yield from _beyond("cores", cpus, within, "nodes * ntasks_per_node * cpus_per_task")
    multiple = known(queue.cpu_multiple)
    if multiple and cpus % multiple:
        up = -(-cpus // multiple) * multiple
        reason = f"{cpus} cores, only multiples of {multiple}"
        yield Excess(reason, (_to("nodes * ntasks_per_node * cpus_per_task", cpus, up),))
    yield from _memory(site, queue, size)
    node = node_of(site, queue)
    yield from _gres(node, size)
    if size.node_local and node is not None and node.local is False:
        change = Change("node_local", "node_local: false", distance=1.0)
        yield Excess("its nodes have no disk of their own", (change,))
    yield from _time(queue, request)
    if request.has_dependencies and queue.chaining == "forbidden":
        yield Excess("takes no job that waits for others")


def _to(key: str, asked: int, legal: int, shown: str = ": {}") -> Change:
    return Change(key, key + shown.format(legal), abs(math.log((legal + 1) / (asked + 1))))


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
        _CORES: cpus > 1 and node.cores is UNKNOWN and cores_of_node(site, queue, request) is None,
        _MEMORY: mib is not None
        and UNKNOWN in (node.mem_mib, node.mem_requestable_mib)
        and (most is None or (most == known(node.mem_mib) and mib > most * SURELY_FREE / 100)),
        _GPUS: size.gpus_per_node > 0
        and node.gpus is UNKNOWN
        and gpus_of_node(site, queue) is None,
        _THREADS: node.threads_per_core is UNKNOWN
        and cpus > (usable_cores(node, surely=True) or cpus)
        and known(queue.cpus_per_node.max) is None,
        _GRES: bool(size.gres) and known(node.gres) is None,
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


def _nearest(value: int, limits: Range) -> int:
    low, high = known(limits.min), known(limits.max)
    return max(low or 0, value if high is None else min(value, high))


def _beyond(
    unit: str, value: int, limits: Range, key: str, shown: str = ": {}"
) -> Iterator[Excess]:
    low, high = known(limits.min), known(limits.max)
    if high is not None and value > high:
        yield Excess(f"{value} {unit}, at most {high}", (_to(key, value, high, shown),))
    if low is not None and value < low:
        yield Excess(f"{value} {unit}, at least {low}", (_to(key, value, low, shown),))


def _gpus(site: SiteSpec, queue: Queue, size: Resources) -> Iterator[Excess]:
    asked, key = size.gpus_per_node, "gpus_per_node"
    low = known(queue.gpus_per_node.min)
    if not asked:
        if least := max(low or 0, -(-(known(queue.gpus.min) or 0) // size.nodes)):
            yield Excess("for jobs with GPUs", (_to(key, 0, least),))
        return
    most = gpus_of_node(site, queue)
    if most == 0:
        yield Excess("has no GPUs")
        return
    yield from _beyond("GPUs a node", asked, Range(min=low, max=most), key)
    # What is left to say of all nodes, once those and the GPUs of each are as many as there can be.
    each = _nearest(asked, Range(min=low, max=most))
    nodes = _nearest(size.nodes, _within(queue.nodes, queue.at_once.nodes))
    limits = _within(queue.gpus, queue.at_once.gpus)
    low, high = known(limits.min), known(limits.max)
    if high is not None and nodes * each > high:
        ways = [_to("nodes", nodes, high // each)] if high >= each else []
        if each == asked and high >= nodes:
            ways.append(_to(key, each, high // nodes))
        yield Excess(f"{size.nodes * asked} GPUs, at most {high}", tuple(ways))
    if low is not None and nodes * each < low:
        ways = [_to("nodes", nodes, -(-low // each)), _to(key, each, -(-low // nodes))]
        yield Excess(f"{size.nodes * asked} GPUs, at least {low}", tuple(ways))


def gpus_of_node(site: SiteSpec, queue: Queue) -> int | None:
    """Return how many GPUs a job can have on a node of a queue; None: nobody knows."""
    all_nodes = _within(queue.gpus, queue.at_once.gpus)
    limits = [known(queue.gpus_per_node.max), known(all_nodes.max)]
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


def most_memory(site: SiteSpec, queue: Queue, size: Resources) -> int | None:
    """Return how many MiB a job of a size can have on each node by all limits, as far as known."""
    cpus = size.ntasks_per_node * size.cpus_per_task
    each, at_once = known(queue.mem_per_cpu.max), queue.at_once.mem
    together = known(at_once.max) if at_once is not None else None
    limits = [memory_of_node(site, queue)]
    limits += [each * cpus] if each is not None else []
    limits += [together // size.nodes] if together is not None else []
    return min((limit for limit in limits if limit is not None), default=None)


def _cores(site: SiteSpec, queue: Queue, request: QueueRequest) -> Iterator[Excess]:
    size = request.resources
    cpus = size.ntasks_per_node * size.cpus_per_task
    most = cores_of_node(site, queue, request)
    low, key = known(queue.cpus_per_node.min), "ntasks_per_node * cpus_per_task"
    if most is not None and cpus > most:
        yield Excess(f"{cpus} cores a node, at most {most}", (_to(key, cpus, most, " <= {}"),))
    if low is not None and cpus < low:
        yield Excess(f"{cpus} cores a node, at least {low}", (_to(key, cpus, low, " >= {}"),))


def _memory(site: SiteSpec, queue: Queue, size: Resources) -> Iterator[Excess]:
    asked, low = size.mem_per_node_mib, known(queue.mem_per_node.min)
    most = memory_of_node(site, queue) if asked is not None else None
    yield from _beyond(
        "MiB a node", asked or 0, Range(min=low, max=most), "mem_per_node", ": {}MiB"
    )
    cpus = size.ntasks_per_node * size.cpus_per_task
    each = -(-(asked or 0) // cpus)
    yield from _beyond("MiB a core", each, queue.mem_per_cpu, "mem_per_node / cores", " <= {}MiB")
    yield from _beyond(
        "MiB", size.nodes * (asked or 0), _within(ANY, queue.at_once.mem), "nodes * mem_per_node"
    )


def _gres(node: NodeType | None, size: Resources) -> Iterator[Excess]:
    has = known(node.gres) if node is not None else None
    for name, each in size.gres if has is not None else ():
        most = _count_of(has or {}, name)
        if most == 0:
            yield Excess(f"its nodes have no {name}")
        elif most is not None and each > most:
            change = _to(f"gres.{name}", each, most)
            yield Excess(f"{each} {name} a node, at most {most}", (change,))


def _count_of(has: Mapping[str, Count], name: str) -> int | None:
    """Return how many a node has; a name without a type stands for all types of it."""
    found = [each for kind, each in has.items() if name in (kind, kind.partition(":")[0])]
    counts = [known(each) for each in found]
    return None if None in counts else sum(count or 0 for count in counts)


def _time(queue: Queue, request: QueueRequest) -> Iterator[Excess]:
    nodes, asked = request.resources.nodes, request.resources.time_s
    if asked is None:
        return
    # Beyond the number of nodes there is no time: the nearest number that is legal has one.
    nodes = _nearest(nodes, queue.nodes)
    low, high = time_limits(queue, nodes)
    if low is not None and asked < low:
        least = format_duration(low)
        change = _to("time", asked, low, f': "{least}"')
        yield Excess(f"{format_duration(asked)}, at least {least}", (change,))
    if high is None or asked <= high:
        return
    most = format_duration(high)
    text = f"{format_duration(asked)}, at most {most}"
    if queue.tiers or known(queue.node_minutes) is not None:
        text += f" on {nodes} node(s)"
    yield Excess(text, tuple(_shorter(queue, nodes, asked, high)))


def _shorter(queue: Queue, nodes: int, asked: int, high: int) -> Iterator[Change]:
    """Yield ways to have a time that is beyond the limit."""
    if high:
        yield _to("time", asked, high, f': "{format_duration(high)}"')
    for tier in queue.tiers:
        low = known(tier.nodes.min)
        if low is not None and low > nodes and inside(low, queue.nodes):
            most = time_limits(queue, low)[1]
            if most is None or most >= asked:
                yield _to("nodes", nodes, low)
                break
    minutes = known(queue.node_minutes)
    fewer = minutes // -(-asked // 60) if minutes is not None else 0
    if 0 < fewer < nodes and inside(fewer, queue.nodes):
        yield _to("nodes", nodes, fewer)
