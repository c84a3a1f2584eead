"""The redshift example, copied to where a test may run it."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

EXAMPLE = Path(__file__).parents[2] / "examples" / "redshift"


@pytest.fixture(autouse=True)
def _import_operations(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(EXAMPLE))
    monkeypatch.setenv("TF_CPP_MIN_LOG_LEVEL", "3")  # read when TensorFlow is first imported
    monkeypatch.setenv("MPLBACKEND", "Agg")


@pytest.fixture
def example() -> Path:
    return EXAMPLE


@pytest.fixture(scope="module")
def copy_example() -> Callable[[Path], Path]:
    """Return a function that copies the example, without what a run of it leaves, and returns it."""

    def copy(target: Path) -> Path:
        left = shutil.ignore_patterns("executions", ".dfh", ".venv", "__pycache__")
        return shutil.copytree(EXAMPLE, target, ignore=left)

    return copy
