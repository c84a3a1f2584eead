"""What queueing a whole pipeline costs, against the same number of bare sbatch calls in the same run."""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Callable
from typing import Any

import pytest

# Six times 1,000 jobs take a minute, and several on a machine with other work on it.
pytestmark = [pytest.mark.bench, pytest.mark.slurm, pytest.mark.timeout(1200)]

OPERATIONS = 1_000
LIMIT = 1.5  # 1.25 before what it writes was synced: 2,000 files, so that no power cut empties them


def pipeline(operations: int) -> str:
    """Return a chain: one job can run at a time, so that jobs do not compete with the measurement."""
    lines = ["pipeline: chain", "operations:"]
    for number in range(operations):
        before = f", after: [step{number - 1}]" if number else ""
        lines.append(f"  step{number}: {{uses: 'operations.py:nothing'{before}}}")
    return "\n".join([*lines, ""])


def seconds(action: Callable[[], object]) -> float:
    start = time.monotonic()
    action()
    return time.monotonic() - start


def test_submission_costs_little_more_than_bare_sbatch(
    slurm_cluster: Any, dfh: Any, make_project: Any, judge: Any, tries: Any
) -> None:
    operations = tries(OPERATIONS)
    source = "def nothing() -> None:\n    return\n"
    project = make_project({"pipeline.yaml": pipeline(operations), "operations.py": source})
    executions = project / "executions"

    def submit() -> None:
        dfh("submit", "--site", "slurm-generic", "--no-reuse", cwd=project)

    def submit_bare() -> None:
        for script in sorted(executions.glob("chain-0001/jobs/*/job.sh")):
            argv = ["sbatch", "--parsable", "--hold", "--export=NONE", "-o", "/dev/null", script]
            subprocess.run(argv, check=True, capture_output=True)

    taken: dict[Callable[[], None], list[float]] = {submit: [], submit_bare: []}
    for _ in range(tries(3)):
        for action, durations in taken.items():
            # The controller slows with the jobs that it remembers: each begins with none.
            slurm_cluster.run("scancel", f"--user={os.getuid()}")
            slurm_cluster.wait_for(lambda jobs: not jobs, "squeue", "--noheader", "--states=all")
            durations.append(seconds(action))
    for action, durations in taken.items():
        print(action.__name__, " ".join(f"{one:.2f} s" for one in durations))
    assert len(list(executions.glob("chain-0001/jobs/*/job.sh"))) == operations + 1
    ratio = min(taken[submit]) / min(taken[submit_bare])
    judge("dfh submit against bare sbatch", ratio, LIMIT)
