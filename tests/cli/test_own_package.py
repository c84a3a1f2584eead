"""A job whose Python has nothing of ours: what it imports of deepforge_hpc came with it."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

OPERATIONS = """\
from deepforge_hpc.job import checkpoint_folder, log, ranks


def work() -> dict:
    import deepforge_hpc

    own = ranks()
    log(1, loss=0.5)
    told = {"ranks": list(own), "from": deepforge_hpc.__file__, "kept": str(checkpoint_folder())}
    return told


def inner() -> int:
    from deepforge_hpc.pipeline import load
    x = 1
    return x


def top() -> int:
    from deepforge_hpc import Pipeline
    x = 1
    return x
"""
PIPELINE = """\
pipeline: p
operations:
  work: {uses: 'operations.py:work'}
  inner: {uses: 'operations.py:inner'}
  top: {uses: 'operations.py:top'}
outputs: {told: {from: work.told, to: told.json}}
"""


def test_a_job_has_its_own_part_of_the_package_and_says_what_it_has_not(
    dfh: Any, make_project: Callable[..., Path], tmp_path: Path
) -> None:
    venv = tmp_path / "venv"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", venv], check=True)
    (site,) = venv.glob("lib/python3*/site-packages")
    (site / "deepforge_hpc").mkdir()
    (site / "deepforge_hpc/__init__.py").write_text("raise SystemExit('another version')\n")
    project = make_project({"operations.py": OPERATIONS, "pipeline.yaml": PIPELINE})
    done = dfh("run", "--json", "--python", venv / "bin/python", cwd=project, expect=9)
    jobs = {job["name"]: job for job in json.loads(done.stdout)["jobs"]}
    has = "a job has only job, training, operations of deepforge_hpc"
    assert f"No module named 'deepforge_hpc.pipeline': {has} (" in jobs["inner"]["reason"]
    assert f"cannot import 'Pipeline': {has} (" in jobs["top"]["reason"]
    folder = project / "executions/p-0001"
    told = json.loads((folder / "jobs/work/outputs/told.json").read_text())
    assert told == {
        "ranks": [0, 1, 0, 1, None],
        "from": str(folder / "code/library/deepforge_hpc/__init__.py"),
        "kept": str(folder / "jobs/work/checkpoints"),
    }
    assert (folder / "jobs/work/metrics.jsonl").exists()
