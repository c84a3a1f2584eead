"""Which queue of a site takes a job, and why the others do not. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from deepforge_hpc.errors import NoResourcesError
from deepforge_hpc.plan.facts import Facts, node_of
from deepforge_hpc.plan.limits import Change, Excess, QueueRequest, excesses, time_limits, unknowns
from deepforge_hpc.runtime.base.plan import Resources
from deepforge_hpc.site.model import SiteSpec
from deepforge_hpc.site.queue import Queue
from deepforge_hpc.site.unknown import known

__all__ = ["Choice", "QueueRequest", "Refusal", "choose_queue", "lift", "no_resources"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Refusal:
    """A queue that does not take a job."""

    queue: Queue
    excesses: tuple[Excess, ...]

    @property
    def reasons(self) -> str:
        """Return why, as a sentence."""
        return ", ".join(excess.reason for excess in self.excesses)

    @property
    def changes(self) -> str:
        """Return what to write under `resources:` instead; empty if no such change would help."""
        if not all(excess.changes for excess in self.excesses):
            return ""
        return ", ".join(self._ways.values())  # the last of one key counts: it is the least

    @property
    def rank(self) -> tuple[bool, float, bool]:
        """Return how far it is to what the queue takes; farthest is what not all may do."""
        distance = sum(min(way.distance for way in item.changes) for item in self.excesses)
        return bool(known(self.queue.access)), distance, not self.queue.automatic

    @property
    def keys(self) -> set[tuple[str, ...]]:
        """Return what would be changed, alternatives together."""
        return set(self._ways)

    @property
    def _ways(self) -> dict[tuple[str, ...], str]:
        return {
            tuple(way.key for way in item.changes): " or ".join(way.text for way in item.changes)
            for item in self.excesses
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """The first queue that takes a job (None if none does), and those before it that do not."""

    queue: Queue | None
    refusals: tuple[Refusal, ...] = ()
    together: tuple[str, ...] = ()
    """Names of the queues that Slurm may choose from, this one first; empty: this one alone."""
    unknowns: tuple[str, ...] = ()
    """Limits of the queue that nobody has told and that the job may be beyond."""
    instead: str = ""
    """Name of another queue that would take the job, if the one that was asked for does not."""

    @property
    def names(self) -> str:
        """Return what the job's queue is called, with commas if there are several."""
        return ",".join(self.together) or (self.queue.name if self.queue is not None else "")


_SHARED = Excess("its nodes are shared, and the job wants them whole")


def choose_queue(site: SiteSpec, request: QueueRequest) -> Choice:
    """Return the first queue, in the site's order of preference, that takes a job.

    A queue that was asked for by name is checked, and no other is taken in its place. A job that
    fills its nodes goes past a queue that shares them, if a later one has such nodes for it alone.
    """
    refusals: list[Refusal] = []
    shared: Choice | None = None
    kind = ""
    for queue in site.queues:
        if request.queue and queue.name != request.queue:
            continue
        refusal = _refuse(site, queue, request)
        if refusal is None:
            open_limits = unknowns(site, queue, request)
            choice = Choice(queue=queue, refusals=tuple(refusals), unknowns=open_limits)
            if shared is None and not _shares_whole_nodes(site, queue, request):
                return choice
            if shared is None:
                shared, kind = choice, queue.node_type
                refusal = Refusal(queue=queue, excesses=(_SHARED,))
            elif kind == queue.node_type and queue.exclusive is not False:
                return choice
            else:
                continue
        refusals.append(refusal)
    if shared is not None:
        return shared
    instead = ""
    if request.queue:
        other = choose_queue(site, request._replace(queue="")).queue
        instead = other.name if other is not None else ""
    return Choice(queue=None, refusals=tuple(refusals), instead=instead)


def _shares_whole_nodes(site: SiteSpec, queue: Queue, request: QueueRequest) -> bool:
    """Return whether a queue shares nodes that a job fills, or does so with several of a job's."""
    if request.queue or queue.exclusive is not False:
        return False
    facts = Facts(resources=request.resources, queue=queue, node=node_of(site, queue))
    several = request.resources.nodes > 1 and known(queue.nodes.max) is None
    return facts.has_whole_nodes or several


