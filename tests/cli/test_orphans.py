"""A submission that broke off is named by the next submit and by every status of the project."""

from __future__ import annotations

import json
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
