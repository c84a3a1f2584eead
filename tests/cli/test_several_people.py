"""A project that another user owns: what that user's files allow, and what is said if they do not."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

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
