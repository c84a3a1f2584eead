"""A library is found by its name: no part of dfh but its own commands knows one."""

from __future__ import annotations

import re
from pathlib import Path

import deepforge_hpc

PACKAGE = Path(deepforge_hpc.__file__).parent
CORE = (
    "doctor",
    "files",
    "ledger",
    "model",
    "pipeline",
    "plan",
    "plugins",
    "probe",
    "render",
    "site",
    "submit",
)
FORMATS = {
    "pipeline/annotation.py",  # an annotation that means the format `keras`
    "pipeline/effects.py",  # base classes that do nothing when a class is made of them
    "pipeline/formats.py",
    "pipeline/promise.py",
    "plugins/registry.py",  # the table of what comes along
}
"""Files of the core that may say the name of a framework: of its format, which any package could bring."""


def saying(pattern: str, *folders: str) -> set[str]:
    places = [path for folder in folders for path in (PACKAGE / folder).rglob("*.py")]
    return {
        path.relative_to(PACKAGE).as_posix()
        for path in places
        if re.search(pattern, path.read_text(), re.IGNORECASE)
    }


def test_the_core_does_not_say_keras() -> None:
    assert saying(r"\bkeras\b", *CORE) <= FORMATS


def test_only_the_commands_on_networks_and_the_table_know_where_a_library_lies() -> None:
    found = saying(r"deepforge_hpc\.libraries\.", ".") - saying("", "libraries")
    on_networks = re.compile(r"arch|^(api|cli/views)/model")  # as files, and trained
    assert {name for name in found if not on_networks.search(name)} <= {"plugins/registry.py"}
