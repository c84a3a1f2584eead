"""One damaged or planted file is named, at most; what lies beside it is shown as always."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

MEMORY = 3 << 30
"""Bytes of addresses that a command may have."""


def deep(path: Path) -> None:
    path.write_bytes(b'{"a":' * 100_000)


def deep_lines(path: Path) -> None:
    path.write_bytes(b"[" * 100_000 + b"\n")


def odd(path: Path) -> None:
    path.write_text('{"schema": [], "jobs": 1e999, "figures": {"a": {}}, "event": null}\n')


def other_type(path: Path) -> None:
    path.write_text("[null]\n")


def sparse(path: Path) -> None:
    with path.open("wb") as file:
        file.truncate(40 << 30)


def endless(path: Path) -> None:
    path.symlink_to("/dev/zero")


def pipe(path: Path) -> None:
    os.mkfifo(path)


KINDS = (deep, deep_lines, odd, other_type, sparse, endless, pipe)
FIRST = ("execution.json",)
FROZEN = ("plan.json", "code/MANIFEST.json", "code/project/operations.py", "site.yaml")
SAID = (
    *("submitted.jsonl", "local/jobs.jsonl", "local/status.jsonl", "local/engine.json"),
    "local/engine.lock",
    *("jobs/count/state.json", "jobs/count/success.json", "jobs/count/metrics.jsonl"),
    *("jobs/count/figures/index.json", "jobs/count/out.1.log", "jobs/count/outputs/numbers.json"),
)


@pytest.fixture(scope="module")
def two(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder in which a project with two executions lies, for tests to copy."""
    return tmp_path_factory.mktemp("two")


@pytest.fixture
def lab(two: Path, dfh: Any, project: Path) -> tuple[Path, Any]:
    """Return a project with two executions, and dfh with little memory and time."""
    if not (two / "project").exists():
        dfh("run", cwd=project)
        dfh("run", cwd=project)
        shutil.copytree(project, two / "project", symlinks=True)
    shutil.rmtree(project)
    shutil.copytree(two / "project", project, symlinks=True)
    for file in project.glob("executions/*/execution.json"):
        said = json.loads(file.read_text())
        moved = {"project": str(project), "ledger": f"{project}/.dfh", "home": str(file.parent)}
        file.chmod(0o644)
        file.write_text(json.dumps({**said, **moved}))
    return project, replace(dfh, words=("prlimit", f"--as={MEMORY}", "--cpu=20"))


