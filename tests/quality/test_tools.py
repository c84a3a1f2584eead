"""Format, lint, types and layers, by the tools that say so."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest


@pytest.mark.parametrize(
    "argv",
    [
        ("ruff", "format", "--check", "."),
        ("ruff", "check", "."),
        ("mypy",),
        ("lint-imports", "--no-cache"),
    ],
    ids=" ".join,
)
def test_tool_has_nothing_to_say(argv: tuple[str, ...], repository: Path) -> None:
    path = os.pathsep.join((str(Path(sys.executable).parent), os.environ["PATH"]))
    program = shutil.which(argv[0], path=path)
    assert program, f"{argv[0]} is not installed: pip install -r tests/requirements.txt"
    done = subprocess.run(
        [program, *argv[1:]], cwd=repository, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"
