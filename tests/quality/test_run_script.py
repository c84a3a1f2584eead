"""tests/run.sh leaves nothing behind, and does not call a run good that was none."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

pytestmark = pytest.mark.skipif(
    "TESTS_OF_DFH" not in os.environ, reason="needs the environment that tests/run.sh makes"
)


def start(repository: Path, test: Path, *args: str) -> subprocess.Popen[str]:
    # A file outside of the repository: it gets our settings, and none of our fixtures.
    return run(repository, "-c", "pyproject.toml", str(test), *args, TMPDIR=str(test.parent))


def run(repository: Path, *args: str, **variables: str) -> subprocess.Popen[str]:
    ours = ("TESTS_OF_DFH", "KERAS_HOME", "MPLCONFIGDIR")
    environ = {name: value for name, value in os.environ.items() if name not in ours}
    return subprocess.Popen(
        ["bash", str(repository / "tests" / "run.sh"), *args],
        env=environ | variables,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )


def run_folders(test: Path) -> list[Path]:
    return [*test.parent.glob("dfh-tests.*")]


def is_running(pid: int) -> bool:
    try:
        return " Z " not in Path(f"/proc/{pid}/stat").read_text(encoding="utf-8")
    except OSError:
        return False


def ends(pid: int) -> bool:
    """Whether it is gone: killed, which takes a moment where others have the cores."""
    end = time.monotonic() + 10
    while is_running(pid) and time.monotonic() < end:
        time.sleep(0.05)
    return not is_running(pid)


def write_test(folder: Path, body: str) -> Path:
    test = folder / "test_it.py"
    pid = folder / "pid"
    test.write_text(
        "import pathlib, subprocess, time\n"
        "def test_it():\n"
        "    process = subprocess.Popen(['sleep', '600'], start_new_session=True)\n"
        f"    pathlib.Path({str(pid)!r}).write_text(str(process.pid))\n"
        f"    {body}\n"
        "    process._handle = process.returncode = 0\n",
        encoding="utf-8",
    )
    return test


def test_a_process_that_a_test_leaves_running_is_a_failure(
    repository: Path, tmp_path: Path
) -> None:
    test = write_test(tmp_path, "pass")
    output, _ = start(repository, test).communicate(timeout=200)
    assert "1 passed" in output
    assert "left running by a test" in output
    assert "exit code 1" in output
    assert ends(int((tmp_path / "pid").read_text(encoding="utf-8")))
    assert not run_folders(test)


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_an_interrupt_ends_everything(
    number: signal.Signals, code: int, repository: Path, tmp_path: Path
) -> None:
    test = write_test(tmp_path, "time.sleep(600)")
    process = start(repository, test)
    end = time.monotonic() + 200
    while not (tmp_path / "pid").exists() and time.monotonic() < end:
        assert process.poll() is None
        time.sleep(0.1)
    assert run_folders(test)
    os.killpg(process.pid, number)
    process.communicate(timeout=60)
    assert process.returncode == code
    assert ends(int((tmp_path / "pid").read_text(encoding="utf-8")))
    assert not run_folders(test)


def test_no_selected_test_is_a_failure(repository: Path, tmp_path: Path) -> None:
    process = start(repository, write_test(tmp_path, "pass"), "-k", "nothing")
    process.communicate(timeout=200)
    assert process.returncode == 5
    # What the run of this very test has compiled is still there.
    assert (repository / "tests" / "__pycache__").exists()


def test_unit_tests_start_without_an_installation(repository: Path, tmp_path: Path) -> None:
    script = (repository / "tests" / "run.sh").read_text(encoding="utf-8")
    needs = set(re.findall(r"^    \[(\w+)\]=\"", script, re.MULTILINE))
    assert needs == {"tools", "slurm", "mpi", "horovod", "browser", "training", "torch", "extras"}
    marks = tmp_path / "marks"
    collect = (sys.executable, "-m", "pytest", "-q", "--collect-only", "-p", "no:cacheprovider")
    for part, expected in (
        ("tests/unit", set()),
        ("tests/training", needs - {"browser", "mpi", "torch"}),
        ("tests/torch", {"torch"}),
    ):
        environ = {**os.environ, "DFH_TEST_MARKS": str(marks), "TESTS_WITHOUT_COVERAGE": "1"}
        argv = [*collect, part]
        subprocess.run(argv, cwd=repository, env=environ, check=True, stdout=subprocess.DEVNULL)
        assert needs & set(marks.read_text(encoding="utf-8").split()) == expected


def test_nothing_is_written_to_the_home_folder(repository: Path, tmp_path: Path) -> None:
    home = tmp_path / "home"
    home.mkdir()
    write = ("tests/training/test_keras_format.py", "tests/unit/feedback/test_figures.py")
    process = run(
        repository,
        *write,
        "-k",
        "comes_back or closed_figure",
        HOME=str(home),
        TMPDIR=str(tmp_path),
    )
    output, _ = process.communicate(timeout=200)
    assert process.returncode == 0, output
    # Beside what pip has rustup write, if there is one.
    assert {path.name for path in home.iterdir()} <= {".rustup"}
