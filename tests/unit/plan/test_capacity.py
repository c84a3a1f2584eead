"""A plan with more jobs than the site takes at once: another queue, or a refusal with a way out."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from deepforge_hpc.errors import NoResourcesError
from deepforge_hpc.pipeline.load import Settings, load_pipeline
from deepforge_hpc.plan.resolve import resolve

if TYPE_CHECKING:
    from pathlib import Path

    from deepforge_hpc.runtime.base.plan import Plan

CODE = """\
import numpy as np


def cut(table: np.ndarray) -> np.ndarray:
    images = table
    return images
"""
HEAD = "site: x\nextends: slurm-base\n"
TWO = """\
queues:
  - {name: small, partition: a, jobs: {any_state: {max: 5}, submitted: {max: 9}}}
  - {name: large, partition: b, jobs: {submitted: {max: 7}}}
  - {name: named, partition: c, automatic: no}
"""


@pytest.fixture
def plan(tmp_path: Path):
    (tmp_path / "ops.py").write_text(CODE)
    (tmp_path / "table.npy").write_bytes(b"rows")
    (tmp_path / "site-configs").mkdir()

    def make(site: str, shards: int, resources: str = "", more: int = 0, **settings) -> Plan:
        (tmp_path / "site-configs/x.yaml").write_text(HEAD + site)
        text = (
            "pipeline: p\nenvironment: {python: /usr/bin/python3}\ninputs: {table: table.npy}\n"
            "operations:\n  cut: {uses: 'ops.py:cut', inputs: {table: table}, "
            f"map: {{over: table, shards: {shards}}}, resources: {{{resources}}}}}\n"
        )
        text += "".join(
            f"  o{n}: {{uses: 'ops.py:cut', inputs: {{table: table}}, resources: {{{resources}}}}}\n"
            for n in range(more)
        )
        (tmp_path / "pipeline.yaml").write_text(text)
        loaded = load_pipeline(tmp_path / "pipeline.yaml", site="x", settings=Settings())
        return resolve(loaded, **settings)

    return make


def queues(plan: Plan) -> set[str]:
    return {job.queue for job in plan.jobs}


def refused(plan, *args, **more) -> tuple[str, str]:
    with pytest.raises(NoResourcesError) as caught:
        plan(*args, **more)
    assert caught.value.exit_code == 4
    return caught.value.message, caught.value.hint


def test_tasks_gather_and_final_jobs_all_take_room(plan):
    assert queues(plan(TWO, 3)) == {"small"}  # 3 tasks, cut.gather and _final


def test_a_queue_that_does_not_hold_all_is_passed_over_for_one_that_does(plan):
    found = plan(TWO, 4)
    assert queues(found) == {"large"}
    (origin,) = [one for one in found.origins if one.key == "jobs.cut.queue"]
    assert "not small: takes 5 job(s) at once, the pipeline has more" in origin.source
    assert queues(plan(TWO, 5)) == {"large"}


def test_where_no_queue_holds_all_the_plan_is_refused_with_what_would_do(plan):
    message, hint = refused(plan, TWO, 6)
    assert message == (
        "queue small of x takes 5 job(s) at once, not 8: cut (6 tasks), cut.gather, _final"
    )
    assert hint.startswith("Nearest: map: {shards: 3} for cut; queue: large for cut; or run a part")
    assert queues(plan(TWO, 3)) == {"small"}
    assert queues(plan(TWO, 6, "queue: large")) == {"small", "large"}
    assert "queue: named for cut" in refused(plan, TWO, 8)[1]
    assert queues(plan(TWO, 8, "queue: named")) == {"small", "named"}


def test_a_queue_that_holds_all_and_refuses_each_is_no_way_out(plan):
    site = TWO.replace("name: large,", "name: large, memory: required,")
    message, _ = refused(plan, site, 4)
    assert "queue small of x takes 5 job(s) at once, not 6" in message
    assert queues(plan(site + "node_types: {default: {cores: 8, mem: 16GiB}}\n", 4)) == {"large"}


def test_a_queue_that_was_asked_for_is_not_exchanged(plan):
    site = TWO.replace("automatic: no", "automatic: no, jobs: {any_state: {max: 2}}")
    assert plan(site, 2, "queue: named").job("cut").queue == "named"
    message, hint = refused(plan, site, 3, "queue: named")
    assert message == "queue named of x takes 2 job(s) at once, not 3: cut (3 tasks)"
    assert "map: {shards: 2} for cut; queue: small for cut; or" in hint
    assert plan(site, 3, "queue: small").job("cut").queue == "small"


def test_the_whole_site_has_a_limit_too(plan):
    site = TWO + "submit: {max_queued: 6}\n"
    assert queues(plan(site, 4)) == {"large"}
    message, hint = refused(plan, site, 5)
    assert "site x takes 6 job(s) at once, not 7" in message
    assert "map: {shards: 4} for cut" in refused(plan, "submit: {max_queued: 6}\n", 5)[1]
    assert hint.startswith("Nearest: run a part of it first (--until OPERATION)")


def test_an_array_counts_as_the_site_says(plan):
    one = "submit: {array_counts_as: job, max_queued: 3}\n"
    assert plan(one, 500).job("cut").tasks == 500
    message, hint = refused(plan, one, 500, more=1)
    assert "not 4" in message
    assert "shards" not in hint
    open_ = plan(one.replace("job,", "unknown,"), 500)
    assert "site x takes 3 job(s) at once, not 502, if each task of an array counts" in (
        str(open_.warnings)
    )


def test_what_would_be_reused_takes_no_room(plan):
    site = "submit: {max_queued: 3}\n"
    refused(plan, site, 4)
    asked = []

    def sent(found: Plan) -> dict[str, int]:
        asked.append(found)
        return {"cut": 1, "cut.gather": 1, "_final": 1}

    assert plan(site, 4, sent=sent).job("cut").tasks == 4
    assert len(asked) == 1
    plan(site, 1, sent=sent)
    assert len(asked) == 1  # nobody reads earlier executions where there is room anyway


def test_many_jobs_are_named_in_short(plan):
    message, _ = refused(plan, "submit: {max_queued: 3}\n", 1, more=6)
    assert message.endswith("not 9: cut, cut.gather, o0, o1 and 5 more")
