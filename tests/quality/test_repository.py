"""What may lie in the repository, and what may not."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

LARGE = {
    # The real input of the redshift example: its photometry and redshifts.
    "examples/redshift/data",
}
MIB = 1 << 20
# Folders that only one developer's machine has; some supercomputer may have them too.
MACHINE = re.compile(r"(?<![\w.~$}>-])/(?:root|work)/[\w.]")


def text_of(path: Path) -> str | None:
    data = path.read_bytes()
    return None if b"\0" in data else data.decode("utf-8")


def test_no_large_file_but_named_ones(tracked: list[Path], repository: Path) -> None:
    large = [
        f"{path.relative_to(repository)}: {path.stat().st_size / MIB:.1f} MiB"
        for path in tracked
        if path.stat().st_size > MIB
        and not any(path.is_relative_to(repository / name) for name in LARGE)
    ]
    assert not large


def test_no_path_of_one_machine(tracked: list[Path], repository: Path) -> None:
    found = [
        f"{path.relative_to(repository)}:{number}: {line.strip()[:120]}"
        for path in tracked
        if path.parent != repository / "site-configs"
        for number, line in enumerate((text_of(path) or "").splitlines(), 1)
        if MACHINE.search(line)
    ]
    assert not found


def is_shell(path: Path) -> bool:
    if path.suffix == ".sh":
        return True
    return not path.suffix and path.read_bytes()[:32].startswith(
        (b"#!/bin/bash", b"#!/usr/bin/env bash")
    )


def test_shell_scripts_and_rendered_ones_are_clean(
    tracked: list[Path], repository: Path, shellcheck: Callable[..., None]
) -> None:
    scripts = [path for path in tracked if is_shell(path)]
    assert repository / "tests" / "run.sh" in scripts
    shellcheck(*scripts)
