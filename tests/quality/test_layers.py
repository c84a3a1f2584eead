"""What travels without an environment imports the standard library alone; lint-imports holds the rest."""

from __future__ import annotations

import ast
import re
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import tomllib

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


# -- what is told of the layers

LINTED = tomllib.loads((PACKAGE.parent / "pyproject.toml").read_text(encoding="utf-8"))


def told_layers(text: str) -> list[set[str]]:
    return [set(re.findall(r"`(\w+)`", part)) for part in re.split(r"\s>\s", text)]


def test_the_layers_that_are_told_are_those_that_are_linted(repository: Path) -> None:
    contract = LINTED["tool"]["importlinter"]["contracts"][0]
    linted = [set(layer.split(" | ")) for layer in contract["layers"]]
    contributing = (repository / "CONTRIBUTING.md").read_text(encoding="utf-8")
    chain = contributing.partition("\n## The layers\n")[2].partition(". Imports")[0]
    assert told_layers(chain) == linted
    page = (repository / "docs/developer/architecture.md").read_text(encoding="utf-8")
    table = page.partition("\n## Layers\n")[2].partition("\nIn `runtime`")[0]
    rows = [line.split("|")[1] for line in table.splitlines() if line.startswith("| `")]
    told = [name for row in rows for name in re.findall(r"`(\w+)`", row)]
    order = [name for layer in linted for name in sorted(layer)]
    assert sorted(told) == sorted(order)
    places = {name: index for index, layer in enumerate(linted) for name in layer}
    assert [places[name] for name in told] == sorted(places[name] for name in told)


def test_modules_are_small() -> None:
    lines = {
        path.relative_to(PACKAGE).as_posix(): len(path.read_text(encoding="utf-8").splitlines())
        for path in PACKAGE.rglob("*.py")
    }
    assert {name: count for name, count in lines.items() if count > 400} == {}


# -- no circle among modules

MEANT = {
    # A class is what a pipeline may say; `execute` imports what it does, which is told by the class.
    frozenset(f"operations.{name}" for name in ("compiling", "data", "rate", "train", "training")),
    # What asks a trained network is one class; the one for PyTorch is imported where there is such.
    frozenset({"operations.models", "operations.torch_model"}),
    # The adapter asks accounting once, at the end; its words in a module of their own would be
    # one more that each supervisor imports.
    frozenset({"runtime.schedulers.sacct", "runtime.schedulers.slurm"}),
}
"""Circles that are closed by an import within a function, and why."""


def modules_of(package: Path) -> dict[str, Path]:
    names = {
        path: path.relative_to(package).with_suffix("").parts for path in package.rglob("*.py")
    }
    return {
        ".".join(parts[:-1] if parts[-1] == "__init__" else parts): path
        for path, parts in names.items()
    }


def reached(name: str, path: Path, known: dict[str, Path]) -> Iterator[str]:
    """Yield the modules of ours that a module imports, also within functions; not those for types."""
    home = name.split(".") if path.name == "__init__.py" else name.split(".")[:-1]
    todo: list[ast.AST] = [ast.parse(path.read_bytes())]
    for node in todo:
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING":
            continue
        todo += ast.iter_child_nodes(node)
        if isinstance(node, ast.Import):
            found = [alias.name.removeprefix("deepforge_hpc.") for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            module = str(node.module or "").removeprefix("deepforge_hpc").removeprefix(".")
            up = home[: len(home) - node.level + 1] if node.level else []
            base = ".".join([*up, *filter(None, [module])])
            below = [f"{base}.{alias.name}".removeprefix(".") for alias in node.names]
            found = [one if one in known else base for one in below]
        else:
            continue
        yield from (one for one in found if one in known and one != name)


def circles(graph: dict[str, set[str]]) -> set[frozenset[str]]:
    """Return the sets of modules that reach each other."""
    seen: dict[str, set[str]] = {}
    for start in graph:
        todo, found = [start], set()
        for one in todo:
            todo += graph[one] - found
            found |= graph[one]
        seen[start] = found
    return {
        frozenset(other for other in found if name in seen[other])
        for name, found in seen.items()
        if name in found
    }


def test_no_modules_import_each_other_in_a_circle() -> None:
    known = modules_of(PACKAGE)
    graph = {name: set(reached(name, path, known)) for name, path in known.items() if name}
    for found in graph.values():
        found.discard("")  # the package's own face, which imports the builder when it is asked for
    assert circles(graph) == MEANT


def test_a_circle_that_is_planted_is_found() -> None:
    graph = {"a": {"b"}, "b": {"c"}, "c": {"b", "d"}, "d": set()}
    assert circles(graph) == {frozenset({"b", "c"})}
