"""Projects on the private clusters for tests that submit."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest


@pytest.fixture
def make_lab(lab_class: type, tmp_path: Path) -> Iterator[Callable[..., object]]:
    """Return a function that makes a project: `make_lab(site, fast=True, dependency="afterok")`."""
    made = []

    def make(site: str, *, fast: bool = True, dependency: str = "afterok") -> object:
        lab = lab_class(tmp_path / f"project{len(made)}", site, fast=fast)
        made.append(lab)
        if dependency != "afterok":
            lab.use_dependency(dependency)
        return lab

    yield make
    for lab in made:
        lab.close()
