"""Every next step that dfh prints is run in a test: `tests/fixtures/next_steps.py` finds and follows them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

NO_COMMAND = {
    "api/proof.py : dfh doctor": "the docstring of the proof's own pipeline",
    "plan/directives.py build_directives: dfh resume": "the reason of a directive, in `dfh plan --origins`",
    "ledger/verify.py _marker: dfh resume": "what a command would do, as a finding",
}
"""Texts that name a command and tell nobody to run it."""
NOT_FOLLOWED = {
    "api/logs.py read_log: dfh status",
    "api/manage.py _require_original: dfh cancel",
    "api/site.py _undecided: dfh site",
    "api/submission.py _left_by_interrupt: dfh status, dfh resume, dfh cancel",
    "api/target.py _with_pipeline: dfh plan",
    "cli/commands/site.py detect: dfh site",
    "cli/main.py _as_known: dfh VERB",
    "runtime/base/advice.py limit_advice: dfh resume",
    "runtime/base/advice.py next_step: dfh logs #2",
    "runtime/base/advice.py next_step: dfh resume",
    "runtime/base/failure.py disk_hint: dfh resume",
    "runtime/base/failure.py os_hint: dfh executions",
    "runtime/job/diagnosis.py _by_launcher: dfh logs",
    "runtime/job/diagnosis.py _by_launcher: dfh logs #2",
    "runtime/job/diagnosis.py _wordless: dfh logs",
    "runtime/base/failure.py not_as_submitted: dfh submit",
    "runtime/job/guard.py _upstream_error: dfh status, dfh resume",
    "runtime/job/ranks.py interruption: dfh resume",
    "runtime/job/stage.py _again: dfh resume",
    "runtime/job/stage.py _from_external: dfh resume",
    "runtime/job/stage.py take_published: dfh resume",
    "runtime/job/supervisor.py Supervisor._os_error: dfh resume",
    "runtime/job/supervisor.py Supervisor._os_error: dfh resume #2",
    "runtime/rank/rescue.py _unreadable: dfh resume",
    "runtime/rank/saving.py _disk_error: dfh resume",
    "runtime/report/failures.py _next: dfh resume",
    "runtime/state/judge.py _look: dfh logs",
    "runtime/state/judge.py _lost: dfh resume",
    "runtime/state/judge.py _resume: dfh resume",
    "runtime/state/judge.py _silent: dfh cancel",
    "schedulers/local.py View.native: dfh resume",
    "schedulers/local.py _ensure_engine: dfh resume",
    "submit/frozen.py read_info: dfh executions",
    "submit/inspect.py _broken: dfh resume",
    "submit/inspect.py _next: dfh cancel",
    "submit/inspect.py _next: dfh resume",
    "submit/inspect.py _next: dfh status",
    "submit/live_jobs.py LiveJobs.clear: dfh cancel",
    "submit/orphans.py HeldOrphan.notice: dfh resume, dfh cancel",
    "submit/submitter.py Submitter._undo: dfh resume",
    "submit/submitter.py Submitter._undo: dfh resume #2",
    "submit/submitter.py Submitter.release: dfh resume, dfh cancel",
}
"""Steps that no test follows yet. It may only get shorter."""


@pytest.fixture
def next_steps(fixture_module: Callable[[str], Any]) -> Any:
    return fixture_module("next_steps")


def test_every_next_step_is_followed_in_a_test(next_steps: Any) -> None:
    found = next_steps.steps().keys() - NO_COMMAND.keys()
    assert found - next_steps.followed() == NOT_FOLLOWED, (
        "follow a new step in a test (fixture `follow`); take one that is followed out of the list"
    )


def test_lists_name_steps_that_there_are(next_steps: Any) -> None:
    assert {*NO_COMMAND, *NOT_FOLLOWED} <= next_steps.steps().keys()
