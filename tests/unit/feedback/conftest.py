from __future__ import annotations

import importlib.util
from pathlib import Path
from types import ModuleType

import pytest


@pytest.fixture(scope="session")
def executions() -> ModuleType:
    """Return the makers of made-up executions."""
    file = Path(__file__).with_name("executions.py")
    spec = importlib.util.spec_from_file_location("made_up_executions", file)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
