"""Executions that commit 2a61b35 made are shown, verified and resumed; they bring their own runtime.

If one of these fails, a reader has stopped to take old files, or a command line no longer fits the
scripts of executions that wait in somebody's queue. Mend that; the archive is never made anew.
"""

from __future__ import annotations

import json
import os
import sys
import tarfile
from pathlib import Path
from typing import Any

import pytest

ARCHIVE = Path(__file__).parents[1] / "fixtures" / "executions-2a61b35" / "galaxies.tar.xz"
MADE_AT = "/tmp/lab/galaxies"
CUBES = sum(number**3 for number in range(9))
SQUARES = sum(number**2 for number in range(9))


@pytest.fixture
def galaxies(tmp_path: Path, clean_environment: dict[str, str]) -> Path:
    """Return the project, at home where it is unpacked."""
    with tarfile.open(ARCHIVE) as archive:
        archive.extractall(tmp_path, filter="data")
    project = tmp_path / "galaxies"
    for path in project.glob("executions/*/execution.json"):
        text = path.read_text()
        assert text.count(MADE_AT) == 3, "home, project and ledger"
        path.chmod(0o644)
        path.write_text(text.replace(MADE_AT, str(project)))
    # The jobs of both want `python3`, which must be one that has what the tests have.
    clean_environment["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    return project


def states(dfh: Any, project: Path, execution: str) -> dict[str, str]:
    """Return the state of each job, as `dfh status` has it."""
    found = json.loads(dfh("status", execution, "--json", cwd=project).stdout)
    return {job["name"]: job["state"] for job in found["jobs"]}


def test_both_are_listed(dfh: Any, galaxies: Path) -> None:
    listed = json.loads(dfh("executions", "list", "--json", cwd=galaxies).stdout)

    assert {item["id"]: item["state"] for item in listed["executions"]} == {
        "complete-0001": "succeeded",
        "unfinished-0001": "failed",
    }


def test_states_are_those_of_their_time(dfh: Any, galaxies: Path) -> None:
    assert states(dfh, galaxies, "complete-0001") == {
        "rows": "succeeded",
        "squares": "succeeded",
        "squares.gather": "succeeded",
        "fit": "succeeded",
        "_final": "succeeded",
    }
    assert states(dfh, galaxies, "unfinished-0001") == {
        "rows": "reused",
        "cubes": "failed",
        "cubes.gather": "never_ran",
        "total": "never_ran",
        "_final": "succeeded",
    }
    shown = dfh("status", "unfinished-0001", cwd=galaxies).stdout
    assert "the power went out (operations.py:" in shown
    assert "from complete-0001" in shown
    assert "loss 0.3333" in dfh("status", "complete-0001", cwd=galaxies).stdout


def test_the_page_is_rendered_anew(dfh: Any, galaxies: Path) -> None:
    for execution, words in (
        ("complete-0001", ["Squares", "loss", "data:image/"]),
        ("unfinished-0001", ["the power went out", "complete-0001"]),
    ):
        page = galaxies / "executions" / execution / "report.html"
        page.unlink()
        dfh("report", execution, cwd=galaxies)
        text = page.read_text()
        assert [word for word in words if word not in text] == []


def test_history_is_told_and_holds(dfh: Any, galaxies: Path) -> None:
    shown = dfh("prov", "show", "complete-0001/fit", cwd=galaxies).stdout
    assert "catalogue" in shown
    traced = dfh("prov", "trace", "results/model.json", cwd=galaxies).stdout
    assert [job for job in ("rows", "squares", "fit") if job not in traced] == []

    # A record each: jobs and tasks that ran, the final job, and what was reused at its first place.
    for subject, records in (
        ("complete-0001", 7),
        ("results/model.json", 6),
        ("unfinished-0001", 6),
    ):
        found = json.loads(dfh("prov", "verify", subject, "--json", cwd=galaxies).stdout)
        assert (found["ok"], found["findings"]) == (True, []), subject
        assert found["records"] == records, subject


def test_an_edit_of_an_old_result_is_found(dfh: Any, galaxies: Path) -> None:
    path = galaxies / "executions/complete-0001/jobs/squares/task-00001/outputs/squares.json"
    path.chmod(0o644)
    path.write_text(path.read_text().replace("16", "17"))

    found = json.loads(
        dfh("prov", "verify", "complete-0001", "--json", cwd=galaxies, expect=None).stdout
    )

    assert not found["ok"]
    # The gathered value is a second name of the same file.
    assert [item["kind"] for item in found["findings"]] == ["output_modified"] * 2


def test_the_unfinished_one_is_resumed(dfh: Any, galaxies: Path, until: Any) -> None:
    folder = galaxies / "executions/unfinished-0001"
    code = {path: path.read_bytes() for path in folder.glob("code/**/*") if path.is_file()}
    kept = {
        path: path.read_bytes()
        for path in [*folder.glob("jobs/cubes/task-0000[02]/**/*"), *folder.glob("jobs/rows/**/*")]
        if path.is_file()
    }

    dfh("resume", "unfinished-0001", cwd=galaxies)

    until(lambda: states(dfh, galaxies, "unfinished-0001")["_final"] == "succeeded")
    assert set(states(dfh, galaxies, "unfinished-0001").values()) == {"succeeded", "reused"}
    assert json.loads((folder / "jobs/total/outputs/total.json").read_bytes()) == CUBES
    assert {path: path.read_bytes() for path in kept} == kept, "what had succeeded ran again"
    assert {path: path.read_bytes() for path in code} == code, "it must run with its own runtime"
    assert json.loads((folder / "jobs/cubes/task-00001/success.json").read_bytes())["attempt"] == 2
    found = json.loads(dfh("prov", "verify", "unfinished-0001", "--json", cwd=galaxies).stdout)
    assert (found["ok"], found["findings"]) == (True, [])


def test_what_is_complete_is_not_run_again(dfh: Any, galaxies: Path) -> None:
    folder = galaxies / "executions/complete-0001"
    before = {path: path.read_bytes() for path in folder.rglob("success.json")}

    printed = dfh("resume", "complete-0001", cwd=galaxies, expect=None)

    assert {path: path.read_bytes() for path in folder.rglob("success.json")} == before
    assert json.loads((folder / "jobs/fit/outputs/model.json").read_bytes())["sum"] == SQUARES
    assert printed.returncode in (0, 2), printed
