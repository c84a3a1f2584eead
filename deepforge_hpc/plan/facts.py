"""What the rules of a site can ask of a job; their conditions are data, never code. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from fnmatch import fnmatchcase

from deepforge_hpc.runtime.base.plan import Resources
from deepforge_hpc.site.conditions import When
from deepforge_hpc.site.model import SiteSpec
from deepforge_hpc.site.queue import LocalDisk, NodeType, Queue
from deepforge_hpc.site.unknown import UNKNOWN, Range, known

SITE_UNKNOWN = "site_unknown"
"""Kind of a notice that names keys of which the site's file knows nothing."""
SURELY_FREE = 90
"""Percent of the memory that is built in; the system keeps less than the rest at every site whose
number is known."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """A job, in its queue."""

    resources: Resources = field(default_factory=Resources)
    launch: str = "none"
    queue: Queue | None = None
    node: NodeType | None = None
    env: Mapping[str, str] = field(default_factory=dict)
    """Variables that the environment sets of the site give it."""
    gpu_visibility: str = "all"
    software: tuple[str, ...] = ()
    """Its modules, and its image without the folders that this lies in: they say nothing of it."""

    @property
    def gpus(self) -> int:
        """Return the GPUs of the whole job."""
        return self.resources.nodes * self.resources.gpus_per_node

    @property
    def has_whole_nodes(self) -> bool:
        """Return whether nobody else can be on its nodes."""
        if self.queue is not None and known(self.queue.exclusive):
            return True
        if self.node is None:
            return False
        gpus, cores = known(self.node.gpus), usable_cores(self.node)
        cpus = self.resources.ntasks_per_node * self.resources.cpus_per_task
        return bool(gpus and self.resources.gpus_per_node >= gpus) or bool(cores and cpus >= cores)


def node_of(site: SiteSpec, queue: Queue | None) -> NodeType | None:
    """Return the kind of node of a queue: the one it names, else the only one or `default`."""
    types = site.node_types
    if queue is not None and queue.node_type:
        return types.get(queue.node_type)
    return next(iter(types.values())) if len(types) == 1 else types.get("default")


def node_path(site: SiteSpec, facts: Facts) -> tuple[str, ...]:
    """Return where the site's file describes the node of a job."""
    names = (name for name, node in site.node_types.items() if node is facts.node)
    return ("node_types", *names)


def node_key(site: SiteSpec, facts: Facts, name: str) -> str:
    """Return the key of a fact of the node of a job, in the site's file."""
    return ".".join((*node_path(site, facts), name))


def disk_of(node: NodeType | None) -> LocalDisk | None:
    """Return the disk of a node of its own, as far as it is known."""
    return node.local if node is not None and isinstance(node.local, LocalDisk) else None


def has_amd_gpus(node: NodeType | None) -> bool:
    """Return whether the GPUs of a node are AMD's: all else is taken for NVIDIA's."""
    model = (known(node.gpu_model) if node is not None else None) or ""
    return re.search(r"\bMI\d", model) is not None


def usable_cores(node: NodeType, *, all_cores: bool = False, surely: bool = False) -> int | None:
    """Return how many CPUs of Slurm's a job can have on a node; `all_cores`: the system's too.

    `surely`: one of each core, where nobody knows how many.
    """
    usable, cores = known(node.usable_cores), known(node.cores)
    if usable is None or (all_cores and cores is not None):
        usable = cores
    if usable is None or (surely and node.threads_per_core is UNKNOWN):
        return usable
    return usable * _cpus_of_core(node)


def whole_cores(node: NodeType | None, cpus: int) -> int:
    """Return so many CPUs of a rank, or fewer, that it shares no core with another one.

    Of an odd number of threads Slurm binds the ranks to cores that they share, or they do not fit.
    """
    if node is None or node.threads_per_core is UNKNOWN or cpus < _cpus_of_core(node):
        return cpus
    return cpus - cpus % _cpus_of_core(node)


def _cpus_of_core(node: NodeType) -> int:
    return known(node.threads_per_core) or known(node.smt) or 1


def holds(when: When, facts: Facts) -> bool:
    """Return whether all that a rule asks for is so."""
    size = facts.resources
    name = facts.queue.name if facts.queue is not None else ""
    return (
        when.gpus in (None, size.gpus_per_node > 0)
        and (not when.queues or name in when.queues)
        and inside(size.nodes, when.nodes)
        and inside(size.ntasks_per_node, when.ntasks_per_node)
        and (not when.launch or facts.launch in when.launch)
        and all(facts.env.get(name) == value for name, value in when.env.items())
        and (not when.software or _has_any(facts.software, when.software))
        and when.node_local in (None, size.node_local)
        and when.whole_node in (None, facts.has_whole_nodes)
    )


def _has_any(names: tuple[str, ...], patterns: tuple[str, ...]) -> bool:
    return any(fnmatchcase(name, pattern) for name in names for pattern in patterns)


def inside(value: int, limits: Range) -> bool:
    """Return whether a value is within limits, as far as they are known."""
    low, high = known(limits.min), known(limits.max)
    return (low is None or value >= low) and (high is None or value <= high)
