"""What the gates read: the files of the repository."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

_KEPT = ("--cached", "--others", "--exclude-standard")
_LEFT = frozenset({"__pycache__", "executions", "dist", "build", "site"})


@pytest.fixture(scope="session")
def tracked(repository: Path) -> list[Path]:
    """Return the files that git keeps, or would keep: new ones count before they are added."""
    listed = subprocess.run(
        ["git", "-c", "safe.directory=*", "ls-files", "-z", *_KEPT],
        cwd=repository,
        capture_output=True,
        check=False,
    )
    paths = [repository / os.fsdecode(name) for name in listed.stdout.split(b"\0") if name]
    if listed.returncode:  # an exported tree has no .git: all counts but what tools leave
        paths = [path for path in repository.rglob("*") if not _is_left(path, repository)]
    return [path for path in paths if path.is_file() and not path.is_symlink()]


def _is_left(path: Path, repository: Path) -> bool:
    folders = path.relative_to(repository).parts[:-1]
    return any(name in _LEFT or name.startswith(".") for name in folders)
