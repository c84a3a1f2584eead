"""What a site's queues and nodes say of a job: the least that it gets, what nodes have, lists of queues."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from deepforge_hpc.errors import InvalidInputError, NoResourcesError
from deepforge_hpc.pipeline.load import Settings, load_pipeline
from deepforge_hpc.plan.resolve import resolve
from deepforge_hpc.runtime.base.plan import Plan

SITE = """
site: here
scheduler: slurm
environment: {python: /usr/bin/python3}
launchers: {srun: {argv: [srun, "-n", "{world_size}"]}}
"""
WHOLE = """
node_types: {default: {cores: 128, mem: 256GiB, gpus: 0}}
queues: [{name: whole, partition: w, cpu_multiple: 128, time: {min: 10m, max: 4h}}]
"""
GPUS = """
node_types: {default: {cores: 64, gpus: 4}}
queues: [{name: four, partition: g, gpus_per_node: {min: 4}}]
"""
NVME = """
node_types: {default: {cores: 8, gres: {lscratch: 100, 'nvme:fast': 1, 'nvme:slow': 2, dunno: unknown}}}
queues: [{name: q, partition: p}]
"""


def planned(
    folder: Path, site: str, resources: str, more: str = "", settings: Settings | None = None
) -> Plan:
    (folder / "site-configs").mkdir(exist_ok=True)
    (folder / "site-configs" / "here.yaml").write_text(SITE + site, encoding="utf-8")
    (folder / "ops.py").write_text(
        "def work() -> int:\n    one = 1\n    return one\n", encoding="utf-8"
    )
    (folder / "pipeline.yaml").write_text(
        f"pipeline: p\noperations: {{work: {{uses: 'ops.py:work', resources: {resources}{more}}}}}\n",
        encoding="utf-8",
    )
    return resolve(
        load_pipeline(folder / "pipeline.yaml", site="here", settings=settings or Settings())
    )


@pytest.mark.parametrize(
    ("site", "resources", "more", "expected", "told"),
    [
        (WHOLE, "{cpus_per_task: 4, time: 1h}", "", {"cpus_per_task": 128}, ["cpus_per_task 4 -> 128"]),
        (WHOLE, "{cpus_per_task: 4, ntasks_per_node: 2}", ", launch: srun", {"cpus_per_task": 64}, ["4 -> 64"]),
        (WHOLE, "{cpus_per_task: 128, time: 3m}", "", {"time_s": 600}, ["time 00:03:00 -> 00:10:00"]),
        (GPUS, "{gpus_per_node: 1}", "", {"gpus_per_node": 4}, ["gpus_per_node 1 -> 4"]),
    ],
)  # fmt: skip
def test_a_job_gets_the_least_that_its_queue_takes(
    tmp_path: Path,
    site: str,
    resources: str,
    more: str,
    expected: dict[str, Any],
    told: list[str],
) -> None:
    plan = planned(tmp_path, site, resources, more)
    job = plan.job("work")
    assert {name: getattr(job.resources, name) for name in expected} == expected
    notices = [notice for notice in plan.warnings if notice.kind == "raised"]
    assert [notice.subject for notice in notices] == ["work"] * len(told)
    for notice, words in zip(notices, told, strict=True):
        assert words in notice.text
        assert "the least that queue" in notice.text
    for name in expected:
        (origin,) = [each for each in plan.origins if each.key == f"jobs.work.resources.{name}"]
        assert "site here (project):8 instead of" in origin.source


@pytest.mark.parametrize(
    ("site", "resources", "more"),
    [
        (GPUS, "{gpus_per_node: 0}", ""),
        (GPUS, "{gpus_per_node: 3, ntasks_per_node: 3}", ", launch: srun"),
        ("queues: [{name: wide, partition: w, nodes: {min: 4}}]", "{nodes: 1}", ""),
        (WHOLE, "{cpus_per_task: 4, time: 5h}", ""),
    ],
)
def test_what_would_be_another_job_is_refused(
    tmp_path: Path, site: str, resources: str, more: str
) -> None:
    with pytest.raises(NoResourcesError):
        planned(tmp_path, site, resources, more)


def test_a_queue_that_takes_the_job_as_it_is_comes_first(tmp_path: Path) -> None:
    small = WHOLE.replace("}]", "}, {name: small, partition: s}]")
    plan = planned(tmp_path, small, "{cpus_per_task: 4}")
    assert (plan.job("work").queue, plan.job("work").resources.cpus_per_task) == ("small", 4)
    assert not any(notice.kind == "raised" for notice in plan.warnings)


@pytest.mark.parametrize(
    ("gres", "refusal"),
    [
        ("{lscratch: 100}", ""),
        ("{lscratch: 101}", "101 lscratch a node, at most 100"),
        ("{nvme: 3}", ""),
        ("{nvme: 4}", "4 nvme a node, at most 3"),
        ("{'nvme:slow': 3}", "3 nvme:slow a node, at most 2"),
        ("{fpga: 1}", "its nodes have no fpga"),
        ("{dunno: 7}", ""),
    ],
)
def test_what_else_nodes_have_is_checked_by_name_and_count(
    tmp_path: Path, gres: str, refusal: str
) -> None:
    if not refusal:
        plan = planned(tmp_path, NVME, f"{{gres: {gres}}}")
        assert dict(plan.job("work").directives)["gres"] == gres.strip("{}").replace(
            ": ", ":"
        ).replace("'", "")
        return
    with pytest.raises(NoResourcesError, match=refusal):
        planned(tmp_path, NVME, f"{{gres: {gres}}}")


def test_what_nobody_says_of_the_nodes_is_told(tmp_path: Path) -> None:
    plan = planned(tmp_path, WHOLE.replace(", cpu_multiple: 128", ""), "{gres: {lscratch: 1}}")
    assert "node_types.default.gres" in {key for one in plan.warnings for key in one.keys}


TOGETHER = """
routing: {by: [partition], together: [[a, b, c, d, e, f, h]]}
node_types: {default: {cores: 64, gpus: 0}, small: {cores: 8, gpus: 0}}
submit: {internal_queue: g}
queues:
  - {name: a, partition: pa, time: {max: 4h}}
  - {name: b, partition: 'pb,pa', time: {max: 2h}}
  - {name: c, partition: pc, node_type: small}
  - {name: d, partition: pd, account: other}
  - {name: e, partition: pe, time: unknown}
  - {name: f, partition: pf, qos: long}
  - {name: g, partition: pg}
  - {name: h, partition: ph, automatic: no}
