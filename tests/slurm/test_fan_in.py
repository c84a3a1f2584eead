"""A job that joins the results of very many others, on a real cluster."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

MOST = 1100
CODE = """\
def make(n: int) -> int:
    value = n
    return value


def merge(parts: list[int]) -> list:
    joined = list(parts)
    return joined
"""


def write(make_project: Callable[..., Path], count: int) -> Path:
    lines = ["pipeline: wide", "operations:"]
    lines += [f"  a{n}: {{uses: ops.py:make, attributes: {{n: {n}}}}}" for n in range(count)]
    given = ", ".join(f"a{n}.value" for n in reversed(range(count)))
    lines.append(f"  merge: {{uses: ops.py:merge, inputs: {{parts: [{given}]}}}}")
    lines.append("outputs: {joined: {from: merge.joined, to: joined.json}}")
    return make_project({"ops.py": CODE, "pipeline.yaml": "\n".join(lines)}, name="wide")


@pytest.mark.slurm
def test_a_join_runs_whole(slurm_cluster: Any, make_project: Any, dfh: Any) -> None:
    project = write(make_project, 12)
    dfh("run", "--site", "slurm-generic", "--interval", "1", cwd=project)
    assert json.loads((project / "joined.json").read_text()) == list(range(11, -1, -1))
    assert dfh("prov", "verify", "wide-0001", cwd=project).stdout.startswith("sound:")


@pytest.mark.slurm
def test_slurm_takes_a_join_of_1100_jobs(slurm_cluster: Any, make_project: Any, dfh: Any) -> None:
    project = write(make_project, MOST)
    told = json.loads(dfh("submit", "--site", "slurm-generic", "--json", cwd=project).stdout)
    try:
        ids = dict(told["submitted"])
        assert len(ids) == MOST + 2
        waits = slurm_cluster.run("squeue", "-h", "-o", "%E", "-j", ids["merge"])
        queued = set(slurm_cluster.run("squeue", "-h", "-o", "%A").split())
        named = {word.split("(")[0].split(":")[1] for word in waits.strip().split(",")}
        joined = {ids[f"a{n}"] for n in range(MOST)}
        assert queued & joined <= named <= joined, "those that have ended are named no more"
    finally:
        dfh("cancel", "wide-0001", cwd=project)
