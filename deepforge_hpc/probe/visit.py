"""One small job per kind of node: what only a job on it can see. Builders and readers are pure."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from deepforge_hpc.probe.commands import Node, Partition
from deepforge_hpc.probe.queues import closed, nodes_of, sells_whole_nodes
from deepforge_hpc.probe.read import Machine
from deepforge_hpc.probe.values import marked
from deepforge_hpc.units import format_duration

MINUTES = 5
_MARK = "==dfh=="
_MOST_EXCLUDED = 1000
"""Names of nodes in one option; beyond, a job may land on a node of another kind."""
_SECTIONS = {
    "node": 'echo "$SLURMD_NODENAME"',
    "cores": "taskset -pc $$",
    "gpus": "nvidia-smi --query-gpu=name,memory.total --format=csv,noheader,nounits",
    "topology": "nvidia-smi topo -m || rocm-smi --showtoponuma",
    "interfaces": "ls /sys/class/net",
    # An answer of any kind is a way out.
    "internet": "curl -sI --max-time 5 https://pypi.org/ | head -n 1",
    "proxies": "env | grep -i _proxy= | cut -d= -f1",
    "tmpdir": 'df -PTk "${TMPDIR:-/tmp}" | tail -n 1',
}
_FOR_PEOPLE = ("cores", "topology")
"""What no program can make `binding` of, but a person can."""
SCRIPT = "".join(
    f"echo '{_MARK} {name}'\n{{ {command}; }} 2>/dev/null\n" for name, command in _SECTIONS.items()
)
"""Looks only; a command that is not there prints nothing."""
OF_ONE_NODE = frozenset({"tmpfs", "ramfs", "ext2", "ext3", "ext4", "xfs", "btrfs", "overlay"})
"""Types of file systems that no other node sees."""
_FAST = re.compile(r"(hsn|ib|opa|mlx)\w*\d")


@dataclass(frozen=True, slots=True, kw_only=True)
class Visit:
    """A job to send to one kind of node."""

    node_type: str
    partition: str
    gpus: int
    nodes: frozenset[str]
    """All of its kind."""
    others: tuple[str, ...] = ()
    """Nodes of other kinds in the partition."""
    takes_whole_node: bool = False

    @property
    def options(self) -> list[tuple[str, str]]:
        """Return what its script asks the scheduler for, in the words of a plan."""
        found = [("partition", self.partition), ("nodes", "1"), ("ntasks", "1")]
        found.append(("time", format_duration(60 * MINUTES)))
        found += [("gres", f"gpu:{self.gpus}")] if self.gpus else []
        return [*found, ("exclude", ",".join(self.others))] if self.others else found


def visits(machine: Machine, kinds: Mapping[str, Node]) -> Iterator[Visit]:
    """Yield a job for each kind of node that a partition of one's own has, purely if possible."""
    for name, node in kinds.items():
        alike = frozenset(other.name for other in machine.nodes if other.kind == node.kind)
        fitting = [
            (_others(machine, item, alike), item)
            for item in machine.partitions
            if any(other.name in alike for other in nodes_of(machine, item.name))
            and item.is_open
            and not closed(item, machine)
        ]
        if fitting:
            others, partition = min(fitting, key=lambda pair: (len(pair[0]), pair[1].name))
            yield Visit(
                node_type=name,
                partition=partition.name,
                gpus=1 if node.gpus else 0,
                nodes=alike,
                others=others if len(others) <= _MOST_EXCLUDED else (),
                takes_whole_node=sells_whole_nodes(machine, partition) is True,
            )


def _others(machine: Machine, item: Partition, alike: frozenset[str]) -> tuple[str, ...]:
    return tuple(node.name for node in nodes_of(machine, item.name) if node.name not in alike)


def parse_visit(text: str) -> dict[str, str]:
    """Return what each section of the script printed; empty sections are left out."""
    parts = re.split(rf"(?m)^{_MARK} (\w+)\n", marked(text))
    found = dict(zip(parts[1::2], (part.strip() for part in parts[2::2]), strict=True))
    return {name: said for name, said in found.items() if said}


def add_visit(data: dict[str, Any], node_type: str, seen: Mapping[str, str], date: str) -> None:
    """Write what a job saw into the data of a site file."""
    node = data["node_types"][node_type]
    if gpu := re.match(r"(.+), (\d+)", seen.get("gpus", "")):
        node["gpu_model"] = gpu[1].strip()
        node["gpu_mem"] = f"{gpu[2]}MiB"
    if local := _local(seen.get("tmpdir", "")):
        node["local"] = local
    network = data["network"]
    if interfaces := [name for name in seen.get("interfaces", "").split() if _FAST.match(name)]:
        network["interface"] = interfaces[0]
    # No answer is not "no": the host may be down, or curl not installed.
    if seen.get("internet", "").startswith("HTTP/"):
        network["compute_internet"] = "proxy" if seen.get("proxies") else True
    fact = {"source": f"probe: a job on {node_type}", "date": date, "confidence": "L"}
    data["facts"][f"node_types.{node_type}"] = fact
    if any(value != "unknown" for value in network.values()):
        data["facts"].setdefault("network", fact)


def _local(line: str) -> dict[str, Any] | None:
    """Return the disk of the node by a line of `df -PTk`; None if the folder is on a shared one."""
    fields = line.split(maxsplit=6)
    if len(fields) != 7 or fields[1] not in OF_ONE_NODE or not fields[2].isdecimal():
        return None
    size = f"{int(fields[2]) // 1024}MiB"
    # No job may write to the root itself: what lies on it is /tmp.
    path = "/tmp" if fields[6] == "/" else fields[6]  # noqa: S108 -- named, not used
    return {"path": path, "size": size, "is_ram": fields[1] in ("tmpfs", "ramfs")}


def notes(node_type: str, seen: Mapping[str, str]) -> list[str]:
    """Return lines for the person who completes the draft."""
    found = [(name, seen[name]) for name in _FOR_PEOPLE if name in seen]
    return [f"{node_type}, {name}: {line}" for name, text in found for line in text.splitlines()]