"""


@pytest.mark.parametrize(
    ("resources", "queue", "partition"),
    [
        ("{time: 1h, cpus_per_task: 4}", "a,b,c", "pa,pb,pc"),
        ("{time: 3h, cpus_per_task: 4}", "a,c", "pa,pc"),
        ("{time: 1h, cpus_per_task: 16}", "a,b", "pa,pb"),
        ("{time: 5h, cpus_per_task: 16}", "d", "pd"),
        ("{time: 1h, cpus_per_task: 4, queue: b}", "b", "pb,pa"),
    ],
)
def test_slurm_chooses_among_queues_that_charge_and_grant_alike(
    tmp_path: Path, resources: str, queue: str, partition: str
) -> None:
    """A job that pays from elsewhere, has another QOS or may be beyond a limit goes to no list."""
    settings = Settings(account="ours")
    plan = planned(tmp_path, TOGETHER, resources, settings=settings)
    job = plan.job("work")
    assert (job.queue, dict(job.directives)["partition"]) == (queue, partition)
    origins = {each.key: each.source for each in plan.origins}
    assert ("site here (project):7" in origins["jobs.work.directives.partition"]) == ("," in queue)


def test_a_queue_of_a_list_without_room_is_left_out(tmp_path: Path) -> None:
    site = TOGETHER.replace("{name: b,", "{name: b, jobs: {submitted: {max: 0}},")
    plan = planned(tmp_path, site, "{time: 1h, cpus_per_task: 4}")
    assert plan.job("work").queue == "a,c"  # d is charged to an account of its own


def test_another_cluster_has_no_lists(tmp_path: Path) -> None:
    site = TOGETHER.replace("submit: {", "submit: {cluster: lab2, ")
    assert planned(tmp_path, site, "{time: 1h, cpus_per_task: 4}").job("work").queue == "a"


def test_a_list_names_queues_of_the_site(tmp_path: Path) -> None:
    with pytest.raises(InvalidInputError, match=r"routing.together\[0\]: no queue 'x'"):
        planned(tmp_path, TOGETHER.replace("[[a, b,", "[[a, x,"), "{time: 1h}")
