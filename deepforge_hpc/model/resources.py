"""What a job asks of a machine, in Slurm's own words."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Resources:
    """The size of one job (of one task of it, for a job array)."""

    nodes: int = 1
    ntasks_per_node: int = 1
    """Ranks a node."""
    cpus_per_task: int = 1
    gpus_per_node: int = 0
    mem_per_node_mib: int | None = None
    """MiB; None leaves it to the site."""
    time_s: int | None = None
    """Walltime in seconds; None leaves it to the site."""

    node_local: bool = False
    """Whether it wants a disk that its node has of its own."""

    @property
    def world_size(self) -> int:
        """Return the number of ranks."""
        return self.nodes * self.ntasks_per_node
