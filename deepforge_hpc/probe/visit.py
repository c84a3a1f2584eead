"""One small job per kind of node: what only a job on it can see. Builders and readers are pure."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from deepforge_hpc.probe.queues import closed, nodes_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from deepforge_hpc.probe.commands import Node
    from deepforge_hpc.probe.read import Machine

MINUTES = 5
_MARK = "==dfh=="
_SECTIONS = {
    "cores": "taskset -pc $$",
    "gpus": "nvidia-smi --query-gpu=name,memory.total --format=csv,noheader,nounits",
    "topology": "nvidia-smi topo -m || rocm-smi --showtoponuma",
    "interfaces": "ls /sys/class/net",
    # An answer of any kind is a way out.
    "internet": "curl -sI --max-time 5 https://pypi.org/ | head -n 1",
    "proxies": "env | grep -i _proxy= | cut -d= -f1",
    "tmpdir": 'df -PTk "${TMPDIR:-/tmp}" | tail -n 1',
    "python": "python3 --version",
}
SCRIPT = "#!/bin/bash\n" + "".join(
    f"echo '{_MARK} {name}'\n{{ {command}; }} 2>/dev/null\n" for name, command in _SECTIONS.items()
)
"""Looks only; a command that is not there prints nothing."""
_FAST = re.compile(r"(hsn|ib|opa|mlx)\w*\d")


@dataclass(frozen=True, slots=True, kw_only=True)
class Visit:
    """A job to send to one kind of node."""

    node_type: str
    partition: str
    gpus: int

    def argv(self, script: str, output: str, *, account: str = "") -> list[str]:
        """Return the words that queue it."""
        return [
            "sbatch",
            "--parsable",
            "--export=NONE",
            f"--job-name=dfh-probe-{self.node_type}",
            f"--partition={self.partition}",
            "--nodes=1",
            "--ntasks=1",
            f"--time={MINUTES}",
            f"--output={output}",
            *([f"--gres=gpu:{self.gpus}"] if self.gpus else []),
            *([f"--account={account}"] if account else []),
            script,
        ]


def visits(machine: Machine, kinds: Mapping[str, Node]) -> Iterator[Visit]:
    """Yield a job for each kind of node that a partition of one's own has, purely if possible."""
    for name, node in kinds.items():
        fitting = [
            (len({other.kind for other in nodes_of(machine, item.name)}), item.name)
            for item in machine.partitions
            if item.name in node.partitions and item.is_open and not closed(item, machine)
        ]
        if fitting:
            yield Visit(node_type=name, partition=min(fitting)[1], gpus=1 if node.gpus else 0)


def parse_visit(text: str) -> dict[str, str]:
    """Return what each section of the script printed; empty sections are left out."""
    parts = re.split(rf"(?m)^{_MARK} (\w+)\n", text)
    found = dict(zip(parts[1::2], (part.strip() for part in parts[2::2]), strict=True))
    return {name: said for name, said in found.items() if said}


def add_visit(data: dict[str, Any], node_type: str, seen: Mapping[str, str], date: str) -> None:
    """Write what a job saw into the data of a site file."""
    node = data["node_types"][node_type]
    if gpu := re.match(r"(.+), (\d+)", seen.get("gpus", "")):
        node["gpu_model"] = gpu[1].strip()
        node["gpu_mem"] = f"{gpu[2]}MiB"
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
