"""Which of several clusters Slurm's commands act on.

An id is one of its cluster: elsewhere the same number is somebody else's job.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from deepforge_hpc.errors import SchedulerError
from deepforge_hpc.runtime.base.files import read_own
from deepforge_hpc.runtime.schedulers.slurm import CLUSTER

if TYPE_CHECKING:
    from collections.abc import Mapping

    from deepforge_hpc.plugins.scheduler import JobScope

_FILES = ("/etc/slurm/slurm.conf", "/run/slurm/conf/slurm.conf", "/etc/slurm-llnl/slurm.conf")
"""Where the commands look without SLURM_CONF; the second is written by sackd or slurmd."""


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
        raise SchedulerError("scontrol show config does not name the cluster")
    return found[1]


def in_file(environ: Mapping[str, str]) -> str:
    """Return the name in the file that Slurm's commands read; empty if it cannot be told."""
    for path in filter(None, (environ.get("SLURM_CONF"), *_FILES)):
        try:
            found = CLUSTER.search(read_own(Path(path).resolve()).decode("utf-8", "replace"))
        except FileNotFoundError:
            continue
        except (OSError, ValueError):
            return ""
        return found[1] if found else ""
    return ""


def unknown(error: SchedulerError) -> SchedulerError:
    """Return the error where nobody tells which cluster the commands reach."""
    message = f"it is unknown which cluster this shell reaches: {error.message}"
    hint = "Name it in the site's file: submit: {cluster: NAME}. Or: export SLURM_CLUSTERS=NAME"
    return SchedulerError(message, hint, argv=error.argv, stderr=error.stderr)


def wrong_cluster(cluster: str, reached: str, left: str) -> SchedulerError:
    """Return the error for a job that sbatch put elsewhere: its upstream jobs are not there.

    `left` is its id where that is not known to be its own there, and so was not cancelled.
    """
    message = f"sbatch queued the job on the cluster {cluster}, and this shell reaches {reached}"
    if left:
        message += f"; job {left} has another name there, or none, and was left alone"
    return SchedulerError(message, f"Name it in the site's file: submit: {{cluster: {cluster}}}")