def plant(path: Path, damage: Callable[[Path], None]) -> None:
    """Put damage in the place of a file, whether or not there is one."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.unlink(missing_ok=True)
    damage(path)


@pytest.mark.parametrize("files", [FIRST, FROZEN, SAID], ids=["first", "frozen", "said"])
@pytest.mark.parametrize("damage", KINDS)
def test_a_damaged_execution_hides_no_other(lab: Any, damage: Any, files: tuple[str, ...]) -> None:
    project, dfh = lab
    sound = dfh("status", "small-0002", cwd=project).stdout
    for name in files:
        plant(project / "executions" / "small-0001" / name, damage)

    assert dfh("status", "small-0002", cwd=project).stdout == sound
    listed = json.loads(dfh("executions", "list", "--json", cwd=project).stdout)["executions"]
    states = {item["id"]: item["state"] for item in listed}
    assert states.keys() == {"small-0001", "small-0002"}
    assert states["small-0002"] == "reused"
    # The damaged one: shown as far as it can be, or refused with words; never a bug, never a hang.
    for argv in (("status",), ("logs",), ("report",), ("prov", "verify"), ("resume",), ("cancel",)):
        done = dfh(*argv, "small-0001", cwd=project, expect=None)
        assert done.returncode in {0, 2, 3, 5, 6, 7}, (argv, done.stderr)
        assert "a bug in dfh" not in done.stderr, (argv, done.stderr)
    if files == FIRST:
        assert states["small-0001"] == "damaged"
        assert "small-0001/execution.json: " in dfh("status", "1", cwd=project, expect=7).stderr


@pytest.mark.parametrize("damage", KINDS)
def test_a_damaged_ledger_hides_no_execution(lab: Any, damage: Any) -> None:
    project, dfh = lab
    ledger = project / ".dfh"
    sound = dfh("status", "small-0001", cwd=project).stdout
    records, blobs = sorted(ledger.glob("loose/*/*/*")), sorted(ledger.glob("blobs/*/*"))
    for path in (*records, *blobs, ledger / "executions.json", ledger / "numbers.json"):
        plant(path, damage)

    assert dfh("status", "small-0001", cwd=project).stdout == sound
    done = dfh("prov", "verify", "small-0001", cwd=project, expect=7)
    assert "a bug in dfh" not in done.stderr
    dfh("submit", cwd=project)


@pytest.mark.parametrize("folder", ["executions/small-0001/local", ".dfh/loose"])
def test_a_file_in_the_place_of_a_folder_is_named(lab: Any, folder: str) -> None:
    project, dfh = lab
    shutil.rmtree(project / folder)
    (project / folder).touch()
    for argv in (("status", "small-0001"), ("prov", "show", "small-0001/count")):
        done = dfh(*argv, cwd=project, expect=None)
        assert "a bug in dfh" not in done.stderr, (argv, done.stderr)


def test_a_folder_that_the_project_only_names_is_left_alone(
    lab: Any, dfh: Any, make_project: Any
) -> None:
    """A project from elsewhere says in `.dfh/executions.json` where "its" executions lie."""
    project, _ = lab
    files = ("pipeline.yaml", "operations.py")
    other = make_project({name: (project / name).read_text() for name in files}, name="other")
    dfh("run", cwd=other)
    left = project / "executions" / "small-0009"
    left.mkdir()
    os.utime(left, (0, 0))
    (other / ".dfh" / "executions.json").write_text(json.dumps([str(project / "executions")]))

    listed = json.loads(dfh("executions", "list", "--json", cwd=other).stdout)["executions"]
    assert [item["path"] for item in listed] == [str(other / "executions" / "small-0001")]
    dfh("executions", "prune", "--keep", "0", "--yes", "--force", cwd=other)
    dfh(
        "executions", "rm", str(project / "executions" / "small-0002"), "--yes", cwd=other, expect=2
    )
    names = {path.name for path in (project / "executions").iterdir()}
    assert names == {"small-0001", "small-0002", "small-0009"}
    assert not list((other / "executions").iterdir())


def test_executions_of_the_project_elsewhere_are_its_own(
    project: Path, dfh: Any, tmp_path: Path
) -> None:
    """Two projects have one folder for their executions; each sees and removes its own."""
    scratch = tmp_path / "scratch"
    other = shutil.copytree(project, tmp_path / "other")
    there = {"DEEPFORGE_HPC_EXECUTIONS": str(scratch)}
    for folder in (project, other):
        dfh("run", cwd=folder, env=there)
    left = scratch / "small-0009"
    left.mkdir()
    os.utime(left, (0, 0))
    listed = json.loads(dfh("executions", "list", "--json", cwd=other).stdout)["executions"]
    assert [item["id"] for item in listed] == ["small-0002"]

    # Of a project that is no more nobody knows whose it is now.
    orphan = shutil.copytree(scratch / "small-0001", scratch / "small-0007") / "execution.json"
    orphan.write_text(orphan.read_text().replace(f'"project":"{project}"', '"project":"/gone"'))

    dfh("executions", "prune", "--keep", "0", "--yes", cwd=other)

    assert {path.name for path in scratch.iterdir()} == {"small-0001", "small-0007"}


@pytest.mark.parametrize("there", ["inner", "outer"])
def test_executions_of_a_project_below_are_its_own(there: str, project: Path, dfh: Any) -> None:
    """A folder above became a project too, and says that all that lies below is its own."""
    files = ("pipeline.yaml", "operations.py")
    outer = project.parent
    home = (project if there == "inner" else outer) / "executions"
    dfh("run", cwd=project, env={"DEEPFORGE_HPC_EXECUTIONS": str(home)})
    left = project / "executions" / "small-0009"
    left.mkdir(parents=True, exist_ok=True)
    os.utime(left, (0, 0))
    (outer / ".dfh").mkdir()
    folders = [str(home), str(left.parent)]
    (outer / ".dfh" / "executions.json").write_text(json.dumps(folders))
    for name in files:
        shutil.copy(project / name, outer / name)
    dfh("run", cwd=outer)

    listed = json.loads(dfh("executions", "list", "--json", cwd=outer).stdout)["executions"]
    assert [item["path"] for item in listed] == [str(outer / "executions" / "small-0010")]
    dfh("executions", "rm", str(home / "small-0001"), "--yes", cwd=outer, expect=2)
    dfh("executions", "prune", "--keep", "0", "--yes", "--force", cwd=outer)
    assert (home / "small-0001").is_dir()
    assert left.is_dir()
    copy = shutil.copytree(project, outer / "copy")
    dfh("executions", "prune", "--keep", "0", "--yes", "--force", cwd=copy)
    assert not list((copy / "executions").iterdir())
