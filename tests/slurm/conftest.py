"""Projects on the private clusters for tests that submit."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType

import pytest


def _load() -> ModuleType:
    path = Path(__file__).parents[1] / "fixtures" / "lab.py"
    spec = importlib.util.spec_from_file_location("dfh_test_lab", path)
    assert spec is not None
    assert spec.loader is not None
    module = sys.modules.setdefault(spec.name, importlib.util.module_from_spec(spec))
    if not hasattr(module, "Lab"):
        spec.loader.exec_module(module)
    return module


@pytest.fixture
def make_lab(tmp_path: Path) -> Iterator[Callable[..., object]]:
    """Return a function that makes a project: `make_lab(site, fast=True, dependency="afterok")`."""
    made = []

    def make(site: str, *, fast: bool = True, dependency: str = "afterok") -> object:
        lab = _load().Lab(tmp_path / f"project{len(made)}", site, fast=fast)
        made.append(lab)
        if dependency != "afterok":
            lab.use_dependency(dependency)
        return lab

    yield make
    for lab in made:
        lab.close()
