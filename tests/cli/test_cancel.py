"""`dfh cancel` of a running job: the job's own word is `cancelled`, not `interrupted`."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

OPERATION = """\
import time


def wait() -> int:
    print("waiting", flush=True)
    time.sleep(120)
    value = 1
    return value
"""


def test_a_cancelled_job_says_cancelled(dfh: Any, make_project: Any) -> None:
    pipeline = "pipeline: slow\noperations: {wait: {uses: 'operations.py:wait'}}\n"
    project = make_project({"pipeline.yaml": pipeline, "operations.py": OPERATION})
    submitted = json.loads(dfh("submit", "--site", "local", "--json", cwd=project).stdout)
    folder = Path(submitted["report"]).parent
    log = folder / "jobs" / "wait" / "out.1.log"
    end = time.monotonic() + 60
    while not (log.exists() and "waiting" in log.read_text()):
        assert time.monotonic() < end, "the job never began"
        time.sleep(0.1)
    dfh("cancel", folder.name, cwd=project)
    watched = dfh("status", folder.name, "--watch", cwd=project, expect=9)
    assert "cancelled" in watched.stdout
    state = json.loads((folder / "jobs" / "wait" / "state.json").read_text())
    assert state["state"] == "cancelled"
