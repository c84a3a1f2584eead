"""From partitions and QOS to the queues of a site file. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from deepforge_hpc.units import format_duration

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from deepforge_hpc.probe.commands import Node, Partition, Qos
    from deepforge_hpc.probe.read import Machine

UNKNOWN = "unknown"


def draft_queues(machine: Machine, kinds: Mapping[str, Node]) -> list[dict[str, Any]]:
    """Return a queue for each partition, those a job should try first at the front.

    Then, for those who ask by name, one for each QOS of the default partition that one may use.
    """
    usable = [item for item in machine.partitions if item.is_open]
    order = sorted(usable, key=lambda item: _rank(item, machine))
    found = [draft_queue(machine, item, kinds) for item in order]
    mine = {name for item in machine.associations for name in item.qos}
    for item in order[:1]:
        for qos in machine.qos:
            limits = (qos.max_wall_s, qos.max_jobs, qos.max_submit, *qos.max_tres, *qos.min_tres)
            if qos.name in mine and any(limits) and _allows(item, qos.name):
                found.append(draft_queue(machine, item, kinds, qos=qos))
    return found


def _rank(item: Partition, machine: Machine) -> tuple[bool, bool, bool]:
    """Sort by: may it be used, is it the default, does it do without GPUs."""
    nodes = nodes_of(machine, item.name)
    only_gpus = bool(nodes) and all(node.gpus for node in nodes)
    return (bool(closed(item, machine)), not item.is_default, only_gpus)


def nodes_of(machine: Machine, partition: str) -> list[Node]:
    """Return the nodes of a partition."""
    return [node for node in machine.nodes if partition in node.partitions]


def closed(item: Partition, machine: Machine) -> str:
    """Return why a partition is not for everybody, or not now; empty if it is."""
    mine = {association.account for association in machine.associations}
    if not item.is_up:
        return "not up when it was looked at"
    if item.accounts and not mine & set(item.accounts):
        return f"for the accounts {', '.join(item.accounts[:8])}"
    if mine and mine <= set(item.denied_accounts):
        return "not for your accounts"
    return ""


def draft_queue(
    machine: Machine, item: Partition, kinds: Mapping[str, Node], *, qos: Qos | None = None
) -> dict[str, Any]:
    """Return one queue of a site file."""
    nodes = nodes_of(machine, item.name)
    present = {node.kind for node in nodes}
    types = [name for name, node in kinds.items() if node.kind in present]
    why = closed(item, machine)
    known = {entry.name: entry for entry in machine.qos}
    rules = [entry for entry in (known.get(item.qos), qos) if entry is not None]
    queue: dict[str, Any] = {
        "name": f"{item.name}-{qos.name}" if qos else item.name,
        "partition": item.name,
        **({"qos": qos.name} if qos else {}),
        **({"node_type": types[0]} if len(types) == 1 else {}),
        **({"automatic": False} if why or qos else {}),
        **({"access": why} if why else {}),
        "nodes": _nodes(item, rules),
        **_per_node(item, nodes, rules),
        "time": _time(item, rules),
    }
    if jobs := _jobs(rules):
        queue["jobs"] = jobs
    queue["exclusive"] = sells_whole_nodes(machine, item)
    # Slurm lets every job wait for others; a centre may forbid it, as for queues to debug in.
    queue["chaining"] = UNKNOWN
    return queue


def _nodes(item: Partition, rules: Sequence[Qos]) -> dict[str, Any]:
    most = [item.max_nodes, item.total_nodes, *(rule.max_tres.get("node") for rule in rules)]
    least = [item.min_nodes, *(rule.min_tres.get("node") for rule in rules)]
    high = min((value for value in most if value), default=None)
    low = max((value for value in least if value), default=1)
    return {"min": low, "max": high if high is not None else UNKNOWN}


def _per_node(item: Partition, nodes: list[Node], rules: Sequence[Qos]) -> dict[str, Any]:
    cores = [node.usable for node in nodes if node.usable]
    memory = [node.mem_mib for node in nodes if node.mem_mib]
    found: dict[str, Any] = {}
    if nodes:
        found["gpus_per_node"] = {"max": max(node.gpus for node in nodes)}
    if cores:
        found["cpus_per_node"] = {"max": min(max(cores), item.max_cpus_per_node or max(cores))}
    if memory:
        most = min(max(memory), item.max_mem_mib or max(memory))
        found["mem_per_node"] = {"max": f"{most}MiB"}
    for key, name in (("gpus", "gres/gpu"), ("cpus", "cpu")):
        low = max((rule.min_tres.get(name, 0) for rule in rules), default=0)
        high = min((rule.max_tres[name] for rule in rules if name in rule.max_tres), default=None)
        limits = {**({"min": low} if low else {}), **({} if high is None else {"max": high})}
        if limits:
            found[key] = limits
    return found


def _time(item: Partition, rules: Sequence[Qos]) -> dict[str, Any]:
    limits = [item.max_time_s, *(rule.max_wall_s for rule in rules)]
    most = min((limit for limit in limits if limit), default=None)
    return {"max": format_duration(most) if most else UNKNOWN}


def _jobs(rules: Sequence[Qos]) -> dict[str, Any]:
    found = {}
    for key, name in (("running", "max_jobs"), ("submitted", "max_submit")):
        most = min((n for rule in rules if (n := getattr(rule, name)) is not None), default=None)
        if most is not None:
            found[key] = {"max": most, "scope": "user"}
    return found


def sells_whole_nodes(machine: Machine, item: Partition) -> bool | str:
    """Return whether a job has its nodes to itself, as far as Slurm shows it."""
    if machine.config.get("SelectType") == "select/linear":
        return True
    return UNKNOWN if item.is_exclusive is None else item.is_exclusive


def _allows(item: Partition, qos: str) -> bool:
    return qos not in item.denied_qos and (not item.allowed_qos or qos in item.allowed_qos)
