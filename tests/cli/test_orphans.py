"""A submission that broke off is named by the next submit and by every status of the project."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest


@pytest.fixture
def broken_off(dfh: Any, project: Path) -> str:
    """Return the id of an execution whose submitter died before it released its jobs."""
    first = dfh("submit", "--site", "local", "--json", cwd=project)
    assert first.returncode == 0, first.stderr
    folder = Path(json.loads(first.stdout)["report"]).parent
    journal = folder / "submitted.jsonl"
    done = dfh("status", folder.name, "--watch", cwd=project)
    assert done.returncode == 0, done.stdout
    lines = journal.read_text().splitlines(keepends=True)
    kept = [line for line in lines if json.loads(line)["event"] in {"intent", "job"}]
    assert len(kept) < len(lines)
    journal.write_text("".join(kept))
    return folder.name


def test_submit_and_status_name_a_submission_that_broke_off(
    dfh: Any, project: Path, broken_off: str
) -> None:
    second = dfh("submit", "--site", "local", cwd=project)
    assert second.returncode == 0, second.stderr
    assert f"{broken_off}: the submission broke off" in second.stderr
    assert f"dfh resume {broken_off}" in second.stderr
    status = dfh("status", "latest", cwd=project)
    assert f"{broken_off}: the submission broke off" in status.stderr
    found = json.loads(dfh("status", "latest", "--json", cwd=project).stdout)
    assert [item["subject"] for item in found["warnings"]] == [broken_off]
    third = dfh("run", "--site", "local", "--json", cwd=project)
    assert f"{broken_off}: the submission broke off" in third.stderr
    (told,) = json.loads(third.stdout)["warnings"]
    assert (told["kind"], told["subject"]) == ("submission_broken", broken_off)


WAITS = """\
import os, time


def wait(folder: str) -> int:
    open(f"{folder}/ran", "a").write("x")
    while not os.path.exists(f"{folder}/open"):
        time.sleep(0.05)
    value = 1
    return value
"""


def test_jobs_of_which_an_emptied_journal_knows_nothing_are_left_alone(
    dfh: Any, project: Path, until: Callable[..., Any], follow: Any
) -> None:
    (project / "waits.py").write_text(WAITS)
    (project / "waits.yaml").write_text(
        "pipeline: kept\nenvironment: {python: /usr/bin/python3}\n"
        f"operations: {{wait: {{uses: 'waits.py:wait', attributes: {{folder: {project}}}}}}}\n"
    )
    dfh("submit", "waits.yaml", "--site", "local", cwd=project)
    until((project / "ran").exists)
    (project / "executions/kept-0001/submitted.jsonl").write_bytes(b"")
    refused = dfh("resume", "kept-0001", cwd=project, expect=2).stderr
    assert "kept-0001 is not over: _final, wait; submitted.jsonl is empty" in refused
    assert (project / "ran").read_text() == "x"
    step = "submit/chain.py _require_journal: dfh cancel"
    assert "cancelled" in follow(step, refused, cwd=project).stdout
    # The log of the first attempt tells an engine that what has its number was started.
    (project / "open").touch()
    dfh("resume", "kept-0001", cwd=project)
    dfh("status", "kept-0001", "--watch", cwd=project)
    assert (project / "ran").read_text() == "xx"
    said = (project / "executions/kept-0001/submitted.jsonl").read_text().splitlines()
    assert {json.loads(line)["attempt"] for line in said} == {2}


def test_place_of_an_execution_whose_journal_was_emptied_is_not_given_to_another(
    dfh: Any, project: Path, until: Callable[..., Any]
) -> None:
    (project / "waits.py").write_text(WAITS)
    pipeline = (
        "pipeline: kept\nenvironment: {python: /usr/bin/python3}\n"
        f"operations: {{wait: {{uses: 'waits.py:wait', attributes: {{folder: {project}}}}}}}\n"
        "outputs: {value: {from: wait.value, to: results/value}}\n"
    )
    (project / "waits.yaml").write_text(pipeline)
    dfh("submit", "waits.yaml", "--site", "local", cwd=project)
    until((project / "ran").exists)
    journal_file = project / "executions/kept-0001/submitted.jsonl"
    kept = journal_file.read_bytes()
    journal_file.write_bytes(b"")
    (project / "waits.yaml").write_text(pipeline.replace("kept", "second"))
    refused = dfh("submit", "waits.yaml", "--site", "local", cwd=project, expect=2).stderr
    assert "is being written by kept-0001, which is not over" in refused
    journal_file.write_bytes(kept)
    dfh("cancel", "kept-0001", cwd=project)
