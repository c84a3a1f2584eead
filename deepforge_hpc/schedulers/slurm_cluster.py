"""Which of several clusters Slurm's commands act on. Pure.

An id is one of its cluster: elsewhere the same number is somebody else's job.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from deepforge_hpc.errors import SchedulerError
from deepforge_hpc.runtime.schedulers.slurm import CLUSTER

if TYPE_CHECKING:
    from collections.abc import Mapping

    from deepforge_hpc.plugins.scheduler import JobScope


def named(scope: JobScope, environ: Mapping[str, str]) -> str:
    """Return the one cluster that the site or else the environment names; empty if none does.

    SchedulerError if the environment names several: the jobs of a pipeline wait for each other.
    """
    said = [name for name in environ.get("SLURM_CLUSTERS", "").split(",") if name]
    if scope.site_cluster or not said:
        return scope.site_cluster
    if scope.cluster and (scope.cluster in said or "all" in said):
        return scope.cluster
    if said == ["all"] or len(said) > 1:
        message = f"SLURM_CLUSTERS={','.join(said)} leaves it open which cluster is meant"
        hint = "Name one: export SLURM_CLUSTERS=NAME. Or: unset SLURM_CLUSTERS"
        raise SchedulerError(message, hint)
    return said[0]


def check(reached: str, scope: JobScope) -> str:
    """Return the cluster that is reached; SchedulerError if the jobs are on another one."""
    if scope.cluster and scope.cluster.lower() != reached.lower():
        message = f"the jobs are on the cluster {scope.cluster}, and this shell reaches {reached}"
        hint = (
            f"Go on in a shell that reaches {scope.cluster}: on its login node; with SLURM_CONF as "
            f"it was; or, if both have one database: export SLURM_CLUSTERS={scope.cluster}"
        )
        raise SchedulerError(message, hint)
    return reached


def parse(config: str) -> str:
    """Return the name in the controller's configuration; SchedulerError if there is none."""
    found = CLUSTER.search(config)
    if found is None:
        message = "scontrol show config does not name the cluster"
        raise SchedulerError(message, "Look at it: scontrol show config")
    return found[1]


def wrong_cluster(cluster: str, reached: str) -> SchedulerError:
    """Return the error for a job that sbatch put elsewhere: its upstream jobs are not there."""
    message = f"sbatch queued the job on the cluster {cluster}, and this shell reaches {reached}"
    return SchedulerError(message, f"Name it in the site's file: submit: {{cluster: {cluster}}}")
