"""Where there is no room left, what dfh says to do makes room."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

STEP = "doctor/quota.py : dfh executions"
QUOTA = """\
#!/bin/bash
# As quota(1) prints it, of what the executions take; no quota can be set on a file system here.
echo "Disk quotas for user root (uid 0):"
echo "Filesystem blocks quota limit grace files quota limit grace"
echo "/dev/sda1 $(du -sk "$PROJECT/executions" | cut -f 1) 90 100 0 9 0 0 0"
"""


@pytest.fixture
def full(dfh: Any, project: Path) -> Iterator[Path]:
    """Return a project with an execution on a small file system that somebody else has filled."""
    mount = ["mount", "-t", "tmpfs", "-o", "size=8m", "none", str(project)]
    files = {path.name: path.read_text() for path in project.iterdir()}
    if subprocess.run(mount, check=False, capture_output=True).returncode:
        pytest.skip("no file system can be mounted here")
    for name, text in files.items():
        (project / name).write_text(text)
    dfh("run", cwd=project)
    with suppress(OSError), (project / "others").open("wb", buffering=0) as stream:
        while stream.write(bytes(1 << 12)):
            pass
    yield project
    subprocess.run(["umount", str(project)], check=True)


def test_a_full_file_system(dfh: Any, full: Path, follow: Any) -> None:
    looked = dfh("doctor", "--site", "local", cwd=full, expect=5)
    assert f"ERROR  folder project    {full}: No space left on device" in looked.stdout
    removed = follow(STEP, looked, cwd=full, fill={"N": "0"})
    assert removed.stdout == "removed small-0001\n"
    assert "ERROR" not in dfh("doctor", "--site", "local", cwd=full).stdout


def test_a_quota_that_is_used_up(dfh: Any, project: Path, follow: Any) -> None:
    dfh("run", cwd=project)
    quota = project / "bin" / "quota"
    quota.parent.mkdir()
    quota.write_text(QUOTA)
    quota.chmod(0o755)
    path = f"{quota.parent}:{os.environ['PATH']}"
    user = replace(dfh, environ={**dfh.environ, "PATH": path, "PROJECT": str(project)})
    words = ("doctor", "--site", "slurm-generic")
    looked = user(*words, cwd=project, expect=5)
    assert "ERROR  quota" in looked.stdout
    follow(STEP, looked, cwd=project, fill={"N": "0"})
    assert "OK     quota" in user(*words, cwd=project, expect=5).stdout
