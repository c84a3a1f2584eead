"""What a user gets by `pip install`: the built wheel in an empty environment."""

from __future__ import annotations

import subprocess
import zipfile
from pathlib import Path
from typing import Any

import deepforge_hpc


def test_wheel_holds_every_module_site_and_template(installed: Any, repository: Path) -> None:
    with zipfile.ZipFile(installed.wheel) as wheel:
        packed = set(wheel.namelist())
    expected = {
        path.relative_to(repository).as_posix()
        for path in (repository / "deepforge_hpc").rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    for folder in ("site-configs", "job-templates"):
        expected |= {
            f"deepforge_hpc/_data/{path.relative_to(repository).as_posix()}"
            for path in (repository / folder).rglob("*")
            if path.is_file()
        }
    assert expected - packed == set()
    assert not {name for name in packed if name.startswith(("tests/", "examples/", "docs/"))}


def test_installed_command_tells_its_version_and_help(
    installed: Any, clean_environment: dict[str, str], tmp_path: Path
) -> None:
    def output(*args: str) -> str:
        return subprocess.run(
            [installed.dfh, *args],
            cwd=tmp_path,
            env=clean_environment,
            check=True,
            capture_output=True,
            text=True,
        ).stdout

    assert output("--version") == f"dfh {deepforge_hpc.__version__}\n"
    assert "submit" in output("--help")


def test_installed_command_checks_and_renders_with_its_own_sites_and_templates(
    installed: Any, clean_environment: dict[str, str], project: Path
) -> None:
    for command in (("check",), ("render", "-o", "scripts")):
        done = subprocess.run(
            [installed.dfh, *command, "pipeline.yaml", "--site", "slurm-generic"],
            cwd=project,
            env=clean_environment,
            check=False,
            capture_output=True,
            text=True,
        )
        assert done.returncode == 0, done.stderr
    assert list((project / "scripts").rglob("*.sh"))
