"""Ranks that die without a word: the launcher knows which, and how, and so does the job."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = [pytest.mark.slurm, pytest.mark.mpi]

OPERATION = """\
import os, signal, time

def lose() -> str:
    if os.environ["DFH_RANK"] == "1":
        {death}
    time.sleep(100)
    word = "done"
    return word
"""
PIPELINE = """\
pipeline: small
operations:
  lose: {uses: 'operations.py:lose', launch: mpi, resources: {ntasks_per_node: 2}}
"""


SITE = "{{site: lab, extends: slurm-generic, launchers: {{mpi: {{argv: [{argv}]}}}}}}"
SRUN = "srun, --kill-on-bad-exit=1, '--ntasks={world_size}'"
MPIRUN = "mpirun, --allow-run-as-root, --oversubscribe, -np, '{world_size}'"


def run(
    make_project: Any, dfh: Any, death: str, launcher: str = SRUN
) -> tuple[Path, dict[str, Any]]:
    """Run an operation whose rank 1 dies; return the project and the status of the job."""
    files = {
        "operations.py": OPERATION.format(death=death),
        "site-configs/lab.yaml": SITE.format(argv=launcher),
        "pipeline.yaml": PIPELINE,
    }
    project = make_project(files, name="small")
    done = dfh("run", "--site", "lab", "--json", "--interval", "1", cwd=project, expect=9)
    (job,) = (job for job in json.loads(done.stdout)["jobs"] if job["name"] == "lose")
    return project, job


@pytest.mark.parametrize(
    ("launcher", "death", "reason"),
    [
        (SRUN, "os.abort()", "Rank 1: The operation crashed (SIGABRT) in compiled code."),
        (MPIRUN, "os._exit(3)", "Rank 1: The operation ended the process with exit code 3."),
    ],
    ids=["srun", "mpirun"],
)
def test_the_rank_that_died_first_is_told(
    slurm_cluster: Any, make_project: Any, dfh: Any, launcher: str, death: str, reason: str
) -> None:
    project, job = run(make_project, dfh, death, launcher)
    assert (job["state"], job["reason"]) == ("failed", reason)
    command = "dfh logs small-0001 lose --rank 1"
    assert job["hint"].endswith(command)
    dfh(*command.split()[1:], cwd=project)


def test_a_launcher_that_cannot_start_the_ranks_is_quoted(
    slurm_cluster: Any, make_project: Any, dfh: Any
) -> None:
    _, job = run(make_project, dfh, "pass", f"{SRUN}, --mpi=none-such")
    assert job["state"] == "failed"
    assert job["reason"].startswith(
        "srun could not start the ranks: Couldn't find the specified plugin"
    )
