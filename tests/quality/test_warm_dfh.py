"""A `dfh` that was forked is what a program of its own is, for whoever looks at its output and its end."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path
from typing import Any

import pytest

WAITS = """\
def count(go: str) -> list:
    numbers = [len(open(go).read())]
    return numbers
"""


@pytest.mark.parametrize(
    ("args", "env", "code"),
    [
        (("--version",), {}, 0),
        (("plan", "--json"), {}, 0),
        (("check", "none.yaml"), {}, 2),
        (("check",), {"DEEPFORGE_HPC_SIET": "local"}, 3),
    ],
)
def test_arguments_folder_variables_output_and_exit_code_are_as_of_a_program(
    dfh: Any, project: Path, args: tuple[str, ...], env: dict[str, str], code: int
) -> None:
    forked, fresh = dfh.fork(*args, cwd=project, env=env), dfh.start(*args, cwd=project, env=env)
    ours, theirs = ((*one.communicate(60), one.returncode) for one in (forked, fresh))
    assert ours == theirs
    assert forked.pid != fresh.pid
    assert (ours[2], bool(ours[0] or ours[1])) == (code, True)


def test_one_that_waits_can_be_killed_and_another_runs_meanwhile(dfh: Any, project: Path) -> None:
    (project / "operations.py").write_text(WAITS)
    go = project / "go"
    os.mkfifo(go)
    (project / "pipeline.yaml").write_text(
        "pipeline: small\noperations:\n"
        f"  count: {{uses: 'operations.py:count', attributes: {{go: '{go}'}}}}\n"
    )
    forked = dfh.fork("run", "--site", "local", cwd=project)
    with go.open("w"):  # once the job reads
        with pytest.raises(subprocess.TimeoutExpired):
            forked.communicate(timeout=0)
        assert dfh.fork("--version", cwd=project) is None
        assert dfh("--version", cwd=project).stdout.startswith("dfh ")
        forked.kill()
        stdout, _ = forked.communicate(60)
        assert (forked.returncode, "small-0001" in stdout) == (-9, True)
    assert "succeeded" in dfh("status", "--watch", cwd=project).stdout


@pytest.mark.parametrize("name", ["PYTHONPATH", "LC_ALL", "TZ"])
def test_what_python_reads_as_it_starts_wants_a_program(dfh: Any, project: Path, name: str) -> None:
    assert dfh.fork("--version", cwd=project, env={name: "C"}) is None
