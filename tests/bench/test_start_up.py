"""What the command costs before it does anything, from the wheel in an environment of its own.

Counts do not depend on the machine's load, so they are tests like any other.
"""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any

import pytest

# What commit 2a61b35 made, before the house was rebuilt: more folders must not cost more.
FILE_SYSTEM_CALLS = {"import": 242, "help": 466, "version": 466}
STATUS_CALLS = 823
HELP_S = 0.15


@pytest.mark.parametrize("what", FILE_SYSTEM_CALLS)
def test_start_makes_few_file_system_calls(
    what: str, installed: Any, file_system_calls: Any, record_property: Any, tmp_path: Path
) -> None:
    argv = {
        "import": (installed.python, "-c", "import deepforge_hpc"),
        "help": (installed.dfh, "--help"),
        "version": (installed.dfh, "--version"),
    }[what]
    subprocess.run(list(map(str, argv)), cwd=tmp_path, check=True, capture_output=True)
    calls = file_system_calls(argv, cwd=tmp_path)
    record_property("file_system_calls", calls)
    limit = FILE_SYSTEM_CALLS[what]
    print(f"{what}: {calls} file-system calls (at most {limit})")
    assert calls <= limit


def test_status_makes_few_file_system_calls(
    installed: Any, file_system_calls: Any, record_property: Any, project: Path
) -> None:
    argv = [str(installed.dfh), "run", "--site", "local"]
    done = subprocess.run(argv, cwd=project, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    calls = file_system_calls((installed.dfh, "status"), cwd=project)
    record_property("file_system_calls", calls)
    print(f"dfh status: {calls} file-system calls (at most {STATUS_CALLS})")
    assert calls <= STATUS_CALLS


def test_counting_sees_calls(file_system_calls: Any, tmp_path: Path) -> None:
    few = file_system_calls(("/bin/true",), cwd=tmp_path)
    more = file_system_calls(("/bin/ls", *["/"] * 50), cwd=tmp_path)
    assert 0 < few < few + 50 <= more


@pytest.mark.bench
def test_help_takes_little_processor_time(
    installed: Any, processor_seconds: Any, judge_processor_time: Any, tmp_path: Path
) -> None:
    seconds = processor_seconds((installed.dfh, "--help"), cwd=tmp_path)
    judge_processor_time("dfh --help", seconds, HELP_S)
