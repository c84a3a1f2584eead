"""Slurm chooses among the queues of a list, and what ran where is told afterwards."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.slurm

SITE = """
site: here
extends: slurm-generic
routing: {by: [partition], together: [[all, few]]}
queues: [{name: all, partition: cpu}, {name: few, partition: gpu}]
"""


def test_a_job_runs_in_the_partition_that_has_room(
    slurm_cluster: Any, dfh: Any, project: Path
) -> None:
    (project / "site-configs").mkdir(exist_ok=True)
    (project / "site-configs" / "here.yaml").write_text(SITE, encoding="utf-8")
    assert "all,few" in dfh("plan", "--site", "here", cwd=project).stdout
    assert dfh("check", "--site", "here", cwd=project)
    slurm_cluster.run("scontrol", "update", "PartitionName=cpu", "State=DOWN")
    try:
        done = dfh("run", "--site", "here", "--interval", "0.3", cwd=project)
    finally:
        slurm_cluster.run("scontrol", "update", "PartitionName=cpu", "State=UP")
    assert "2/2 operations done" in done.stdout
    texts = [path.read_text(encoding="utf-8") for path in project.glob(".dfh/**/*.json")]
    records = [data for data in map(json.loads, texts) if "environment" in data]
    assert {data["environment"]["vars"]["SLURM_JOB_PARTITION"] for data in records} == {"gpu"}
