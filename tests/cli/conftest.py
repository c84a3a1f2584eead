"""Waiting for what a command started."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest


@pytest.fixture
def until() -> Callable[..., Any]:
    """Return a function that polls until a condition gives a true value, and returns it."""

    def wait(condition: Callable[[], Any], timeout: float = 60) -> Any:
        deadline = time.monotonic() + timeout
        while not (value := condition()):
            if time.monotonic() > deadline:
                pytest.fail(f"not within {timeout} s")
            time.sleep(0.1)
        return value

    return wait


@pytest.fixture
def status(dfh: Any) -> Callable[..., dict[str, Any]]:
    """Return a function that gives `dfh status --json` of an execution."""

    def ask(project: Path, execution: str = "latest") -> dict[str, Any]:
        document: dict[str, Any] = json.loads(
            dfh("status", execution, "--json", cwd=project).stdout
        )
        return document

    return ask


@pytest.fixture
def at_gate(until: Callable[..., Any]) -> Callable[..., None]:
    """Return a function that waits until the operation of `gated` waits at its gate.

    `running` is said from the start of its supervisor on, before it has read what it needs.
    """

    def wait(project: Path, attempt: int = 1, execution: str = "gated-0001") -> None:
        log = project / "executions" / execution / "jobs" / "wait" / f"out.{attempt}.log"
        until(lambda: log.exists() and "waiting" in log.read_text())

    return wait


@pytest.fixture
def gated(make_project: Callable[..., Path], dfh: Any, until: Callable[..., Any]) -> Iterator[Path]:
    """Return a project whose only operation runs until a file `open` is in the project.

    Afterwards nothing of it runs, whatever the test has done.
    """
    project = make_project(
        {
            "operations.py": (
                "import os, time\n"
                "def wait(gate: str) -> str:\n"
                "    print('waiting', flush=True)\n"
                "    while not os.path.exists(gate):\n"
                "        time.sleep(0.05)\n"
                "    word = 'done'\n"
                "    print('the gate is open')\n"
                "    return word\n"
            )
        },
        name="gated",
    )
    gate = project / "open"
    (project / "pipeline.yaml").write_text(
        "pipeline: gated\n"
        "operations:\n"
        f"  wait: {{uses: 'operations.py:wait', attributes: {{gate: {gate}}}}}\n"
        "outputs: {word: wait.word}\n"
    )
    yield project
    gate.touch()
    for execution in project.glob("executions/*"):
        dfh("cancel", execution, cwd=project, expect=None)
        # An engine that has nothing to do any more removes this file, and ends.
        until(lambda execution=execution: not (execution / "local" / "engine.json").exists())


@pytest.fixture
def gated_then_used(gated: Path) -> Path:
    """Return the project of `gated` with an operation `use` that waits for the other one."""
    code, file = gated / "operations.py", gated / "pipeline.yaml"
    use = "def use(word: str) -> str:\n    same = word\n    return same\n"
    code.write_text(code.read_text() + use)
    job = "  use: {uses: 'operations.py:use', inputs: {word: wait.word}}\noutputs:"
    file.write_text(file.read_text().replace("outputs:", job))
    return gated
