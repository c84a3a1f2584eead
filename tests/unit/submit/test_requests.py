from __future__ import annotations

import json
from typing import Any

from deepforge_hpc.runtime.base.plan import Job, JobKind
from deepforge_hpc.schedulers.local import LocalScheduler
from deepforge_hpc.schedulers.slurm import SlurmScheduler
from deepforge_hpc.submit.frozen import read_info, read_plan
from deepforge_hpc.submit.requests import preview, request_for
from deepforge_hpc.submit.select import Selected


def test_request_carries_what_must_not_stand_in_the_script(lab: Any) -> None:
    lab.write()
    layout = lab.create()
    info = read_info(layout)
    item = Selected(job=read_plan(layout, info).job("b"))
    request = request_for(info, item, 3, ["17"])
    assert request.arguments == (
        "--uuid", info.uuid, "--attempt", "3", "--plan", info.plan_sha256, "--code", info.code_sha256,
    )  # fmt: skip
    assert request.name == f"b.{info.uuid[:8]}"
    assert json.loads(request.comment) == {
        "attempt": 3, "execution": "lab-0001", "job": "b", "token": info.uuid[:8],
    }  # fmt: skip
    assert (request.after, request.hold, request.output) == (("17",), False, "jobs/b/out.3.log")
    assert request_for(info, item, 1, []).hold
    assert "--export=NONE" in SlurmScheduler().describe(request)
    of_the_shell = Selected(job=item.job._replace(inherits_shell=True))
    words = SlurmScheduler().describe(request_for(info, of_the_shell, 3, ["17"]))
    assert not [word for word in words if word.startswith("--export")]


def test_array_is_named_whole_or_by_its_tasks() -> None:
    job = Job(name="a", operation="a", kind=JobKind.ARRAY, tasks=8)
    assert Selected(job=job).array == "0-7"
    assert Selected(job=job, tasks=(3, 5)).array == "3,5"
    assert Selected(job=Job(name="a", operation="a")).array == ""


def test_dry_run_shows_jobs_in_the_place_of_ids_and_nothing_else_changed(lab: Any) -> None:
    lab.write("diamond")
    layout = lab.create()
    info = read_info(layout)
    plan = read_plan(layout, info)
    shown = preview(info, plan, SlurmScheduler())
    assert list(shown) == ["a", "b", "c", "d", "_final"]
    assert "--hold" in shown["a"]
    assert "--dependency=afterok:<b>:<c>" in shown["d"]
    (after,) = [word for word in shown["_final"] if word.startswith("--dependency=")]
    assert after.startswith("--dependency=afterany:")
    assert "<d>" in after
    sent = SlurmScheduler().describe(request_for(info, Selected(job=plan.job("b")), 1, ["42"]))
    assert [word.replace("<a>", "42") for word in shown["b"]] == sent
    assert preview(info, plan, LocalScheduler())["b"][:2] == ["bash", "jobs/b/job.sh"]
