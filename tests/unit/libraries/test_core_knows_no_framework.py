"""A library is found by its name: no part of dfh but its own commands knows one."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

import deepforge_hpc

PACKAGE = Path(deepforge_hpc.__file__).parent
ADAPTERS = (
    *("libraries/", "operations/", "training/", "runtime/formats/", "runtime/launchers/"),
    "cli/",  # help for people
)
FRAMEWORK = re.compile(r"(?i)\b(keras|tensorflow|tf|(?:py)?torch|torchrun|jax|horovod)(?![a-z])")
KNOWING = {
    "pipeline/annotation.py": "an annotation that means a format",
    "pipeline/harmless.py": "base classes that do nothing when a class is made of them",
    "pipeline/formats.py": "a suffix that means a format",
    "pipeline/promise.py": "formats whose values are files",
    "pipeline/installed.py": "names of distributions of one package",
    "plugins/registry.py": "the table of what comes along",
    "probe/draft.py": "modules of a machine, and a launcher for the file of a site",
    "runtime/job/blame.py": "what ranks say that have lost another",
    "runtime/rank/explain.py": "what an exception of others means to a person",
    "runtime/rank/mpi.py": "whose number of ranks is compared",
    "runtime/rank/variables.py": "variables for threads and caches",
    "api/arch.py": "the library of whom names none",
    "api/arch_exchange.py": "what is imported is a model of Keras",
    "api/model.py": "what is inspected is a model of Keras",
    "api/model_figures.py": "what is drawn is a model of Keras",
    "probe/read.py": "launchers that a machine may have",
    "runtime/base/redact.py": "variables that a record may keep",
}
"""Files outside that say the name of a framework, of its format or launcher, and of what."""


def said(tree: ast.Module) -> Iterator[str]:
    """Yield strings that are no docstrings and say the name of a framework, and imports of one."""
    prose = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            if id(node) not in prose and FRAMEWORK.search(node.value):
                yield node.value
        elif isinstance(node, ast.Import | ast.ImportFrom):
            names = [getattr(node, "module", "") or "", *(alias.name for alias in node.names)]
            yield from filter(FRAMEWORK.search, names)


def test_the_core_says_no_framework() -> None:
    found = {
        place
        for path in PACKAGE.rglob("*.py")
        if not (place := path.relative_to(PACKAGE).as_posix()).startswith(ADAPTERS)
        if next(said(ast.parse(path.read_bytes())), None)
    }
    assert found == KNOWING.keys()


@pytest.mark.parametrize(
    "line", ['name == "keras"', "import torch.nn", "from keras import layers", 'f"{x} of PyTorch"']
)
def test_what_is_planted_is_found(line: str) -> None:
    assert list(said(ast.parse(line)))
    assert not list(said(ast.parse('"""On Keras."""\nfound = "torches"')))


def test_only_the_commands_on_networks_and_the_table_know_where_a_library_lies() -> None:
    pattern = re.compile(r"deepforge_hpc\.libraries\.")
    found = {
        place
        for path in PACKAGE.rglob("*.py")
        if not (place := path.relative_to(PACKAGE).as_posix()).startswith("libraries/")
        if pattern.search(path.read_text())
    }
    on_networks = re.compile(r"arch|^(api|cli/views)/model")  # as files, and trained
    assert {name for name in found if not on_networks.search(name)} <= {"plugins/registry.py"}
