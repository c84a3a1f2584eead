"""A project on the local site for tests that submit."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest


def _load() -> ModuleType:
    path = Path(__file__).parents[2] / "fixtures" / "lab.py"
    spec = importlib.util.spec_from_file_location("dfh_test_lab", path)
    assert spec is not None
    assert spec.loader is not None
    module = sys.modules.setdefault(spec.name, importlib.util.module_from_spec(spec))
    if not hasattr(module, "Lab"):
        spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="session")
def lab_class() -> type:
    """Return the class of such projects."""
    found: type = _load().Lab
    return found


@pytest.fixture
def lab(tmp_path: Path) -> Iterator[object]:
    """Return a project whose jobs are bash scripts that keep the job contract."""
    found = _load().Lab(tmp_path / "project", "local", fast=True)
    yield found
    found.close()


@pytest.fixture
def real_lab(tmp_path: Path) -> Iterator[object]:
    """Return a project whose jobs run the real runtime."""
    found = _load().Lab(tmp_path / "project", "local")
    yield found
    found.close()


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """Return a file system of its own with 64 KiB."""
    folder = tmp_path / "small"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=64k", "none", str(folder)]
    if subprocess.run(mount, check=False, capture_output=True).returncode:
        pytest.skip("no file system can be mounted here")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)
