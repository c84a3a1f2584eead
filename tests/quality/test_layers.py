"""What travels without an environment imports the standard library alone; lint-imports holds the rest."""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import deepforge_hpc

PACKAGE = Path(deepforge_hpc.__file__).parent
THERE = sys.stdlib_module_names | {"deepforge_hpc", "dfh_runtime"}
"""What a job's Python has; lint-imports says which of ours."""


def imported(tree: ast.AST, in_functions: bool) -> Iterator[str]:
    """Yield the top packages of what runs when a module does, or anything in it."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name.partition(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and not node.level:
            yield str(node.module).partition(".")[0]
        elif isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING":
            continue
        elif in_functions or not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield from imported(node, in_functions)


def installed(name: str, source: str) -> set[str]:
    """Return what a module needs besides Python; a format loads its library once it is used."""
    is_format = name.startswith("runtime/formats/")
    return set(imported(ast.parse(source), in_functions=not is_format)) - THERE


def test_what_travels_needs_nothing_installed() -> None:
    places = [path for folder in ("job", "runtime") for path in (PACKAGE / folder).rglob("*.py")]
    found = {
        path.relative_to(PACKAGE).as_posix(): path.read_text(encoding="utf-8") for path in places
    }
    assert {name: need for name in found if (need := installed(name, found[name]))} == {}
    assert len(found) > 50


@pytest.mark.parametrize(
    ("name", "source"),
    [
        ("job/ranks.py", "import click"),
        ("job/ranks.py", "def f():\n    from numpy.linalg import norm"),
        ("runtime/base/text.py", "import os, numpy.linalg"),
        ("runtime/base/text.py", "class A:\n    def f(self):\n        import numpy"),
        ("runtime/formats/array.py", "try:\n    import numpy\nexcept ImportError:\n    pass"),
    ],
)
def test_what_is_planted_is_found(name: str, source: str) -> None:
    assert installed(name, source) in ({"click"}, {"numpy"})
    assert installed("runtime/formats/array.py", "def f():\n    import numpy") == set()
