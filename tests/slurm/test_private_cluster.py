"""The clusters of the fixtures are what tests on them take for granted."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.slurm


def test_a_job_runs_and_is_accounted(slurm_cluster: Any, tmp_path: Path) -> None:
    output = tmp_path / "out"
    script = tmp_path / "job.sh"
    script.write_text("#!/bin/bash\necho gpus=$SLURM_JOB_GPUS\nexit 3\n", encoding="utf-8")
    job = slurm_cluster.run(
        "sbatch", "--parsable", "-p", "gpu", "--gres=gpu:1", "-o", str(output), str(script)
    ).strip()
    sacct = ("sacct", "-n", "-P", "-X", "-j", job, "-o", "State,ExitCode")
    slurm_cluster.wait_for(lambda state: state.startswith("FAILED|3:0"), *sacct)
    assert output.read_text(encoding="utf-8") in {"gpus=0\n", "gpus=1\n"}


def test_the_clients_of_a_test_find_the_cluster(slurm_cluster: Any) -> None:
    assert os.environ["SLURM_CONF"] == slurm_cluster.environ["SLURM_CONF"]
    assert slurm_cluster.run("sinfo", "-h", "-N", "-p", "cpu", "-o", "%N").split() == [
        "n1",
        "n2",
        "n3",
        "n4",
    ]


@pytest.mark.parametrize(("cluster", "speed"), [("slurm_cluster", 1), ("fast_clock_cluster", 10)])
def test_a_busy_machine_loses_no_node(
    request: pytest.FixtureRequest, cluster: str, speed: int
) -> None:
    config = request.getfixturevalue(cluster).run("scontrol", "show", "config")
    (line,) = [line for line in config.splitlines() if line.startswith("SlurmdTimeout")]
    assert int(line.split()[2]) == 300 * speed


def test_a_time_limit_of_a_minute_ends_soon_with_the_fast_clock(
    fast_clock_cluster: Any, tmp_path: Path
) -> None:
    job = fast_clock_cluster.run(
        "sbatch", "--parsable", "-t", "1", "-o", "/dev/null", "--wrap", "sleep 60"
    ).strip()
    sacct = ("sacct", "-n", "-P", "-X", "-E", "2099-01-01", "-j", job, "-o", "State")
    # Within less than the minute of the limit by anybody else's clock.
    fast_clock_cluster.wait_for(lambda state: state.startswith("TIMEOUT"), *sacct, seconds=50)


def test_an_ended_job_is_soon_forgotten_with_the_short_memory(short_memory_cluster: Any) -> None:
    job = short_memory_cluster.run(
        "sbatch", "--parsable", "-o", "/dev/null", "--wrap", "true"
    ).strip()
    squeue = ("squeue", "-h", "-t", "all", "-o", "%i")
    short_memory_cluster.wait_for(lambda jobs: job not in jobs.split(), *squeue)
