"""`dfh cancel` of a running job: the job's own word is `cancelled`, not `interrupted`."""

from __future__ import annotations

import json
import shutil
import time
from pathlib import Path
from typing import Any

import pytest

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


def test_logs_after_a_cancellation_are_those_of_what_ran(
    dfh: Any, gated: Path, status: Any, until: Any
) -> None:
    operations = gated / "operations.py"
    use = "def use(word: str) -> str:\n    used = word\n    return used\n"
    operations.write_text(operations.read_text() + use)
    pipeline = (gated / "pipeline.yaml").read_text()
    use = (
        "  use: {uses: 'operations.py:use', inputs: {word: wait.word}}\noutputs: {used: use.used}\n"
    )
    (gated / "pipeline.yaml").write_text(pipeline.partition("outputs:")[0] + use)
    dfh("submit", cwd=gated)
    log = gated / "executions/gated-0001/jobs/wait/out.1.log"
    until(lambda: log.exists() and "waiting" in log.read_text())
    dfh("cancel", "latest", cwd=gated)
    until(lambda: status(gated)["state"] == "cancelled")
    assert "waiting" in dfh("logs", cwd=gated).stdout
    said = dfh("logs", "latest", "use", cwd=gated, expect=2).stderr
    assert "use has no log" in said
    assert "It never ran: dfh status gated-0001 tells why." in said


TORN = {
    "torn": lambda content: content[: len(content) // 2],
    "of another kind": lambda _: b'{"schema": "dfh/execution/1"}',
}


@pytest.mark.parametrize("how", TORN)
def test_a_damaged_execution_is_cancelled_by_its_journal(
    dfh: Any, gated: Path, status: Any, until: Any, at_gate: Any, how: str
) -> None:
    dfh("submit", cwd=gated)
    folder = gated / "executions" / "gated-0001"
    at_gate(gated)
    whole = (folder / "execution.json").read_bytes()
    (folder / "execution.json").write_bytes(TORN[how](whole))
    listed = json.loads(dfh("executions", "list", "--json", cwd=gated).stdout)["executions"]
    assert [(item["id"], item["state"], item["site"]) for item in listed] == [
        ("gated-0001", "damaged", "local")
    ]
    error = dfh("status", "gated-0001", cwd=gated, expect=None).stderr
    assert "execution.json" in error
    assert "dfh cancel gated-0001" in error
    dfh("executions", "prune", "--keep", "0", "--yes", "--force", cwd=gated)
    assert "cancelled wait" in dfh("cancel", "gated-0001", cwd=gated).stdout
    (folder / "execution.json").write_bytes(whole)
    until(lambda: status(gated)["state"] == "cancelled")


@pytest.mark.parametrize("emptied", [b"", bytes(9)])
def test_an_execution_that_a_power_cut_has_emptied_goes_on(
    dfh: Any, gated: Path, status: Any, until: Any, at_gate: Any, emptied: bytes
) -> None:
    dfh("submit", cwd=gated)
    path = gated / "executions" / "gated-0001" / "execution.json"
    at_gate(gated)
    whole = path.read_bytes()
    path.write_bytes(emptied)
    (listed,) = json.loads(dfh("executions", "list", "--json", cwd=gated).stdout)["executions"]
    assert (listed["id"], listed["state"], listed["site"]) == ("gated-0001", "running", "local")
    dfh("cancel", "latest", cwd=gated)
    until(lambda: status(gated)["state"] == "cancelled")
    (gated / "open").touch()
    dfh("resume", "latest", cwd=gated)
    assert path.read_bytes() == whole
    until(lambda: status(gated)["state"] == "succeeded")
    assert "gated-0001/wait" in dfh("prov", "show", "gated-0001/wait", cwd=gated).stdout


def test_a_damaged_copy_does_not_cancel_the_jobs_of_the_original(
    dfh: Any, gated: Path, status: Any, at_gate: Any, tmp_path: Path, follow: Any
) -> None:
    dfh("submit", cwd=gated)
    folder = gated / "executions" / "gated-0001"
    at_gate(gated)
    refused = []
    for copy, said in (
        (folder.with_name("gated-0099"), "is a copy of gated-0001"),
        (tmp_path / "elsewhere" / "gated-0001", "is a copy from outside"),
    ):
        shutil.copytree(folder, copy)
        (copy / "execution.json").write_text("{")
        refused.append(dfh("cancel", copy, cwd=gated, expect=2))
        assert said in refused[-1].stderr
        shutil.rmtree(copy)
    assert status(gated)["state"] == "running"
    step = "api/manage.py _require_original: dfh cancel"
    assert "cancelled wait" in follow(step, refused[0], cwd=gated).stdout


def test_what_is_cancelled_must_be_named(dfh: Any, tmp_path: Any) -> None:
    told = dfh("cancel", cwd=tmp_path, expect=2).stderr
    assert "nothing says which execution is to be cancelled" in told
    assert "`latest`" in told
