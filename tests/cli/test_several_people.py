"""A project that another user owns: what that user's files allow, and what is said if they do not."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from deepforge_hpc.processes import read
from deepforge_hpc.schedulers.local_queue import LocalQueue

ALICE, BOB = 65534, 1  # nobody and daemon
PIPELINE = """\
pipeline: shared
environment: {python: /usr/bin/python3}
operations: {wait: {uses: 'operations.py:wait', attributes: {folder: FOLDER}}}
"""
OPERATION = """\
import os, time


def wait(folder: str) -> int:
    open(f"{folder}/ran", "a").close()
    while not os.path.exists(f"{folder}/open"):
        time.sleep(0.05)
    raise RuntimeError("asked to fail")
"""


def test_a_colleague_who_may_only_read_is_told_whose_it_is(
    dfh: Any,
    as_user: Callable[..., Any],
    shared: Path,
    until: Callable[..., Any],
    follow: Callable[..., Any],
    trust: Callable[[Path], None],
) -> None:
    project = shared / "project"
    project.mkdir()
    (project / "pipeline.yaml").write_text(PIPELINE.replace("FOLDER", str(project)))
    (project / "operations.py").write_text(OPERATION)
    os.chown(project, ALICE, ALICE)
    alice, bob = as_user(ALICE), as_user(BOB)
    alice("submit", "--site", "local", cwd=project)
    until((project / "ran").exists)
    only = "submitted by nobody: until it is over, only nobody can cancel it"
    assert only in bob("cancel", "executions/shared-0001", cwd=project, expect=5).stderr
    trust(project)
    assert only in bob("cancel", "shared-0001", cwd=project, expect=5).stderr
    # Whose it is, is known also where a file system has emptied what was submitted.
    journal = project / "executions/shared-0001/submitted.jsonl"
    kept = journal.read_bytes()
    journal.write_bytes(b"")
    assert only in bob("cancel", "shared-0001", cwd=project, expect=5).stderr
    journal.write_bytes(kept)
    seen = json.loads(bob("status", "--json", cwd=project).stdout)
    assert (seen["state"], seen["next"]) == ("running", "dfh status shared-0001 --watch")
    (told,) = [notice for notice in seen["warnings"] if notice["kind"] == "other_user"]
    assert "submitted by nobody" in told["text"]
    shown = bob("status", cwd=project)
    (project / "open").touch()
    step = "submit/inspect.py _next: dfh status"
    assert "shared-0001  failed" in follow(step, shown, cwd=project, by=bob, expect=9).stdout
    # It is over, and still nobody's.
    folder = project / "executions" / "shared-0001"
    for opened, denied in ((None, "submitting"), (folder, "submitted.jsonl")):
        if opened is not None:
            opened.chmod(0o777)
        said = bob("resume", "shared-0001", cwd=project, expect=6).stderr
        assert denied in said
        assert "Permission denied" in said
        assert "belongs to nobody" in said
        assert "space" not in said
    said = bob("submit", "--site", "local", cwd=project, expect=6).stderr
    assert "Permission denied" in said
    assert "space" not in said


@pytest.fixture
def alice(as_user: Callable[..., Any]) -> Any:
    return as_user(ALICE)


@pytest.fixture
def stubborn(alice: Any, shared: Path, until: Callable[..., Any]) -> Path:
    """Return a project of nobody's whose job runs on this machine, and does not heed SIGTERM."""
    project = shared / "project"
    project.mkdir()
    (project / "pipeline.yaml").write_text(PIPELINE.replace("FOLDER", str(project)))
    deaf = "    import signal\n    signal.signal(signal.SIGTERM, signal.SIG_IGN)\n    open("
    (project / "operations.py").write_text(OPERATION.replace("    open(", deaf, 1))
    os.chown(project, ALICE, ALICE)
    alice("submit", "--site", "local", cwd=project)
    until((project / "ran").exists)
    return project


@pytest.fixture
def umask_077() -> Iterator[None]:
    before = os.umask(0o077)
    yield
    os.umask(before)


def has_ended(project: Path) -> bool:
    """Tell whether nothing of its execution runs on this machine, whoever asks for that."""
    uuid = json.loads((project / "executions/shared-0001/execution.json").read_text())["uuid"]
    token = f"DFH_LOCAL_TOKEN={uuid}.".encode()
    return not any(token in read(int(p.name), "environ") for p in Path("/proc").glob("[0-9]*"))


