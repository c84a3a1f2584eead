"""A project of several people, on a real cluster: whose jobs they are, Slurm judges."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from deepforge_hpc.runtime.base.states import State

pytestmark = pytest.mark.slurm
ALICE, BOB = 65534, 1  # nobody, who has an account on the cluster, and daemon
PIPELINE = """\
pipeline: shared
environment: {python: /usr/bin/python3}
operations:
  wait: {uses: 'operations.py:wait', attributes: {folder: FOLDER}}
"""
OPERATION = """\
import os, time


def wait(folder: str) -> int:
    with open(f"{folder}/ran", "a") as stream:
        stream.write("x")
    while not os.path.exists(f"{folder}/open"):
        time.sleep(0.05)
    value = 1
    return value
"""


def poll(ask: Callable[[], Any], limit_s: float = 60) -> Any:
    deadline = time.monotonic() + limit_s
    while not (answer := ask()):
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.2)  # to ask Slurm is to start programs, which take the cores
    return answer


def test_only_who_submitted_can_act_on_what_is_not_over(
    slurm_cluster: Any, dfh: Any, as_user: Any, shared: Path, follow: Any, trust: Any
) -> None:
    project = shared / "project"
    trust(project)  # each of them says so: it is Alice's
    project.mkdir()
    project.chmod(0o777)
    (project / "pipeline.yaml").write_text(PIPELINE.replace("FOLDER", str(project)))
    (project / "operations.py").write_text(OPERATION)
    os.chown(project, ALICE, ALICE)
    alice, bob = as_user(ALICE, umask="0"), as_user(BOB, umask="0")

    def ran() -> int:
        return len((project / "ran").read_text()) if (project / "ran").exists() else 0

    def states() -> list[str]:
        told = json.loads(alice("status", "shared-0001", "--json", cwd=project).stdout)
        return [job["state"] for job in told["jobs"]]

    alice("submit", "--site", "slurm-generic", cwd=project)
    poll(ran)
    journal = project / "executions" / "shared-0001" / "submitted.jsonl"
    assert json.loads(journal.read_bytes().splitlines()[0])["user"] == "nobody"
    before, refused = journal.read_bytes(), {}
    for person, verb in ((bob, "cancel"), (bob, "resume"), (dfh, "resume")):
        refused[verb] = person(verb, "shared-0001", cwd=project, expect=5)
        said = f"submitted by nobody: until it is over, only nobody can {verb} it"
        assert said in refused[verb].stderr
    step = "submit/permission.py check_user: dfh VERB, dfh status"
    assert "running" in follow(step, refused["resume"], cwd=shared, verb="status", by=bob).stdout
    seen = json.loads(bob("status", "shared-0001", "--json", cwd=project).stdout)
    assert (seen["state"], seen["next"]) == ("running", "dfh status shared-0001 --watch")
    (told,) = [notice for notice in seen["warnings"] if notice["kind"] == "other_user"]
    assert "submitted by nobody" in told["text"]
    mine = json.loads(alice("status", "shared-0001", "--json", cwd=project).stdout)
    assert "other_user" not in {notice["kind"] for notice in mine["warnings"]}
    assert journal.read_bytes() == before
    asked = follow(step, refused["cancel"], cwd=shared, verb="cancel", by=alice)
    assert "cancelled wait" in asked.stdout
    dfh("cancel", "shared-0001", cwd=project)  # root can
    poll(lambda: all(State(state).is_final for state in states()))
    # The final job had ended, or root's word was for it: alone it closes nothing.
    assert states()[0] == "cancelled"
    assert ran() == 1
    # What is over is everybody's who may write there, and then theirs.
    (project / "open").touch()
    bob("cancel", "shared-0001", cwd=project)
    mask = os.umask(0o077)
    try:
        resumed = dfh.start("resume", "shared-0001", cwd=project)
        assert "Submitted" in resumed.communicate(timeout=60)[0]
    finally:
        os.umask(mask)
    poll(lambda: states() == ["succeeded", "succeeded"])
    # sbatch hands the umask on: what root's jobs write is Alice's to read.
    made = [path.stat() for path in (project / "executions").rglob("*")]
    assert {one.st_mode & 0o004 for one in made if one.st_uid == 0} == {0o004}
    assert ran() == 2
    users = [json.loads(line).get("user") for line in journal.read_bytes().splitlines()]
    assert [user for user in users if user] == ["nobody", "root"]
