"""Every next step that dfh prints is run in a test: `tests/fixtures/next_steps.py` finds and follows them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

NO_COMMAND = {
    "api/proof.py : dfh doctor": "the docstring of the proof's own pipeline",
    "cli/main.py _as_known: dfh VERB": "the version that has a bug",
    "plan/directives.py build_directives: dfh resume": "the reason of a directive, in `dfh plan --origins`",
    "ledger/verify.py _marker: dfh resume": "what a command would do, as a finding",
}
"""Texts that name a command and tell nobody to run it."""


@pytest.fixture
def next_steps(fixture_module: Callable[[str], Any]) -> Any:
    return fixture_module("next_steps")


def test_every_next_step_is_followed_in_a_test(next_steps: Any) -> None:
    told = next_steps.steps().keys() - next_steps.followed()
    assert told == NO_COMMAND.keys(), "follow it in a test (fixture `follow`)"
