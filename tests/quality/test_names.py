"""One name for one thing: a reader who meets a class by its name finds one."""

from __future__ import annotations

import ast
import re
from collections import defaultdict
from pathlib import Path

import pytest

import deepforge_hpc
from deepforge_hpc.runtime.base.states import State

PACKAGE = Path(deepforge_hpc.__file__).parent
HALVES = {"Scheduler": {"plugins/scheduler.py", "runtime/schedulers/base.py"}}
"""One contract in two halves, each what plug-ins derive theirs from: on the login node, in a job."""


ROOMS = {
    "capacity": {"plan/capacity.py"},
    "lock": {"submit/lease.py", "submit/destinations.py"},
    "retry": {
        "schedulers/command.py",  # of a command
        "submit/chain.py",  # of jobs, and what comes before
        "submit/recovery.py",
    },
    "signals": {"runtime/base/signals.py"},
}
"""Words of the field, and the modules that say so in their first line: what grep leads to."""


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


def rooms(word: str) -> set[str]:
    """Return the modules whose first line has a word."""
    docs = {
        path.relative_to(PACKAGE).as_posix(): ast.get_docstring(ast.parse(path.read_bytes())) or ""
        for path in PACKAGE.rglob("*.py")
    }
    pattern = re.compile(rf"\b{word}\b", re.IGNORECASE)
    return {name for name, text in docs.items() if pattern.search(text.partition("\n")[0])}


@pytest.mark.parametrize("word", ROOMS)
def test_a_word_of_the_field_leads_to_its_rooms(word: str) -> None:
    assert rooms(word) == ROOMS[word]


def compared_as_text(tree: ast.AST) -> list[int]:
    """Return the lines that compare a `state` with one of its words as text."""
    words = {state.value for state in State}
    return [
        node.lineno
        for node in ast.walk(tree)
        if isinstance(node, ast.Compare)
        if getattr(node.left, "attr", getattr(node.left, "id", "")) == "state"
        if {one.value for one in ast.walk(node) if isinstance(one, ast.Constant)} & words
    ]


def test_a_state_is_compared_with_states() -> None:
    assert compared_as_text(ast.parse('if job.state not in ("succeeded", "reused"): pass')) == [1]
    found = {
        path.name: compared_as_text(ast.parse(path.read_bytes())) for path in PACKAGE.rglob("*.py")
    }
    assert {name: lines for name, lines in found.items() if lines} == {}
