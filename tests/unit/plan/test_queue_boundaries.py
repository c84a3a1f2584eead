"""Each limit of each queue of each shipped site: just inside is taken, just outside is refused."""

from __future__ import annotations

from collections import Counter

import pytest

from deepforge_hpc.paths import data_folder
from deepforge_hpc.plan.capacity import overloads
from deepforge_hpc.plan.facts import node_of
from deepforge_hpc.plan.limits import (
    Change,
    Excess,
    QueueRequest,
    cores_of_node,
    gpus_of_node,
    memory_of_node,
)
from deepforge_hpc.plan.queues import Refusal, choose_queue, no_resources, raise_to
from deepforge_hpc.runtime.base.plan import Job, JobKind, Resources
from deepforge_hpc.site.find import ANY, SHIPPED, SiteFolder, load_site
from deepforge_hpc.site.unknown import known
from deepforge_hpc.units import parse_duration

FOLDERS = [SiteFolder(SHIPPED, data_folder("site-configs"))]


def shipped():
    for path in sorted(data_folder("site-configs").glob("*.yaml")):
        found = load_site(f"{path.stem}/{ANY}", FOLDERS).spec
        names = [f"{path.stem}/{variant}" for variant in found.variants] or [path.stem]
        for name in names:
            yield load_site(name, FOLDERS).spec


def base(queue, **changes):
    """The least that a queue takes, then changed; cores follow its multiple."""
    least = raise_to(queue, Resources())
    size = least._replace(**changes)
    multiple = known(queue.cpu_multiple) or 1
    cores = size.cpus_per_task
    while size.nodes * size.ntasks_per_node * cores % multiple:
        cores += 1
    return size._replace(cpus_per_task=cores)


def limits(site, queue):
    """Yield (name of the limit, a size inside, a size outside, a word of the refusal)."""
    least = base(queue)
    for name, unit in (("nodes", "nodes,"), ("gpus_per_node", "GPU"), ("mem_per_node", "MiB")):
        bounds = getattr(queue, name)
        field = "mem_per_node_mib" if name == "mem_per_node" else name
        low, high = known(bounds.min), known(bounds.max)
        if high is not None and not (name == "nodes" and known(queue.node_minutes)):
            yield (
                f"{name}.max",
                base(queue, **{field: high}),
                base(queue, **{field: high + 1}),
                unit,
            )
        if low is not None and low > (name == "nodes"):
            yield f"{name}.min", base(queue, **{field: low}), base(queue, **{field: low - 1}), unit
    yield from limits_of_all_jobs(site, queue)
    yield from gpu_limits(site, queue)
    yield from core_limits(site, queue)
    high = memory_of_node(site, queue)
    if high is not None and known(queue.mem_per_node.max) is None:
        yield (
            "node.mem",
            base(queue, mem_per_node_mib=high),
            base(queue, mem_per_node_mib=high + 1),
            "MiB",
        )
    yield from time_limits(queue, least)


