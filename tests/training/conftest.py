from __future__ import annotations

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
