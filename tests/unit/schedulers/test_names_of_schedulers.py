"""Outside their adapters nothing asks for a scheduler by its name, nor for its variables."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import deepforge_hpc

PACKAGE = Path(deepforge_hpc.__file__).parent
ADAPTERS = ("schedulers/", "runtime/schedulers/", "runtime/launchers/")
NAMES = {"slurm", "local", "pbs", "flux"}
WORD = re.compile(
    r"slurm|local|pbs|flux|.*#(SBATCH|PBS)\b.*|.*\b(SLURM|SBATCH|PBS|FLUX)_.*", re.DOTALL
)
# File: the words that it may say, and why.
EXCEPTIONS = {
    "plugins/registry.py": NAMES,  # the table of the adapters
    # Sections and keys of site files: `slurm:`, and the disk of a node, `local:`.
    "plan/requests.py": {"slurm"},
    "plan/directives.py": {"local"},
    "plan/surroundings.py": {"local"},
    "pipeline/precedence.py": {"local"},  # the name of a site
    # The package `probe` asks Slurm, and nothing else, what a machine has (Scheduler.is_probed).
    "probe/draft.py": {"slurm", "local"},
    "probe/visit.py": {"local"},
    "probe/read.py": {"flux", "SLURM_CLUSTERS", "SLURM_VERSION"},
    "site/identify.py": {"SLURM_CLUSTER_NAME", "SLURM_CONF"},  # which machine is this?
}
# What is said of variables in sentences, patterns and lists, by file.
SAID = {
    "testing/scheduler.py",  # the task of an array, as base.sh.j2 looks for it, and hostile names
    "site/words.py",  # variables that a site's text may name
    "runtime/base/redact.py",  # variables that a record may keep
    "plan/surroundings.py",  # export SLURM_CONF=...
}


def strings(path: Path) -> Iterator[tuple[int, str]]:
    """Yield the strings of a module that are no docstrings."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    prose = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in prose:
            yield node.lineno, node.value


def found() -> Iterator[tuple[str, int, str]]:
    for path in sorted(PACKAGE.rglob("*.py")):
        name = path.relative_to(PACKAGE).as_posix()
        if not name.startswith(ADAPTERS):
            for line, text in strings(path):
                if WORD.fullmatch(text):
                    yield name, line, text


def test_only_adapters_know_schedulers_by_name() -> None:
    wrong = [
        f"{name}:{line}: {text!r}"
        for name, line, text in found()
        if text not in EXCEPTIONS.get(name, ()) and (name not in SAID or text in NAMES)
    ]
    assert wrong == []


def test_no_exception_is_left_over() -> None:
    said = {(name, text) for name, _, text in found()}
    assert [
        (name, word)
        for name, words in EXCEPTIONS.items()
        for word in words
        if (name, word) not in said
    ] == []
    assert SAID - {name for name, _ in said} == set()
