"""A file on PYTHONPATH with the name of one of Python's own modules stops no command, or is named."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

PIPELINE = """\
pipeline: mine
environment: {python: PYTHON}
operations: {one: {uses: 'operations.py:one'}}
"""
OPERATION = "def one() -> int:\n    number = 1\n    return number\n"
LOADED_LATER = (
    *("json", "random", "contextlib", "dataclasses", "pathlib", "typing", "datetime", "hashlib"),
    *("subprocess", "tempfile", "shlex", "uuid", "platform", "inspect", "logging", "string"),
)


@pytest.fixture
def project(make_project: Any) -> Path:
    text = PIPELINE.replace("PYTHON", sys.executable)
    return make_project({"pipeline.yaml": text, "operations.py": OPERATION})


@pytest.fixture(name="dfh")
def _dfh(dfh: Any) -> Any:
    """Return what starts a program of its own each time: forks have the modules of another."""
    return replace(dfh, warm=None)


def _hide(folder: Path, *names: str) -> dict[str, str]:
    folder.mkdir()
    for name in names:
        (folder / f"{name}.py").write_text("mine = 1\n")
    return {"PYTHONPATH": str(folder)}


def test_what_hides_pythons_own_modules_is_not_imported(
    dfh: Any, project: Path, tmp_path: Path
) -> None:
    """Neither by dfh, nor by what runs the jobs here, nor by what watches over one."""
    environ = _hide(tmp_path / "scripts", *LOADED_LATER)
    dfh("check", cwd=project, env=environ)
    dfh("plan", "--json", cwd=project, env=environ)
    (tmp_path / "scripts" / "contextlib.py").unlink()  # which `python -m` needs before all
    ended = dfh("run", "--site", "local", cwd=project, env=environ, expect=None)
    state = (project / "executions" / "mine-0001" / "jobs" / "_final" / "state.json").read_text()
    assert '"state":"succeeded"' in state, ended.stdout + ended.stderr


def test_what_python_needs_before_it_starts_a_job_is_named(
    dfh: Any, project: Path, tmp_path: Path
) -> None:
    environ = _hide(tmp_path / "scripts", "contextlib")
    told = dfh("run", "--site", "local", cwd=project, env=environ, expect=None).stdout
    hides = f"{tmp_path}/scripts/contextlib.py hides one of Python's own modules: rename it"
    # Python 3.13 starts `python -m` without it; later it stops nothing.
    asked = [sys.executable, "-I", "-c", "import runpy, sys; print('contextlib' in sys.modules)"]
    is_needed = subprocess.run(asked, capture_output=True, text=True, check=True).stdout.strip()
    assert (hides in told, "succeeded" in told) == (is_needed == "True", is_needed == "False")


def test_what_hides_a_package_of_ours_is_named(dfh: Any, project: Path, tmp_path: Path) -> None:
    for name in ("yaml", "click"):
        environ = _hide(tmp_path / name, name)
        told = dfh("check", cwd=project, env=environ, expect=2).stderr
        assert f"error: {tmp_path}/{name}/{name}.py hides the package {name}" in told
        assert "take its folder out of PYTHONPATH" in told
        assert told.count("\n") == 2


def test_what_python_itself_has_loaded_before_is_named(
    project: Path, tmp_path: Path, dfh: Any
) -> None:
    """By the folder's own start-up file, before anything of dfh."""
    environ = _hide(tmp_path / "scripts", "json")
    (tmp_path / "scripts" / "sitecustomize.py").write_text("import json\n")
    told = dfh("check", cwd=project, env=environ, expect=2).stderr
    assert f"error: {tmp_path}/scripts/json.py hides Python's own module json" in told