def test_what_root_cancels_ends_whatever_its_umask(
    stubborn: Path, dfh: Any, umask_077: None, until: Callable[..., Any], follow: Any
) -> None:
    told = dfh.start("cancel", "executions/shared-0001", cwd=stubborn)
    said, warned = told.communicate(timeout=60)
    assert (told.returncode, "cancelled wait" in said) == (0, True)
    assert "still ending: wait (" in warned
    step = "submit/chain.py _cancel_queue: dfh status"
    assert "cancelled" in follow(step, warned, cwd=stubborn, expect=None).stdout
    until(lambda: has_ended(stubborn))
    until(lambda: not (stubborn / "executions/shared-0001/local/engine.json").exists())


def test_root_sees_what_a_killed_engine_left_and_does_not_take_its_place(
    stubborn: Path, dfh: Any, alice: Any, as_user: Callable[..., Any], until: Callable[..., Any],
    follow: Any,
) -> None:  # fmt: skip
    queue = LocalQueue.of(str(stubborn / "executions/shared-0001"))
    os.kill(int(json.loads(queue.engine.read_bytes())["pid"]), signal.SIGKILL)
    until(lambda: not queue.has_engine)
    for look in (dfh, as_user(BOB)):
        seen = json.loads(look("status", "--json", cwd=stubborn).stdout)
        assert {job["name"]: job["state"] for job in seen["jobs"]}["wait"] == "running"
    refused = dfh("cancel", "executions/shared-0001", cwd=stubborn, expect=5).stderr
    assert "only nobody can start it again" in refused
    assert "Nothing was cancelled. As nobody: " in refused
    assert not list((queue.root / "commands").iterdir())
    step = "schedulers/local.py _require_owner: dfh cancel"
    follow(step, refused, cwd=stubborn, by=alice)
    until(lambda: has_ended(stubborn))


def test_what_root_resumes_is_its_owners_to_read_whatever_the_umask(
    alice: Any, dfh: Any, shared: Path, umask_077: None, until: Callable[..., Any]
) -> None:
    project = shared / "project"
    project.mkdir()
    (project / "pipeline.yaml").write_text(PIPELINE.replace("FOLDER", str(project)))
    (project / "operations.py").write_text(OPERATION)
    (project / "open").touch()
    for path in (project, *project.iterdir()):
        os.chown(path, ALICE, ALICE)
    alice("run", "--site", "local", cwd=project, expect=9)
    done = dfh.start("resume", "executions/shared-0001", cwd=project)
    assert "Submitted 2 jobs" in done.communicate(timeout=60)[0]
    until(lambda: has_ended(project))
    state = project / "executions/shared-0001/jobs/wait/state.json"
    assert (json.loads(state.read_text())["attempt"], state.stat().st_uid) == (2, 0)
    modes = {path: path.stat().st_mode for path in project.rglob("*") if not path.stat().st_uid}
    needed = {True: 0o055, False: 0o044}
    assert [path for path, mode in modes.items() if ~mode & needed[path.is_dir()]] == []


MADE = """\
pipeline: shared
environment: {python: /usr/bin/python3}
operations: {make: {uses: 'operations.py:make', attributes: {folder: FOLDER}}}
outputs: {value: {from: make.value, to: value.json}}
"""
MAKE = """\
import os


def make(folder: str) -> int:
    if not os.path.exists(f"{folder}/open"):
        raise RuntimeError("asked to fail")
    value = 1
    return value
"""


@pytest.fixture
def made(shared: Path) -> Path:
    """Return a project of nobody's that all may write to, whose job fails until `open` is there."""
    project = shared / "project"
    project.mkdir()
    (project / "pipeline.yaml").write_text(MADE.replace("FOLDER", str(project)))
    (project / "operations.py").write_text(MAKE)
    os.chown(project, ALICE, ALICE)
    project.chmod(0o777)
    return project


def closed(project: Path) -> list[str]:
    """Return what only its owner can read; users here can all, see `as_user`."""
    return [str(place) for place in project.rglob("*") if not place.stat().st_mode & 0o004]


def test_a_colleague_whose_umask_is_077_locks_nobody_out(
    made: Path, as_user: Callable[..., Any], trust: Callable[[Path], None]
) -> None:
    alice, bob = as_user(ALICE, umask="0"), as_user(BOB, umask="077")
    (made / "open").touch()
    trust(made)
    alice("run", "--site", "local", cwd=made)
    bob("run", "--no-reuse", "--site", "local", cwd=made)
    assert (made / "value.json").stat().st_uid == BOB
    assert closed(made) == []
    alice("run", "--no-reuse", "--site", "local", cwd=made)


def test_ones_own_project_stays_as_closed_as_one_likes(
    made: Path, as_user: Callable[..., Any]
) -> None:
    made.chmod(0o755)
    as_user(ALICE, umask="077")("run", "--site", "local", cwd=made, expect=9)
    assert (made / "executions/shared-0001").stat().st_mode & 0o077 == 0
