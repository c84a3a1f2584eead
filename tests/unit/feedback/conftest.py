from __future__ import annotations

from collections.abc import Callable
from types import ModuleType

import pytest


@pytest.fixture
def executions(fixture_module: Callable[[str], ModuleType]) -> ModuleType:
    """Return the makers of made-up executions."""
    return fixture_module("executions")
