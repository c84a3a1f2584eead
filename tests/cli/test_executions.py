"""Finding, listing and removing executions; nothing outside their folder is ever touched."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from deepforge_hpc.submit.lease import SUBMITTING, Owner


@pytest.fixture
def ended(dfh: Any, project: Path, until: Any) -> Path:
    """Return a project with two executions that are over, and so are the engines that ran them."""
    dfh("run", cwd=project)
    dfh("run", cwd=project)
    until(lambda: not [*project.glob("executions/*/local/engine.json")])
    return project


def ids(dfh: Any, project: Path) -> list[str]:
    found = json.loads(dfh("executions", "list", "--json", cwd=project).stdout)
    return [item["id"] for item in found["executions"]]


def test_execution_is_found_by_whatever_a_person_calls_it(dfh: Any, ended: Path) -> None:
    for name in (
        "small-0001",
        "1",
        "0001",
        "executions/small-0001",
        "./executions/small-0001/jobs",
    ):
        found = json.loads(dfh("status", name, "--json", cwd=ended).stdout)
        assert found["id"] == "small-0001", name
    inside = ended / "executions" / "small-0001" / "jobs"
    assert json.loads(dfh("status", "--json", cwd=inside).stdout)["id"] == "small-0001"
    assert json.loads(dfh("status", "--json", cwd=ended).stdout)["id"] == "small-0002"
    error = dfh("status", "small", cwd=ended, expect=2).stderr
    assert "several executions fit: small-0002, small-0001" in error
    assert "no such execution" in dfh("status", "small-0009", cwd=ended, expect=2).stderr


def test_of_many_executions_the_hint_says_how_many_it_leaves_out(dfh: Any, ended: Path) -> None:
    home = ended / "executions"
    for number in range(3, 7):
        shutil.copytree(home / "small-0002", home / f"small-{number:04d}")
    known = dfh("status", "nothing", cwd=ended, expect=2).stderr
    assert known.count("small-") == 4
    assert known.rstrip().endswith("and 2 more.")
    several = dfh("status", "small", cwd=ended, expect=2).stderr
    assert "several executions fit: small-" in several
    assert "and 2 more\n" in several


def test_list_shows_states_and_sizes(dfh: Any, ended: Path) -> None:
    text = dfh("executions", "list", cwd=ended).stdout
    assert "small-0001  succeeded" in text
    assert "small-0002  reused" in text
    assert re.search(r"\d [KM]iB", text)
    assert "2 executions" in text


def test_removing_wants_a_yes_and_keeps_the_records(dfh: Any, ended: Path) -> None:
    kept = ended / "executions" / "small-0002" / "jobs" / "total" / "outputs" / "sum.json"
    assert "Add --yes" in dfh("executions", "rm", "1", cwd=ended, expect=2).stderr
    assert ids(dfh, ended) == ["small-0002", "small-0001"]
    assert dfh("executions", "rm", "1", "--yes", cwd=ended).stdout == "removed small-0001\n"
    assert ids(dfh, ended) == ["small-0002"]
    assert [path.name for path in (ended / "executions").iterdir()] == ["small-0002"]
    assert json.loads(kept.read_text()) == 6
    assert "2 earlier records" in dfh("prov", "show", kept, cwd=ended).stdout


def test_prune_keeps_the_newest(dfh: Any, ended: Path) -> None:
    assert dfh("executions", "prune", "--keep", "2", "--yes", cwd=ended).stdout == (
        "nothing to remove\n"
    )
    dfh("executions", "prune", "--keep", "1", "--yes", cwd=ended)
    assert ids(dfh, ended) == ["small-0002"]


def test_live_execution_is_not_removed(dfh: Any, gated: Path) -> None:
    dfh("submit", cwd=gated)
    error = dfh("executions", "rm", "gated-0001", "--yes", "--force", cwd=gated, expect=2).stderr
    assert "is not over" in error
    assert "dfh cancel gated-0001" in error
    assert dfh("executions", "prune", "--keep", "0", "--yes", cwd=gated).stdout == (
        "nothing to remove\n"
    )
    (gated / "open").touch()
    dfh("status", "--watch", cwd=gated)
    dfh("executions", "rm", "gated-0001", "--yes", cwd=gated)


def test_what_lies_elsewhere_or_is_a_link_is_not_removed(
    dfh: Any, ended: Path, tmp_path: Path
) -> None:
    copy = tmp_path / "elsewhere" / "small-0001"
    shutil.copytree(ended / "executions" / "small-0001", copy)
    error = dfh("executions", "rm", str(copy), "--yes", cwd=ended, expect=2).stderr
    assert "not in an executions folder" in error
    assert (copy / "execution.json").exists()
    (ended / "executions" / "small-0003").symlink_to(copy)
    assert ids(dfh, ended) == ["small-0002", "small-0001"]
    dfh("executions", "rm", "3", "--yes", cwd=ended, expect=2)
    precious = tmp_path / "precious.txt"
    precious.write_text("keep me")
    (ended / "executions" / "small-0001" / "jobs" / "link").symlink_to(tmp_path)
    dfh("executions", "rm", "1", "--yes", cwd=ended)
    assert precious.read_text() == "keep me"
    assert (copy / "execution.json").exists()


def test_copied_execution_can_be_read_but_not_acted_on(
    dfh: Any, ended: Path, tmp_path: Path
) -> None:
    copy = tmp_path / "copied" / "small-0001"
    shutil.copytree(ended / "executions" / "small-0001", copy)
    assert "This is a copy" in dfh("status", copy, cwd=ended).stdout
    for command in ("resume", "cancel"):
        error = dfh(command, copy, cwd=ended, expect=2).stderr
        assert "is a copy" in error
        assert str(ended / "executions" / "small-0001") in error
    assert "total" in dfh("logs", copy, "total", cwd=ended).stderr
    (ended / "executions" / "small-0001").rename(tmp_path / "away")
    assert "The original is gone" in dfh("resume", copy, cwd=ended, expect=2).stderr


def test_a_moved_project_has_a_next_step(
    dfh: Any, gated: Path, at_gate: Any, until: Any, status: Any, follow: Any, tmp_path: Path
) -> None:
    moved = tmp_path / "it's moved"
    dfh("submit", cwd=gated)
    at_gate(gated)
    gated.rename(moved)
    shown = dfh("status", cwd=moved, expect=None)
    assert f"Its project was moved: gated-0001 was created at {gated}/executions" in shown.stdout
    (step,) = re.findall(r"next    (mv .*); then dfh status gated-0001", shown.stdout)
    subprocess.run(["sh", "-c", step], cwd=moved, check=True)
    follow("submit/inspect.py _after_move: dfh status", shown, cwd=gated, expect=None)
    dfh("cancel", "1", cwd=gated, expect=None)
    until(lambda: not (gated / "executions" / "gated-0001" / "local" / "engine.json").exists())
    status(gated)  # it writes down how the jobs ended
    (gated / "open").touch()
    gated.rename(moved)
    shown = dfh("status", "gated-0001", cwd=moved, expect=None)
    step = "runtime/base/advice.py pipeline_command: dfh VERB"
    assert "gated-0002" in follow(step, shown, cwd=moved, verb="submit").stdout
    dfh("cancel", "2", cwd=moved)
    until(lambda: not (moved / "executions" / "gated-0002" / "local" / "engine.json").exists())
    moved.rename(gated)


def test_copy_in_the_executions_folder_goes_by_its_own_name(dfh: Any, ended: Path) -> None:
    executions = ended / "executions"
    shutil.copytree(executions / "small-0001", executions / "small-0099")
    assert sorted(ids(dfh, ended)) == ["small-0001", "small-0002", "small-0099"]
    assert "This is a copy" not in dfh("status", "small-0001", cwd=ended).stdout
    assert "This is a copy" in dfh("status", "99", cwd=ended).stdout
    dfh("executions", "rm", "small-0099", "--yes", cwd=ended)
    assert sorted(path.name for path in executions.iterdir()) == ["small-0001", "small-0002"]


def test_execution_that_has_lost_its_file_is_shown_and_stays(dfh: Any, ended: Path) -> None:
    (ended / "executions" / "small-0002" / "execution.json").unlink()
    assert "small-0002  damaged" in dfh("executions", "list", cwd=ended).stdout
    assert "dfh cancel small-0002" in dfh("status", "2", cwd=ended, expect=6).stderr
    assert "nothing was queued" in dfh("cancel", "2", cwd=ended).stdout
    done = dfh("executions", "prune", "--keep", "0", "--yes", cwd=ended)
    assert "removed small-0001" in done.stdout
    assert "execution.json" in done.stderr
    assert ids(dfh, ended) == ["small-0002"]


def test_prune_takes_what_a_killed_submission_left(dfh: Any, ended: Path) -> None:
    executions = ended / "executions"
    begun, odd = executions / "small-0007", executions / "small-0008"
    removed, fresh = executions / ".removed-small-0003-0a1b", executions / "small-0009"
    for folder in (begun / "code", odd / "notes", removed / "jobs", fresh / "code"):
        folder.mkdir(parents=True)
    (removed / "execution.json").write_bytes(
        (executions / "small-0001/execution.json").read_bytes()
    )
    slow, killed = executions / "small-0010", executions / "small-0011"
    dead = Owner(pid=os.getpid(), start_time="1", host=os.uname().nodename)
    for folder, owner in ((slow, Owner.current()), (killed, dead)):
        (folder / SUBMITTING).mkdir(parents=True)
        (folder / SUBMITTING / owner.file_name).touch()
    for folder in (begun, odd, removed, slow, killed):
        os.utime(folder, (0, 0))
    assert ids(dfh, ended) == ["small-0002", "small-0001"]
    dfh("executions", "prune", "--keep", "2", "--yes", cwd=ended)
    assert sorted(path.name for path in executions.iterdir()) == [
        "small-0001", "small-0002", "small-0008", "small-0009", "small-0010",
    ]  # fmt: skip


@pytest.mark.parametrize("why", ["copy", "code"])
def test_resume_is_not_offered_where_it_is_refused(
    dfh: Any, gated: Path, status: Any, until: Any, at_gate: Any, tmp_path: Path, why: str
) -> None:
    dfh("submit", cwd=gated)
    at_gate(gated)
    dfh("cancel", "1", cwd=gated)
    until(lambda: status(gated)["state"] == "cancelled")
    folder = gated / "executions" / "gated-0001"
    assert status(gated)["next"] == "dfh resume gated-0001"
    if why == "copy":
        folder = Path(shutil.copytree(folder, tmp_path / "copied" / "gated-0001"))
    else:
        code = folder / "code" / "project" / "operations.py"
        code.chmod(0o644)
        code.write_text(code.read_text() + "#")
    shown = dfh("status", folder, cwd=gated)
    assert "dfh resume" not in shown.stdout + shown.stderr
    dfh("resume", folder, cwd=gated, expect=None)
    found = status(gated, str(folder))
    assert ("dfh submit" in found["next"]) is (why == "code")
    said = "frozen code was changed" if why == "code" else "This is a copy"
    assert any(said in notice["text"] for notice in found["warnings"])
