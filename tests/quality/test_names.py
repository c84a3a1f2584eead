"""One name for one thing: a reader who meets a class by its name finds one."""

from __future__ import annotations

import ast
from collections import defaultdict
from pathlib import Path

import deepforge_hpc

PACKAGE = Path(deepforge_hpc.__file__).parent
HALVES = {"Scheduler": {"plugins/scheduler.py", "runtime/schedulers/base.py"}}
"""One contract in two halves, each what plug-ins derive theirs from: on the login node, in a job."""


def definitions(package: Path) -> dict[str, list[str]]:
    found = defaultdict(list)
    for path in sorted(package.rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_bytes())):
            if isinstance(node, ast.ClassDef):
                found[node.name].append(path.relative_to(package).as_posix())
    return found


def test_a_class_name_is_defined_once() -> None:
    found = definitions(PACKAGE)
    assert len(found) > 200
    several = {name: set(places) for name, places in found.items() if len(places) > 1}
    assert several == HALVES, "give each thing a name of its own: docs/developer/architecture.md"
