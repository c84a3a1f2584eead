"""What jobs cost on the site `local`, of a quarter of so many and of all: processor time and bytes.

By ratios within one run, whatever the machine does besides: 4 is linear, 16 would be the square.
"""

from __future__ import annotations

import json
import os
import time
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from deepforge_hpc.model.execution import SubmitRequest
from deepforge_hpc.runtime.base.codec import encode
from deepforge_hpc.runtime.base.execution import ExecutionInfo
from deepforge_hpc.runtime.base.files import canonical_json
from deepforge_hpc.schedulers.local import LocalScheduler
from deepforge_hpc.schedulers.local_queue import LocalQueue

pytestmark = [pytest.mark.bench, pytest.mark.timeout(1200)]

JOBS = 10_000
BODIES = {"fail": "exit 1", "job": "exit", "wait": "while [ ! -e go ]; do sleep 0.2; done"}


class Execution:
    """A folder with scripts of a few milliseconds, and what it has cost."""

    def __init__(self, root: Path) -> None:
        root.mkdir()
        self.root = root
        self.scheduler = LocalScheduler()
        self.number = 0
        (root / "logs").mkdir()
        (root / "execution.json").write_bytes(
            canonical_json(encode(ExecutionInfo.stand_in(uuid=uuid4().hex)))
        )
        for name, body in BODIES.items():
            (root / name).write_text(f"{body}\n")

    def submit(self, job: str, *after: str, **options: Any) -> str:
        self.number += 1  # as a log is one job's
        request = SubmitRequest(
            job=job, script=job, arguments=(), directory=str(self.root), name=f"{job}.token",
            comment="", output=f"logs/{self.number}", after=after, **options
        )  # fmt: skip
        return self.scheduler.submit(request)

    def until(self, name: str, *states: str) -> None:
        while (found := self.scheduler.query(str(self.root), [name])[name]).state not in states:
            assert not found.state.is_final
            time.sleep(1)

    def attempt(self, jobs: int, root: str) -> tuple[str, float]:
        """Submit as `dfh` does: a held root, and jobs behind it. Return the last, and the time."""
        before = time.process_time()
        first = self.submit(root, hold=True)
        names = [self.submit("job", first) for _ in range(jobs)]
        last = self.submit("wait", *names, dependency="afterany")
        taken = time.process_time() - before
        self.scheduler.release(str(self.root), [first])
        self.until(last, "running")
        return last, taken

    def engine(self) -> tuple[float, int]:
        """Return processor seconds and written bytes of the engine, without its jobs."""
        pid = json.loads(LocalQueue.of(str(self.root)).engine.read_bytes())["pid"]
        ticks = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[11:13]
        words = Path(f"/proc/{pid}/io").read_text().split()
        seconds = sum(map(int, ticks)) / os.sysconf("SC_CLK_TCK")
        return seconds, int(words[words.index("wchar:") + 1])

    def let_go(self, last: str) -> None:
        (self.root / "go").touch()
        self.until(last, "succeeded")
        (self.root / "go").unlink()


def costs(root: Path, jobs: int) -> dict[str, float]:
    """Return what a second attempt at so many jobs takes, and the run of all of them."""
    execution = Execution(root)
    last, _ = execution.attempt(jobs, "fail")
    execution.let_go(last)
    last, submission = execution.attempt(jobs, "job")
    engine, written = execution.engine()
    execution.let_go(last)
    return {"submission": submission, "engine": engine, "bytes": written / jobs}


def test_a_job_costs_the_same_however_many_there_are(
    tmp_path: Path, judge: Any, tries: Any
) -> None:
    jobs = max(40, tries(JOBS))
    few, many = costs(tmp_path / "few", jobs // 4), costs(tmp_path / "many", jobs)
    print({"few": few, "many": many})
    judge("submission of 4 times as many local jobs", many["submission"] / few["submission"], 5)
    judge("the engine with 4 times as many local jobs", many["engine"] / few["engine"], 5)
    judge("bytes that the engine writes for a job", many["bytes"], 1500)