def lift(site: SiteSpec, request: QueueRequest, *, is_internal: bool = False) -> QueueRequest:
    """Return a job, raised to the least that a queue takes if none takes it as it is.

    The first queue that takes it so is the one; if there is none, nothing is changed. Of a user's
    job cores, memory and time are raised, and GPUs where it has some that its ranks can share:
    never nodes, which would idle or change the number of ranks.
    """
    if not site.queues or choose_queue(site, request).queue is not None:
        return request
    for queue in site.queues:
        if request.queue and request.queue != queue.name:
            continue
        raised = request._replace(resources=raise_to(queue, request.resources))
        if not is_internal and not _is_same_work(request.resources, raised.resources):
            continue
        if (queue.automatic or request.queue) and _refuse(site, queue, raised) is None:
            return raised
    return request


def _is_same_work(asked: Resources, raised: Resources) -> bool:
    """Return whether a job does the same with what it is raised to, and has what it asked for."""
    shares_gpus = asked.gpus_per_node and raised.gpus_per_node % asked.ntasks_per_node == 0
    return (
        raised.nodes == asked.nodes
        and (raised.gpus_per_node == asked.gpus_per_node or bool(shares_gpus))
        and (raised.time_s or 0) >= (asked.time_s or 0)
    )


def raise_to(queue: Queue, size: Resources) -> Resources:
    """Return a size with the least of all that a queue wants, and no more time than it has."""
    nodes = max(size.nodes, known(queue.nodes.min) or 0)
    low, high = time_limits(queue, nodes)
    time_s = size.time_s
    if time_s is not None:
        time_s = max(min(time_s, high if high is not None else time_s), low or 0)
    gpus = max(known(queue.gpus_per_node.min) or 0, -(-(known(queue.gpus.min) or 0) // nodes))
    wanted = max(known(queue.cpus_per_node.min) or 0, -(-(known(queue.cpus.min) or 0) // nodes), 1)
    ranks = size.ntasks_per_node
    mib, least = size.mem_per_node_mib, known(queue.mem_per_node.min)
    mib = mib if least is None else max(mib or 0, least)
    if mib and (per_core := known(queue.mem_per_cpu.max)):
        wanted = max(wanted, -(-mib // per_core))
    cores = max(size.cpus_per_task, -(-wanted // ranks))
    multiple = known(queue.cpu_multiple) or 1
    while nodes * ranks * cores % multiple:
        cores += 1
    return size._replace(
        nodes=nodes,
        cpus_per_task=cores,
        gpus_per_node=max(size.gpus_per_node, gpus),
        mem_per_node_mib=mib,
        time_s=time_s,
    )


def no_resources(site: str, refused: Sequence[tuple[str, Resources, Choice]]) -> NoResourcesError:
    """Return the error that names each job no queue takes, each queue's reason, and a way out."""
    parts = []
    hints = []
    for job, size, choice in refused[:5]:
        lines = [f"  {item.queue.name}: {item.reasons}" for item in choice.refusals]
        gpus = f" with {size.gpus_per_node} GPU(s)" if size.gpus_per_node else ""
        head = f"job {job}: {size.nodes} node(s){gpus} fit into no queue of {site}"
        parts.append("\n".join([head, *lines]))
        hint = _nearest(choice)
        hints.append(f"{job}: {hint}" if len(refused) > 1 else hint)
    if len(refused) > 5:
        parts.append(f"and {len(refused) - 5} more jobs")
    return NoResourcesError("\n".join(parts), "\n".join(hints))


def _nearest(choice: Choice) -> str:
    """Return the least changes with which some queue takes a job.

    One that changes all that a nearer one does is no help.
    """
    possible = sorted((i for i in choice.refusals if i.changes), key=lambda item: item.rank)
    near = [
        item
        for item in possible
        if not any(one.rank < item.rank and one.keys <= item.keys for one in possible)
    ]
    ways = [f"{item.queue.name} takes it with {item.changes}" for item in near[:3]]
    if choice.instead:
        ways.append(f"without queue:, {choice.instead} takes it as it is")
    if not ways:
        return "No change of its size would help: see the queues of the site file."
    return f"Nearest: {'; '.join(ways)}."


def _refuse(site: SiteSpec, queue: Queue, request: QueueRequest) -> Refusal | None:
    found = tuple(excesses(site, queue, request))
    if not queue.automatic and request.queue != queue.name:
        asked = f"taken only when it is asked for by name (queue: {queue.name})"
        access = " (of limited access)" if known(queue.access) else ""
        found = (Excess(asked, (Change("queue", f"queue: {queue.name}{access}"),)), *found)
    return Refusal(queue=queue, excesses=found) if found else None
