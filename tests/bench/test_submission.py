"""What queueing a whole pipeline costs, against the same number of bare sbatch calls in the same run."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Callable
from typing import Any

import pytest

pytestmark = [pytest.mark.bench, pytest.mark.slurm]

OPERATIONS = 200
LIMIT = 1.25


def pipeline() -> str:
    """Return a chain: one job can run at a time, so that jobs do not compete with the measurement."""
    lines = ["pipeline: chain", "operations:"]
    for number in range(OPERATIONS):
        before = f", after: [step{number - 1}]" if number else ""
        lines.append(f"  step{number}: {{uses: 'operations.py:nothing'{before}}}")
    return "\n".join([*lines, ""])


def seconds(action: Callable[[], object]) -> float:
    start = time.monotonic()
    action()
    return time.monotonic() - start


def test_submission_costs_little_more_than_bare_sbatch(
    slurm_cluster: Any, dfh: Any, make_project: Any, judge: Any
) -> None:
    source = "def nothing() -> None:\n    return\n"
    project = make_project({"pipeline.yaml": pipeline(), "operations.py": source})
    executions = project / "executions"

    def submit() -> None:
        dfh("submit", "--site", "slurm-generic", "--no-reuse", cwd=project)
        slurm_cluster.run("scancel", "--user=root")

    def submit_bare() -> None:
        for script in sorted(executions.glob("chain-0001/jobs/*/job.sh")):
            argv = ["sbatch", "--parsable", "--hold", "--export=NONE", "-o", "/dev/null", script]
            subprocess.run(argv, check=True, capture_output=True)
        slurm_cluster.run("scancel", "--user=root")

    first = seconds(submit)
    bare = seconds(submit_bare)
    second = seconds(submit)
    ratio = (first + second) / 2 / bare
    print(f"dfh submit {first:.2f} s, {second:.2f} s; bare sbatch {bare:.2f} s; ratio {ratio:.2f}")
    assert len(list(executions.glob("chain-0001/jobs/*/job.sh"))) == OPERATIONS + 1
    judge("dfh submit against bare sbatch", ratio, LIMIT)
