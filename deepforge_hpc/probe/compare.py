"""Where a site file and the machine say different things, as far as Slurm shows it. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple

from deepforge_hpc.probe.commands import Node, Partition, default_mem
from deepforge_hpc.probe.draft import node_kinds
from deepforge_hpc.probe.queues import draft_queue, nodes_of, of_association, rules_of, together
from deepforge_hpc.probe.read import Machine
from deepforge_hpc.probe.values import count
from deepforge_hpc.site.model import MPI_DEFAULT, VERSION, SiteSpec
from deepforge_hpc.site.queue import JobLimit, MemoryRequest, Preemption, Queue
from deepforge_hpc.site.unknown import UNKNOWN, Count, Range, UnknownType, known
from deepforge_hpc.units import format_duration, parse_duration, parse_memory

NOTHING = "-"


class Difference(NamedTuple):
    """One value that is not the same."""

    key: str
    file: str
    machine: str


def differences(site: SiteSpec, machine: Machine) -> tuple[Difference, ...]:
    """Return what differs; what either side does not know is no difference.

    But a limit on all jobs of one together, which Slurm keeps, has to be in the file.
    """
    found = [*_whole(site, machine), *_queues(site, machine), *_launchers(site, machine)]
    return tuple(dict.fromkeys(found))


def _whole(site: SiteSpec, machine: Machine) -> Iterator[Difference]:
    version = site.scheduler_version
    # A file may name the release alone: 24.11 is also 24.11.5.
    if version and machine.version and not f"{machine.version}.".startswith(f"{version}."):
        yield Difference(key=VERSION, file=version, machine=machine.version)
    names = [item.cluster_name for item in site.identify if item.cluster_name]
    if names and machine.cluster and machine.cluster not in names:
        yield Difference(
            key="identify.cluster_name", file=", ".join(names), machine=machine.cluster
        )
    if machine.config:
        default = machine.mpi_default or "none"
        yield from _differ(MPI_DEFAULT, known(site.mpi_default), default)
    tasks = count(machine.config.get("MaxArraySize")) or None
    yield from _differ("submit.max_array_tasks", known(site.submit.max_array_tasks), tasks)
    most = of_association(machine, lambda item: item.max_submit)
    yield from _must_name("submit.max_queued", site.submit.max_queued, most)
    yield from _memory("request.memory", site.request.memory, default_mem(machine.config))
    requeue = machine.config.get("JobRequeue")
    if requeue and known(site.submit.requeue) is not None:
        yield from _differ("submit.requeue", _yes_no(site.submit.requeue), _yes_no(requeue == "1"))


def _queues(site: SiteSpec, machine: Machine) -> Iterator[Difference]:
    kinds = node_kinds(machine.nodes)
    partitions = {item.name: item for item in machine.partitions}
    default = next((item for item in machine.partitions if item.is_default), None)
    names = {item.name for item in machine.qos}
    for queue in site.queues:
        key = f"queues.{queue.name}"
        of_queue = queue.partition.split(",") if queue.partition else []
        partition = partitions.get(queue.partition) if queue.partition else default
        for name in of_queue:
            if name not in partitions:
                yield Difference(key=f"{key}.partition", file=name, machine=NOTHING)
        if queue.qos and names and queue.qos not in names:
            yield Difference(key=f"{key}.qos", file=queue.qos, machine=NOTHING)
        elif partition is not None:
            yield from _limits(key, queue, partition, machine, kinds)
            yield from _node_type(site, queue, partition, machine)
    named = {name for queue in site.queues for name in queue.partition.split(",")}
    for item in machine.partitions if site.queues else ():
        if item.name not in named and item.is_open and not (item.is_default and "" in named):
            yield Difference(key="queues", file=NOTHING, machine=f"partition {item.name}")


def _limits(
    key: str, queue: Queue, partition: Partition, machine: Machine, kinds: Mapping[str, Node]
) -> Iterator[Difference]:
    qos = next((item for item in machine.qos if item.name == queue.qos), None)
    seen = draft_queue(machine, partition, kinds, qos=qos)
    for name, limits, read, show in (
        ("nodes", queue.nodes, int, str),
        ("gpus", queue.gpus, int, str),
        ("gpus_per_node", queue.gpus_per_node, int, str),
        ("cpus_per_node", queue.cpus_per_node, int, str),
        ("mem_per_node", queue.mem_per_node, parse_memory, "{}MiB".format),
        ("mem_per_cpu", queue.mem_per_cpu, parse_memory, "{}MiB".format),
        ("time", queue.time, parse_duration, format_duration),
    ):
        yield from _range(f"{key}.{name}", limits, seen.get(name, {}), read, show)
    for (section, name), by_scope in together(machine, rules_of(machine, partition, qos)).items():
        mine = getattr(getattr(queue, section), name)
        yield from _together(f"{key}.{section}.{name}.max", mine, by_scope)
    yield from _preemption(f"{key}.preemptible", queue.preemptible, seen.get("preemptible"))
    if queue.memory is not None:
        yield from _memory(f"{key}.memory", queue.memory, partition.default_mem)
    exclusive = seen["exclusive"]
    if exclusive != "unknown" and known(queue.exclusive) is not None:
        yield from _differ(f"{key}.exclusive", _yes_no(queue.exclusive), _yes_no(exclusive))


def _together(key: str, mine: JobLimit | None, theirs: Mapping[str, int]) -> Iterator[Difference]:
    """Compare a limit on all jobs of one; the file must name one that Slurm keeps."""
    scope = known(mine.scope) if mine is not None else None
    if scope is None:
        scope = min(theirs, key=lambda each: theirs[each], default="")
    yield from _must_name(key, mine.max if mine is not None else None, theirs.get(scope))


def _preemption(
    key: str, mine: Preemption | UnknownType | None, theirs: Mapping[str, str] | str | None
) -> Iterator[Difference]:
    """Compare whether a job may be thrown out, and how long it is warned."""
    if mine is UNKNOWN or theirs == "unknown":
        return
    yield from _differ(key, _yes_no(mine is not None), _yes_no(theirs is not None))
    if isinstance(mine, Preemption) and isinstance(mine.grace_s, int) and isinstance(theirs, dict):
        yield from _differ(f"{key}.grace", format_duration(mine.grace_s), theirs.get("grace"))


def _memory(key: str, mine: MemoryRequest, theirs: Mapping[str, int]) -> Iterator[Difference]:
    per_cpu = known(mine.default_per_cpu_mib)
    yield from _differ(f"{key}.default_per_cpu", per_cpu, theirs.get("DefMemPerCPU"), "{}MiB")


def _range(
    key: str,
    limits: Range,
    seen: Mapping[str, Any],
    read: Callable[[Any], int],
    show: Callable[[int], str],
) -> Iterator[Difference]:
    for end in ("min", "max"):
        mine, theirs = known(getattr(limits, end)), seen.get(end)
        if mine is None or theirs in (None, "unknown"):
            continue
        if mine != (value := read(theirs)):
            yield Difference(key=f"{key}.{end}", file=show(mine), machine=show(value))


def _node_type(
    site: SiteSpec, queue: Queue, partition: Partition, machine: Machine
) -> Iterator[Difference]:
    """Compare the kind of node, if all nodes of the partition are of one."""
    node_type = site.node_types.get(queue.node_type)
    found = {node.kind: node for node in nodes_of(machine, partition.name)}
    if node_type is None or len(found) != 1:
        return
    (node,) = found.values()
    key = f"node_types.{queue.node_type}"
    yield from _differ(f"{key}.cores", known(node_type.cores), node.cores)
    yield from _differ(f"{key}.gpus", known(node_type.gpus), node.gpus)
    yield from _differ(f"{key}.gpu_type", known(node_type.gpu_type), node.gpu_type or None)
    if known(node_type.smt) is not None:
        yield from _differ(f"{key}.smt", known(node_type.smt), node.threads)


def _launchers(site: SiteSpec, machine: Machine) -> Iterator[Difference]:
    for name, launcher in site.launchers.items():
        for plugin in mpi_plugins(launcher.argv):
            if machine.mpi and plugin not in machine.mpi:
                have = f"srun --mpi has {', '.join(machine.mpi)}"
                yield Difference(key=f"launchers.{name}", file=f"--mpi={plugin}", machine=have)


def mpi_plugins(argv: tuple[str, ...]) -> list[str]:
    """Return the MPI plugins that a launch line names."""
    return [word.removeprefix("--mpi=") for word in argv if word.startswith("--mpi=")]


def _differ(key: str, mine: object, theirs: object, form: str = "{}") -> Iterator[Difference]:
    if mine is not None and theirs is not None and mine != theirs:
        yield Difference(key=key, file=form.format(mine), machine=form.format(theirs))


def _must_name(key: str, mine: Count, theirs: int | None) -> Iterator[Difference]:
    """Compare a limit that the file has to name if the machine does."""
    if theirs is not None and mine != theirs:
        shown = NOTHING if mine is None else "unknown" if mine is UNKNOWN else str(mine)
        yield Difference(key=key, file=shown, machine=str(theirs))


def _yes_no(value: object) -> str:
    return "unknown" if value is UNKNOWN else "yes" if value else "no"