def limits_of_all_jobs(site, queue):
    """What the jobs of one user may hold together is a limit of each, where it is the lesser."""
    held, most = queue.at_once, known(queue.nodes.max)
    high = held.nodes and known(held.nodes.max)
    if high and (most is None or high < most):
        inside, outside = base(queue, nodes=high), base(queue, nodes=high + 1)
        yield "at_once.nodes", inside, outside, "nodes,"
    most = min((limit for limit in (most, high) if limit), default=None)
    gpus, each = held.gpus and known(held.gpus.max), gpus_of_node(site, queue)
    if gpus and each and (most is None or gpus // each < most):
        inside = base(queue, nodes=gpus // each, gpus_per_node=each)
        outside = base(queue, nodes=gpus // each + 1, gpus_per_node=each)
        yield "at_once.gpus", inside, outside, "GPUs, at most"


def gpu_limits(site, queue):
    most = gpus_of_node(site, queue)
    low, high = known(queue.gpus.min), known(queue.gpus.max)
    if most is not None and known(queue.gpus_per_node.max) is None:
        yield (
            "node.gpus",
            base(queue, gpus_per_node=most),
            base(queue, gpus_per_node=most + 1),
            "GPUs",
        )
    if low:
        yield "gpus.min", base(queue, gpus_per_node=low), base(queue, gpus_per_node=low - 1), "GPU"
    if high and most:
        nodes = -(-high // most)
        if nodes * most == high and known(queue.nodes.max) != nodes:
            inside = base(queue, nodes=nodes, gpus_per_node=most)
            outside = base(queue, nodes=nodes + 1, gpus_per_node=most)
            yield "gpus.max", inside, outside, "GPUs, at most"


def core_limits(site, queue):
    size = base(queue)
    request = QueueRequest(resources=size, queue=queue.name)
    most = cores_of_node(site, queue, request)
    multiple = known(queue.cpu_multiple)
    if most is not None and not multiple and known(queue.cpus.max) is None:
        fits = base(queue, cpus_per_task=most)
        yield "cores", fits, base(queue, cpus_per_task=most + 1), "cores a node"
    low = known(queue.cpus_per_node.min)
    if low is not None and low > 1:
        yield (
            "cpus_per_node.min",
            base(queue, cpus_per_task=low),
            base(queue, cpus_per_task=low - 1),
            "cores",
        )
    high = known(queue.cpus.max)
    if high is not None and not multiple:
        yield (
            "cpus.max",
            base(queue, nodes=1, cpus_per_task=high),
            base(queue, nodes=1, cpus_per_task=high + 1),
            "cores",
        )
    if multiple:
        fits = base(queue)
        yield (
            "cpu_multiple",
            fits,
            fits._replace(cpus_per_task=fits.cpus_per_task - 1),
            "multiples",
        )


def time_limits(queue, least):
    cases = [(least.nodes, queue.time)]
    for tier in queue.tiers:
        counts = {known(tier.nodes.min), known(tier.nodes.max)} - {None}
        cases += [(nodes, tier.time) for nodes in sorted(counts)]
    minutes = known(queue.node_minutes)
    if minutes:
        for nodes in {known(queue.nodes.min) or 1, known(queue.nodes.max) or 1}:
            inside = base(queue, nodes=nodes, time_s=minutes // nodes * 60)
            yield (
                f"node_minutes@{nodes}",
                inside,
                base(queue, nodes=nodes, time_s=minutes // nodes * 60 + 60),
                "at most",
            )
    for nodes, bounds in cases:
        low, high = known(bounds.min), known(bounds.max)
        if high is not None and not minutes:
            outside = base(queue, nodes=nodes, time_s=high + 60)
            yield f"time.max@{nodes}", base(queue, nodes=nodes, time_s=high), outside, "at most"
        if low:
            yield (
                f"time.min@{nodes}",
                base(queue, nodes=nodes, time_s=low),
                base(queue, nodes=nodes, time_s=low - 60),
                "at least",
            )


def cases():
    for site in shipped():
        for queue in site.queues:
            for name, inside, outside, word in limits(site, queue):
                yield pytest.param(
                    site, queue, inside, outside, word, id=f"{site.name}-{queue.name}-{name}"
                )


CASES = list(cases())
QUEUES = [
    pytest.param(site, queue, id=f"{site.name}-{queue.name}")
    for site in shipped()
    for queue in site.queues
]


@pytest.mark.parametrize(("site", "queue", "inside", "outside", "word"), CASES)
def test_a_limit_is_where_the_site_says(site, queue, inside, outside, word):
    taken = choose_queue(site, QueueRequest(resources=inside, queue=queue.name))
    assert taken.queue is queue, taken.refusals
    refused = choose_queue(site, QueueRequest(resources=outside, queue=queue.name))
    assert refused.queue is None
    (refusal,) = refused.refusals
    assert word in refusal.reasons + ","


def changed(size, change):
    """Apply what a refusal offers, as a user would write it under `resources:`."""
    name, _, value = (
        change.partition(" (")[0].replace(" <= ", ": ").replace(" >= ", ": ").partition(": ")
    )
    value = value.strip('"')
    if name == "time":
        return size._replace(time_s=parse_duration(value))
    if name == "mem_per_node":
        return size._replace(mem_per_node_mib=int(value.removesuffix("MiB")))
    if name.endswith("ntasks_per_node * cpus_per_task"):
        nodes = size.nodes if name.startswith("nodes") else 1
        return size._replace(cpus_per_task=int(value) // (nodes * size.ntasks_per_node))
    return size._replace(**{name: int(value)})


@pytest.mark.parametrize(("site", "queue", "inside", "outside", "word"), CASES)
def test_each_change_that_is_offered_is_legal(site, queue, inside, outside, word):
    (refusal,) = choose_queue(site, QueueRequest(resources=outside, queue=queue.name)).refusals
    ways = [outside]
    for excess in refusal.excesses:
        ways = [changed(size, change.text) for size in ways for change in excess.changes]
    assert ways or "has no GPUs" in refusal.reasons
    for size in ways:
        again = choose_queue(site, QueueRequest(resources=size, queue=queue.name))
        assert again.queue is queue, (refusal.changes, again.refusals)


# What the hint offers first, of several queues: "QUEUE takes it with ...".
NEAREST = [
    ("bridges-2", {"mem_per_node_mib": 300 * 1024}, "RM-512 takes it with queue: RM-512"),
    ("lumi-g", {"mem_per_node_mib": 2000 * 1024}, "largemem takes it with queue: largemem"),
    ("della", {"time_s": 145 * 3600}, 'vlong takes it with time: "6-00:00:00"'),
    ("leonardo", {"nodes": 257, "gpus_per_node": 4}, "bprod takes it with nodes: 256"),
    ("anvil", {"nodes": 57, "cpus_per_task": 128}, "wide takes it with nodes: 56"),
    ("frontier", {"nodes": 9473, "time_s": 3600}, "batch takes it with nodes: 9472"),
]


def offers(site, size):
    """The hint of a job that no queue takes, one offer a text."""
    refused = choose_queue(site, QueueRequest(resources=size))
    hint = no_resources(site.name, [("j", size, refused)]).hint
    return hint.removeprefix("Nearest: ").removesuffix(".").split("; ")


@pytest.mark.parametrize(("name", "size", "first"), NEAREST, ids=[row[0] for row in NEAREST])
def test_the_nearest_offer_is_the_first(name, size, first):
    found = offers(load_site(name, FOLDERS).spec, Resources(**size))
    assert found[0].startswith(first), found
    assert len(found) <= 3


def test_what_a_change_is_of_is_told_apart_by_its_key_and_not_by_its_words():
    queue = load_site("anvil", FOLDERS).spec.queues[0]
    ways = (Change("nodes", "at most 3: nodes"), Change("time", "an hour"))
    refusal = Refusal(queue=queue, excesses=(Excess("too large", ways),))
    assert refusal.keys == {("nodes", "time")}
    assert refusal.changes == "at most 3: nodes or an hour"


def distance(size, other):
    """How far a job is from another, as the product of the ratios of all that differs."""
    total = 1.0
    for key, value in size._asdict().items():
        one, two = sorted((int(value or 0) + 1, int(getattr(other, key) or 0) + 1))
        total *= two / one
    return total


def legal(site, size):
    """Each (queue, size) that a single queue takes after the changes that it offers."""
    for queue in site.queues:
        for refusal in choose_queue(site, QueueRequest(resources=size, queue=queue.name)).refusals:
            ways = [size]
            for excess in refusal.excesses:
                ways = [changed(way, change.text) for way in ways for change in excess.changes]
            for way in ways:
                yield queue.name, way
        if choose_queue(site, QueueRequest(resources=size, queue=queue.name)).queue is not None:
            yield queue.name, size


@pytest.mark.parametrize(("site", "queue", "inside", "outside", "word"), CASES)
def test_no_nearer_offer_exists(site, queue, inside, outside, word):
    if choose_queue(site, QueueRequest(resources=outside)).queue is not None:
        return
    limited = {queue.name for queue in site.queues if known(queue.access)}
    found = list(legal(site, outside))
    found = [offer for offer in found if offer[0] not in limited] or found
    first = offers(site, outside)[0].partition(" takes it with ")[0]
    if not found:
        assert first.startswith("No change of its size would help")
        return
    least = min(distance(outside, way) for _, way in found)
    assert min(distance(outside, way) for name, way in found if name == first) <= least * 1.001


def job_counts():
    """Yield each number of jobs at which a site says no: of a queue, and of all."""
    for site in shipped():
        for queue in site.queues:
            for name in ("any_state", "submitted"):
                limit = getattr(queue.jobs, name)
                if limit is not None and (most := known(limit.max)) is not None:
                    case = f"{site.name}-{queue.name}-jobs.{name}"
                    yield pytest.param(site, queue.name, most, id=case)
        if (most := known(site.submit.max_queued)) is not None:
            yield pytest.param(site, "", most, id=f"{site.name}-max_queued")


def jobs(queue, count):
    """A job, the gather job of an array and the final job too, if there are so many."""
    kinds = (JobKind.FINAL, JobKind.GATHER, JobKind.RUN)
    return [
        Job(name=f"j{n}", operation=f"j{n}", kind=kinds[min(n, 2)], queue=queue)
        for n in range(count)
    ]


def test_every_number_of_jobs_that_a_shipped_site_states_is_tried():
    assert len(list(job_counts())) >= 20


@pytest.mark.parametrize(("site", "queue", "most"), list(job_counts()))
def test_more_jobs_than_a_site_takes_at_once_are_refused(site, queue, most):
    def overload(jobs):
        sent = {job.name: job.tasks for job in jobs}
        return [found for found in overloads(site, jobs, sent) if found.queue == queue]

    assert overload(jobs(queue, most)) == []
    (found,) = overload(jobs(queue, most + 1))
    assert (found.most, found.count) == (most, most + 1)
    array = Job(name="a", operation="a", kind=JobKind.ARRAY, queue=queue, tasks=most)
    is_one = site.submit.array_counts_as == "job"
    assert bool(overload([array, *jobs(queue, 1)])) is (most == 1 or not is_one)
    assert overload([array]) == []


@pytest.mark.parametrize(("site", "queue"), QUEUES)
def test_a_queue_is_taken_by_what_it_is_for_and_by_name_alone_where_the_site_wants_that(
    site, queue
):
    size = base(queue)
    asked = QueueRequest(resources=size, queue=queue.name)
    assert choose_queue(site, asked).queue is queue
    free = choose_queue(site, QueueRequest(resources=size)).queue
    assert free is None or free.automatic
    chained = choose_queue(site, asked._replace(has_dependencies=True))
    assert (chained.queue is None) == (queue.chaining == "forbidden")
    node = node_of(site, queue)
    assert not queue.node_type or node is site.node_types[queue.node_type]


def test_hundreds_of_limits_were_tried():
    per_site = Counter(str(case.id).split("-")[0] for case in CASES)
    assert len(CASES) >= 250, per_site
