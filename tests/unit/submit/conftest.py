"""A project on the local site for tests that submit."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest


@pytest.fixture
def lab(lab_class: type, tmp_path: Path) -> Iterator[object]:
    """Return a project whose jobs are bash scripts that keep the job contract."""
    found = lab_class(tmp_path / "project", "local", fast=True)
    yield found
    found.close()


@pytest.fixture
def real_lab(lab_class: type, tmp_path: Path) -> Iterator[object]:
    """Return a project whose jobs run the real runtime."""
    found = lab_class(tmp_path / "project", "local")
    yield found
    found.close()
