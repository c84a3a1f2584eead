"""What a site says of haste: how many jobs a minute, and how often one may look."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from deepforge_hpc.api import find, manage, pipelines, submission
from deepforge_hpc.errors import SchedulerError
from deepforge_hpc.runtime.base.layout import ExecutionLayout
from deepforge_hpc.runtime.base.plan import Plan, parse_plan
from deepforge_hpc.submit import chain
from deepforge_hpc.submit.submitter import RateLimit


class Clock:
    def __init__(self) -> None:
        self.now = 100.0
        self.slept: list[float] = []

    def __call__(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.now += seconds


def test_few_jobs_go_at_once_and_many_wait_for_their_turn() -> None:
    clock = Clock()
    rate_limit = RateLimit(3, clock=clock, sleep=clock.sleep)
    for _ in range(3):
        rate_limit.wait()
        clock.now += 10
    assert clock.slept == []
    rate_limit.wait()
    assert clock.slept == [30]  # a minute after the first
    rate_limit.wait()
    assert clock.slept == [30, 10]


@pytest.mark.parametrize("rate", [None, 0])
def test_no_limit_is_no_wait(rate: int | None) -> None:
    clock = Clock()
    rate_limit = RateLimit(rate, clock=clock, sleep=clock.sleep)
    for _ in range(100):
        rate_limit.wait()
    assert clock.slept == []


def test_each_submission_of_a_chain_waits_for_its_turn(lab: Any) -> None:
    class Counting(RateLimit):
        turns = 0

        def wait(self) -> None:
            self.turns += 1

    rate_limit = Counting(None)
    lab.write()
    layout = lab.create()
    chain.submit(layout, lab.scheduler, rate_limit=rate_limit)
    assert rate_limit.turns == 4
    lab.wait(layout)


SITE = """\
site: local
extends: local
login: {poll_s: 45}
submit: {rate_per_min: 7, from: scratch}
filesystems: [{role: scratch, path: FOLDER}, {role: home, env: HOME}]
"""


@pytest.fixture
def request_(tmp_path: Path) -> pipelines.Request:
    (tmp_path / "site-configs").mkdir()
    (tmp_path / "site-configs/local.yaml").write_text(SITE.replace("FOLDER", "/scratch"))
    (tmp_path / "ops.py").write_text("def one() -> int:\n    x = 1\n    return x\n")
    pipeline = tmp_path / "pipeline.yaml"
    pipeline.write_text("pipeline: p\noperations: {one: {uses: 'ops.py:one'}}\n")
    return pipelines.Request(pipeline=pipeline)


def test_submit_and_resume_keep_to_the_pace_of_the_site(
    request_: pipelines.Request, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept = []

    def refuse(
        layout: ExecutionLayout,
        _: Any,
        *,
        rate_limit: RateLimit,
        plan: Plan | None = None,
        reused: object = None,
    ) -> None:
        kept.append(rate_limit._recent.maxlen)
        assert plan in (None, parse_plan(layout.plan.read_bytes())), "it is not read again"
        assert (plan is None) == (reused is None), "nor what was reused"
        message = "not now"
        raise SchedulerError(message)

    monkeypatch.setattr(chain, "submit", refuse)
    monkeypatch.setattr(chain, "resume", refuse)
    with pytest.raises(SchedulerError):
        submission.submit(request_)
    found = find.find_execution("latest", request_.pipeline.parent)
    with pytest.raises(SchedulerError):
        manage.resume(found)
    assert kept == [7, 7]
    assert manage.least_pause_s(found) == 45
    found.layout.site.chmod(0o644)
    found.layout.site.write_text("site: [")
    assert manage.least_pause_s(found) == 0


def test_a_folder_that_the_site_does_not_take_jobs_from_is_told(
    request_: pipelines.Request,
) -> None:
    folder = request_.pipeline.parent
    text = "site local takes jobs from its scratch file system, and"
    assert [w for w in map(str, submission.dry_run(request_).warnings) if w.startswith(text)]
    (folder / "site-configs/local.yaml").write_text(SITE.replace("FOLDER", str(folder)))
    assert not [w for w in map(str, submission.dry_run(request_).warnings) if w.startswith(text)]
