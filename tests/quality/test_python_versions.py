"""Python 3.10 is the floor: on login nodes for the package, in jobs for the runtime."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

SUPPORTED = ("3.10", "3.11", "3.12", "3.13")
RUNNING = "{}.{}".format(*sys.version_info)

_CHECK = """
import importlib, pathlib, sys
root = pathlib.Path(sys.argv[1])
for path in sorted((root / "deepforge_hpc").rglob("*.py")):
    compile(path.read_text(encoding="utf-8"), str(path), "exec")
sys.path.insert(0, sys.argv[2])
for path in sorted((root / "deepforge_hpc" / "runtime").rglob("*.py")):
    parts = path.relative_to(root / "deepforge_hpc" / "runtime").with_suffix("").parts
    if parts[-1] != "__main__":
        importlib.import_module(".".join(("dfh_runtime", *parts)).removesuffix(".__init__"))
print("%d.%d" % sys.version_info[:2])
"""


def interpreters(version: str) -> list[str]:
    """Return what may be a Python of a version: on PATH, or installed beside the running one."""
    beside = Path(sys.base_prefix).resolve().parent
    found = [shutil.which(f"python{version}"), sys.executable]
    found += [str(path) for path in sorted(beside.glob(f"*/bin/python{version}"))]
    return [path for path in found if path]


def say_version(python: str) -> str:
    code = "import sys; print('%d.%d' % sys.version_info[:2])"
    done = subprocess.run([python, "-I", "-c", code], capture_output=True, text=True, check=False)
    return done.stdout.strip()


@pytest.fixture(params=SUPPORTED)
def python(request: pytest.FixtureRequest) -> str:
    """Return an interpreter of each supported version."""
    version = request.param
    found = next((path for path in interpreters(version) if say_version(path) == version), None)
    if found is None:
        pytest.skip(f"no Python {version} on this machine: install it, with pyenv or uv if need be")
    return found


def test_package_compiles_and_runtime_imports(
    python: str, repository: Path, tmp_path: Path
) -> None:
    shutil.copytree(
        repository / "deepforge_hpc" / "runtime",
        tmp_path / "dfh_runtime",
        ignore=shutil.ignore_patterns("__pycache__"),
    )
    # -I -S: nothing is installed there, which is what the runtime may meet.
    done = subprocess.run(
        [python, "-I", "-S", "-W", "error", "-c", _CHECK, str(repository), str(tmp_path)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == say_version(python)


def test_a_pipeline_runs_with_the_wheel_on_each_version(
    python: str, installed: Any, clean_environment: dict[str, str], project: Path, tmp_path: Path
) -> None:
    def run(*argv: object) -> str:
        done = subprocess.run(
            [str(word) for word in argv],
            cwd=project, env=clean_environment, capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    run(python, "-m", "venv", "--without-pip", tmp_path / "venv")  # to unpack pip takes seconds
    pip = (sys.executable, "-m", "pip", "--disable-pip-version-check", "-q")
    run(*pip, "--python", tmp_path / "venv", "install", installed.wheel)
    dfh = tmp_path / "venv" / "bin" / "dfh"
    assert "small-0001  succeeded  2/2 operations done" in run(dfh, "run", "--site", "local")
    version = say_version(python)
    assert f"env        python {version}." in run(
        dfh, "prov", "show", "executions/small-0001/jobs/total"
    )
    assert run(dfh, "prov", "verify", "executions/small-0001").startswith("sound: ")


def test_a_job_may_have_another_version_than_the_submitter(
    python: str, dfh: Any, project: Path
) -> None:
    """Its runtime's bytecode is of no use then: the sources are compiled."""
    pipeline = project / "pipeline.yaml"
    pipeline.write_text(f"environment: {{python: {python}}}\n{pipeline.read_text()}")
    assert (
        "small-0001  succeeded  2/2 operations done"
        in dfh("run", "--site", "local", cwd=project).stdout
    )
    shown = dfh("prov", "show", "executions/small-0001/jobs/total", cwd=project).stdout
    assert f"env        python {say_version(python)}." in shown


@pytest.mark.timeout(900)  # an older pip gets whole wheels to look into them
@pytest.mark.parametrize("python", sorted({*SUPPORTED[1:]} - {RUNNING}), indirect=True)
def test_what_the_tests_need_exists_for_the_other_versions_that_they_run_on(
    python: str, repository: Path, tmp_path: Path
) -> None:
    found = sorted((repository / "tests").glob("requirements*.txt"))
    # Of torch some indexes have only a build of several GB; a whole run does without it.
    files = [f"-r{path}" for path in found if path.stem != "requirements-torch"]
    assert len(files) == len(found) - 1 == 3
    said = would_install(python, files, tmp_path)
    assert "Would install" in said
    assert "tensorflow-cpu" in said


def would_install(python: str, files: list[str], folder: Path) -> str:
    """Return what an installation says that it would do: uv as in tests/run.sh, else pip."""
    dry = ("pip", "install", "--dry-run")
    uv = ("uv", *dry, "--no-cache", "--python", python, "--target", folder / "none", *files)
    done = subprocess.run(uv, capture_output=True, text=True, check=False)
    if (
        done.returncode
    ):  # it knows none of pip's settings, and takes twenty times less of the machine
        subprocess.run([python, "-m", "venv", folder / "venv"], check=True)
        pip = (folder / "venv" / "bin" / "python", "-m", *dry, *files)
        done = subprocess.run(pip, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
    return done.stdout + done.stderr


def test_versions_are_those_that_the_package_names(repository: Path) -> None:
    text = (repository / "pyproject.toml").read_text(encoding="utf-8")
    assert tuple(re.findall(r"Python :: (3\.\d+)", text)) == SUPPORTED
    assert f'requires-python = ">={SUPPORTED[0]}"' in text
