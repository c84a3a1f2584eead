"""Coverage counts the lines of every process: of threads, forks, ranks and archives of executions."""

from __future__ import annotations

import importlib.util
import os
import re
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

PROGRAM = """\
import os, sys, threading
from deepforge_hpc import parts

thread = threading.Thread(target=parts.in_a_thread)
thread.start()
thread.join()
sys.path.insert(0, sys.argv[1])
import dfh_runtime.rank
if os.fork() == 0:
    parts.in_a_fork()
    os._exit(0)
os.wait()

traced = sys.gettrace()
import yaml
assert yaml.traced is None
assert sys.gettrace() is traced
try:
    import jinja2
except ImportError as error:
    assert error.__traceback__.tb_next is None, "as without what follows imports"
if measure.STARTED:
    measure.STARTED[0].pause()
    from deepforge_hpc import late
    late.paused()
    measure.STARTED[0].go_on()
parts.at_last()
"""
PARTS = """\
def in_a_thread():
    return 1
def in_a_fork():
    return 2
def at_last():
    return 3
def nowhere():
    return 4
"""
LATE = """\
def paused():
    return 1
"""


@pytest.fixture
def measured(repository: Path, tmp_path: Path) -> Path:
    """Return a repository with a folder `left` of what two processes have run of it."""
    package = tmp_path / "deepforge_hpc"
    (package / "runtime").mkdir(parents=True)
    (tmp_path / "left").mkdir()
    texts = {
        "__init__": "",
        "parts": PARTS,
        "late": LATE,
        "never": "n = 1\n",
        "runtime/__init__": "",
        "runtime/rank": "n = 1\nif n > 1:\n    n = 2\n",
    }
    for name, text in texts.items():
        (package / f"{name}.py").write_text(text, encoding="utf-8")
    (tmp_path / "yaml.py").write_text("import sys\ntraced = sys.gettrace()\n", encoding="utf-8")
    with zipfile.ZipFile(tmp_path / "runtime.zip", "w") as archive:
        archive.writestr("dfh_runtime/__init__.py", "")
        archive.writestr("dfh_runtime/rank.py", texts["runtime/rank"])
    (tmp_path / "pyproject.toml").write_text(
        "[tool.coverage.report]\nfail_under = 90\nshow_missing = true\nskip_covered = true\n",
        encoding="utf-8",
    )
    tracer = importlib.util.find_spec("coverage.tracer")
    assert tracer is not None
    begin = f"measure.start({tracer.origin!r}, {str(tmp_path)!r}, {str(tmp_path / 'left')!r})"
    path = f"{repository / 'tests'}:{tmp_path}"
    for more in ({}, {"TESTS_WITHOUT_COVERAGE": "1"}):
        subprocess.run(
            [
                sys.executable,
                "-S",
                "-c",
                f"import measure\n{begin}\n{begin}\n{PROGRAM}",
                str(tmp_path / "runtime.zip"),
            ],
            env=os.environ | {"PYTHONPATH": path} | more,
            cwd=tmp_path,
            check=True,
        )
    return tmp_path


def test_each_line_that_a_process_ran_is_counted(repository: Path, measured: Path) -> None:
    argv = (repository / "tests" / "measure.py", measured, measured / "left")
    done = subprocess.run([sys.executable, *argv], capture_output=True, text=True, check=False)
    counted = {}
    for line in done.stdout.splitlines():
        if found := re.fullmatch(r"deepforge_hpc/(\S+) +(\d+ +\d+) +\d+%( +.*)?", line):
            counted[found[1]] = (found[2].split(), (found[3] or "").strip())
    assert counted == {
        "never.py": (["1", "1"], "1"),  # what no process imports counts too
        "late.py": (["2", "1"], "2"),  # imported, and not measured when it was called
        "parts.py": (["8", "1"], "8"),
        "runtime/rank.py": (["3", "1"], "3"),
    }
    assert done.returncode == 2, "below the limit"
    assert len([*(measured / "left").glob("[0-9]*")]) == 2, "of the process and of its fork"
