"""What it costs that an execution outlives a power cut: a submission with its syncs, and without."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from datetime import datetime, timezone
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from deepforge_hpc.pipeline.load import load_pipeline
from deepforge_hpc.pipeline.settings import Settings
from deepforge_hpc.plan.resolve import resolve
from deepforge_hpc.render.script import render_scripts
from deepforge_hpc.schedulers.local import LocalScheduler
from deepforge_hpc.submit import chain, execution

pytestmark = [pytest.mark.bench, pytest.mark.timeout(600)]

JOBS = 1_000
SYNCS = 2.2
"""For a job: its script and its folder, and a share of those of the execution."""
LIMIT = 1.8


class Held(LocalScheduler):
    """Queues jobs that nobody lets go."""

    def release(self, directory: str, native_ids: Any) -> None:
        """Let them lie."""


def write(project: Path, jobs: int) -> Path:
    project.mkdir()
    (project / "operations.py").write_text("def nothing() -> None:\n    return\n")
    lines = [f"  step{number}: {{uses: 'operations.py:nothing'}}" for number in range(jobs)]
    file = project / "pipeline.yaml"
    file.write_text("\n".join(["pipeline: wide", "operations:", *lines, ""]))
    return file


def submit(file: Path) -> None:
    """Do what `dfh submit` does, but for letting the jobs go."""
    loaded = load_pipeline(file, site="local", settings=Settings(environ={}))
    plan = resolve(loaded)
    now, uuid = datetime.now(timezone.utc), uuid4().hex
    scripts = render_scripts(plan)
    chain.submit(execution.create(loaded, plan, scripts, now=now, user="ada", uuid=uuid), Held())


def test_syncs_cost_a_part_of_a_submission(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, judge: Any, tries: Any
) -> None:
    jobs = tries(JOBS)
    file = write(tmp_path / "project", jobs)
    synced: list[int] = []
    fsync = os.fsync

    def count(handle: int) -> None:
        synced.append(handle)
        fsync(handle)

    taken: dict[Callable[[int], None], list[float]] = {count: [], lambda _: None: []}
    for _ in range(tries(3)):
        for sync, durations in taken.items():
            monkeypatch.setattr(os, "fsync", sync)
            start = time.monotonic()
            submit(file)
            durations.append(time.monotonic() - start)
    with_syncs, without = (min(durations) for durations in taken.values())
    print(f"{with_syncs:.2f} s, without syncs {without:.2f} s")
    if jobs == JOBS:
        judge("syncs for a job", len(synced) / len(taken[count]) / jobs, SYNCS)
    judge("submission against one that syncs nothing", with_syncs / without, LIMIT)
