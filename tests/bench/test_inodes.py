"""How many files and folders an execution leaves: quotas on clusters count them.

What grows with a pipeline is a job's folder, its script, state, marker, log and outputs. If this
fails for another reason, ask whether the new file could be a part of one that is there.
"""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

INODES = 30
PIPELINE = """\
pipeline: trivial
operations:
  count: {uses: operations.py:count}
outputs:
  n: {from: count.n}
"""
OPERATIONS = """\
def count() -> int:
    n = 1
    return n
"""


def test_a_trivial_execution_has_few_files(
    installed: Any,
    make_project: Callable[..., Path],
    clean_environment: dict[str, str],
    record_property: Any,
) -> None:
    project = make_project({"pipeline.yaml": PIPELINE, "operations.py": OPERATIONS})
    argv = [str(installed.dfh), "run", "--site", "local"]
    done = subprocess.run(
        argv, cwd=project, env=clean_environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    root = project / "executions" / "trivial-0001"
    deadline = time.monotonic() + 30
    while (root / "local" / "engine.json").exists() and time.monotonic() < deadline:
        time.sleep(0.05)
    found = [os.path.relpath(path, root) for path in (root, *sorted(root.rglob("*")))]
    record_property("inodes", len(found))
    print(f"inodes of a trivial execution: {len(found)} (at most {INODES})", *found, sep="\n")
    assert len(found) <= INODES
