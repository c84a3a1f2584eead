"""From partitions and QOS to the queues of a site file. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from deepforge_hpc.probe.accounts import Association, Held, Qos
from deepforge_hpc.probe.commands import Node, Partition
from deepforge_hpc.probe.read import Machine
from deepforge_hpc.probe.values import count
from deepforge_hpc.units import format_duration

UNKNOWN = "unknown"
_LONGEST = 90
"""Characters of the name of a queue, and room for a number."""


def draft_queues(machine: Machine, kinds: Mapping[str, Node]) -> list[dict[str, Any]]:
    """Return a queue for each partition, those a job should try first at the front.

    Then, for those who ask by name, one for each QOS of the default partition that one may use.
    """
    usable = [item for item in machine.partitions if item.is_open]
    order = sorted(usable, key=lambda item: _rank(item, machine))
    found = [draft_queue(machine, item, kinds) for item in order]
    mine = {name for item in machine.associations for name in item.qos}
    for item in order[:1]:
        found += [
            draft_queue(machine, item, kinds, qos=qos)
            for qos in machine.qos
            if qos.name in mine and _has_rules(qos, machine) and _allows(item, qos.name)
        ]
    _name_apart(found)
    return found


def _name_apart(queues: list[dict[str, Any]]) -> None:
    """Number the names that stand before them: there may be a partition `cpu-short`, too."""
    taken: set[str] = set()
    for queue in queues:
        name = queue["name"][:_LONGEST]
        names = (name, *(f"{name}-{number}" for number in range(2, len(queues) + 1)))
        queue["name"] = next(one for one in names if one not in taken)
        taken.add(queue["name"])


def _has_rules(qos: Qos, machine: Machine) -> bool:
    """Return whether jobs of a QOS are under rules of its own."""
    without = Qos(name=qos.name, grace_s=qos.grace_s, preempts=qos.preempts, flags=qos.flags)
    return qos != without or isinstance(preemption(machine, None, qos), dict)


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
    if item.groups and machine.groups is not None and not machine.groups & {*item.groups}:
        return f"for the groups {', '.join(item.groups[:8])}"
    if item.is_hidden:
        return "hidden by the centre: ask whom it is for"
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
    rules = rules_of(machine, item, qos)
    queue: dict[str, Any] = {
        "name": f"{item.name}-{qos.name}" if qos else item.name,
        "partition": item.name,
        **({"qos": qos.name} if qos else {}),
        **({"node_type": types[0]} if len(types) == 1 else {}),
        **({"automatic": False} if why or qos else {}),
        **({"access": why} if why else {}),
        "nodes": _nodes(item, rules),
        **_per_node(machine, item, nodes, rules),
        "time": _time(item, rules),
    }
    for (section, name), limits in together(machine, rules).items():
        if limits:
            scope, most = min(limits.items(), key=lambda limit: limit[1])
            shown = f"{most}MiB" if name == "mem" else most
            queue.setdefault(section, {})[name] = {"max": shown, "scope": scope}
    if per_cpu := item.default_mem.get("DefMemPerCPU"):
        queue["memory"] = memory_request(machine, per_cpu)
    if (preempted := preemption(machine, item, qos)) is not None:
        queue["preemptible"] = preempted
    queue["exclusive"] = sells_whole_nodes(machine, item)
    # Slurm lets every job wait for others; a centre may forbid it, as for queues to debug in.
    queue["chaining"] = UNKNOWN
    return queue | _closed_to_all(queue)


def _closed_to_all(queue: dict[str, Any]) -> dict[str, Any]:
    """Return what makes a queue one that no job is sent to, if its least is above its most.

    Such a partition waits for nodes; the least would make the file contradict itself.
    """
    found: dict[str, Any] = {}
    for name in ("nodes", "gpus", "cpus"):
        limits = queue.get(name, {})
        low, high = limits.get("min", 0), limits.get("max", UNKNOWN)
        if high != UNKNOWN and low > high:
            why = f"takes no job now: {name} are at least {low} and at most {high}"
            found |= {"automatic": False, "access": queue.get("access", why), name: {"max": high}}
    return found


def _first(limits: Iterable[int | None]) -> int | None:
    """Return the limit of the first QOS that has one: Slurm asks no further."""
    return next((limit for limit in limits if limit is not None), None)


def _nodes(item: Partition, rules: Sequence[Qos]) -> dict[str, Any]:
    of_qos = _first(rule.max_tres.get("node") for rule in rules)
    most = [item.max_nodes, item.total_nodes, of_qos]
    least = [item.min_nodes, _first(rule.min_tres.get("node") for rule in rules)]
    high = min((value for value in most if value), default=None)
    low = max((value for value in least if value), default=1)
    return {"min": low, "max": high if high is not None else UNKNOWN}


def _per_node(
    machine: Machine, item: Partition, nodes: list[Node], rules: Sequence[Qos]
) -> dict[str, Any]:
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
    if each := _mem_per_cpu(machine, item):
        found["mem_per_cpu"] = {"max": f"{each}MiB"}
    for key, name in (("gpus", "gres/gpu"), ("cpus", "cpu")):
        low = _first(rule.min_tres.get(name) for rule in rules)
        high = _first(rule.max_tres.get(name) for rule in rules)
        limits = {**({"min": low} if low else {}), **({} if high is None else {"max": high})}
        if limits:
            found[key] = limits
    return found


def _mem_per_cpu(machine: Machine, item: Partition) -> int | None:
    """Return the memory a CPU beyond which Slurm gives a job more CPUs, which are charged."""
    if item.max_mem_per_cpu_mib or item.max_mem_mib:
        return item.max_mem_per_cpu_mib
    return count(machine.config.get("MaxMemPerCPU")) or None


def _time(item: Partition, rules: Sequence[Qos]) -> dict[str, Any]:
    limits = [item.max_time_s, _first(rule.max_wall_s for rule in rules)]
    most = min((limit for limit in limits if limit), default=None)
    return {"max": format_duration(most) if most else UNKNOWN}


def rules_of(machine: Machine, item: Partition, qos: Qos | None) -> list[Qos]:
    """Return the QOS whose limits a job is under, those first that hold where both have one.

    The partition's own, and the one that the job names or else has without a word.
    """
    by_name = {entry.name: entry for entry in machine.qos}
    named = qos or by_name.get(_unnamed(machine))
    found = [by_name.get(item.qos), named]
    if named is not None and named.goes_first:
        found.reverse()
    return [entry for entry in found if entry is not None]


def _unnamed(machine: Machine) -> str:
    """Return the QOS of jobs that name none; empty if it differs by who pays."""
    names = {item.unnamed for item in _paying(machine)}
    return names.pop() if len(names) == 1 else ""


_TOGETHER: dict[tuple[str, str], Callable[[Held], int | None]] = {
    ("jobs", "running"): lambda held: held.running,
    ("jobs", "submitted"): lambda held: held.submitted,
    ("at_once", "nodes"): lambda held: held.tres.get("node"),
    ("at_once", "gpus"): lambda held: held.tres.get("gres/gpu"),
    ("at_once", "cpus"): lambda held: held.tres.get("cpu"),
    ("at_once", "mem"): lambda held: held.tres.get("mem"),
}


def together(machine: Machine, rules: Sequence[Qos]) -> dict[tuple[str, str], dict[str, int]]:
    """Return what all jobs of one may be and hold, by key of a queue, and by whose jobs they are.

    A limit of one's association holds where no QOS has one, as in Slurm.
    """
    found: dict[tuple[str, str], dict[str, int]] = {}
    for key, limit in _TOGETHER.items():
        found[key] = {}
        for scope in ("user", "account", "group"):
            held = (limit(getattr(rule, scope)) for rule in rules)
            if (most := _first(held)) is not None:
                found[key][scope] = most
    own = of_association(machine, lambda item: item.max_jobs)
    if own is not None:
        found["jobs", "running"].setdefault("user", own)
    return found


def of_association(machine: Machine, limit: Callable[[Association], int | None]) -> int | None:
    """Return a limit of the account that pays by default; else the widest that one has."""
    limits = [limit(item) for item in _paying(machine)]
    known = [most for most in limits if most is not None]
    return max(known) if known and len(known) == len(limits) else None


def _paying(machine: Machine) -> Sequence[Association]:
    """Return the associations of the account that pays by default; else all."""
    mine = [item for item in machine.associations if item.account == machine.default_account]
    return mine or machine.associations


def preemption(
    machine: Machine, item: Partition | None, qos: Qos | None
) -> dict[str, str] | str | None:
    """Return how long a job is warned before it is thrown out; None if it never is."""
    kind = machine.config.get("PreemptType", "preempt/none")
    if kind == "preempt/qos" and qos is not None:
        is_weaker = any(qos.name in other.preempts for other in machine.qos)
        grace = qos.grace_s
    elif kind == "preempt/partition_prio" and item is not None:
        is_weaker = item.preempt_mode != "OFF" and _has_stronger(machine, item)
        grace = item.grace_s
    elif kind == "preempt/none" and machine.config:
        return None
    else:  # by a QOS that Slurm chooses, say
        return UNKNOWN
    if not is_weaker:
        return None
    return {} if grace is None else {"grace": format_duration(grace)}


def _has_stronger(machine: Machine, item: Partition) -> bool:
    nodes = {node.name for node in nodes_of(machine, item.name)}
    return any(
        (other.priority_tier or 0) > (item.priority_tier or 0)
        and any(node.name in nodes for node in nodes_of(machine, other.name))
        for other in machine.partitions
    )


def memory_request(machine: Machine, default_per_cpu: int | None) -> dict[str, Any]:
    """Return whether memory is asked for, and what a job has that does not."""
    is_sold = "MEMORY" in machine.config.get("SelectTypeParameters", "").upper()
    return {
        "policy": "optional" if is_sold else UNKNOWN,
        **({"default_per_cpu": f"{default_per_cpu}MiB"} if default_per_cpu else {}),
    }


def sells_whole_nodes(machine: Machine, item: Partition) -> bool | str:
    """Return whether a job has its nodes to itself, as far as Slurm shows it."""
    if machine.config.get("SelectType") == "select/linear":
        return True
    return UNKNOWN if item.is_exclusive is None else item.is_exclusive


def _allows(item: Partition, qos: str) -> bool:
    return qos not in item.denied_qos and (not item.allowed_qos or qos in item.allowed_qos)
