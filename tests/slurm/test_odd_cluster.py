"""A cluster as real sites have it: threads, kept cores, mixed partitions, closed and hidden ones."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from deepforge_hpc.files.yaml12 import load

pytestmark = pytest.mark.slurm


@pytest.fixture
def there(odd_cluster: Any, monkeypatch: pytest.MonkeyPatch) -> Any:
    for name, value in odd_cluster.environ.items():
        monkeypatch.setenv(name, value)
    return odd_cluster


@pytest.fixture
def drafted(there: Any, dfh: Any, project: Path) -> dict[str, Any]:
    """Return the data of a draft, which lies in the project as the site `here`."""
    file = project / "site-configs" / "here.yaml"
    said = dfh("site", "probe", "-o", file, cwd=project).stdout
    assert said.startswith(f"{file}: site here, ")
    data: dict[str, Any] = load(file.read_bytes(), str(file)).value()
    return data


def test_cores_are_cores_whatever_slurm_counts(drafted: dict[str, Any]) -> None:
    names = ("cores", "usable_cores", "smt", "threads_per_core")
    nodes = {
        node.get("gpu_type", "none"): tuple(node.get(name) for name in names)
        for node in drafted["node_types"].values()
    }
    # The second sells 8 CPUs of 8 cores with two threads each.
    assert nodes == {"fake": (8, 7, 2, None), "other": (8, 8, 2, 1), "none": (32, 32, 2, None)}


def test_partitions_are_as_slurm_has_them(drafted: dict[str, Any]) -> None:
    queues = {queue["name"]: queue for queue in drafted["queues"]}
    assert "node_type" not in queues["cpu"]
    assert queues["cpu"]["gpus_per_node"] == {"max": 4}
    assert queues["cpu"]["cpus_per_node"] == {"max": 64}
    assert queues["cpu"].get("automatic", True)
    for name, why in (("closed", "for the groups nogroup"), ("secret", "hidden")):
        assert queues[name]["automatic"] is False
        assert why in queues[name]["access"]
    few = queues["few"]
    assert {name: limit["max"] for name, limit in few["at_once"].items()} == {
        "cpus": 8,
        "nodes": 1,
        "gpus": 1,
    }
    assert few["at_once"]["cpus"]["scope"] == "group"
    assert few["jobs"]["running"] == {"max": 3, "scope": "group"}
    assert (queues["cpu-short"]["partition"], queues["cpu-short-2"]["qos"]) == (
        "cpu-short",
        "short",
    )
    assert queues["want4"]["automatic"] is False
    assert queues["want4"]["access"] == "takes no job now: nodes are at least 4 and at most 1"


def test_a_draft_agrees_with_it_and_its_jobs_run(
    drafted: dict[str, Any],
    there: Any,
    dfh: Any,
    project: Path,
) -> None:
    assert dfh("site", "diff", "here", cwd=project).stdout.endswith("no difference\n")
    done = dfh("run", "--site", "here", "--interval", "0.3", cwd=project)
    assert "2/2 operations done" in done.stdout
    jobs = there.run("squeue", "-h", "-t", "all", "-o", "%P %N").split("\n")
    assert "cpu n1" in jobs


def test_what_a_site_adds_takes_no_gpu_away(
    drafted: dict[str, Any],
    there: Any,
    dfh: Any,
    project: Path,
) -> None:
    more = "site: more\nextends: here\nrequest: {extra: [{directive: [gres, 'lscratch:10']}]}\n"
    (project / "site-configs" / "more.yaml").write_text(more, encoding="utf-8")
    _resources(project, {"gpus_per_node": 1, "cpus_per_task": 1})
    assert (
        "2/2 operations done"
        in dfh("run", "--site", "more", "--interval", "0.3", cwd=project).stdout
    )
    assert "gres:gpu:1,gres:lscratch:10" in _asked(there, "%b")


def test_jobs_that_are_hidden_from_an_onlooker_are_not_over(
    there: Any, dfh: Any, as_user: Callable[..., Any], shared: Path
) -> None:
    project, bob = shared / "project", as_user(1)
    project.mkdir()
    (project / "pipeline.yaml").write_text(
        "pipeline: shared\nenvironment: {python: /usr/bin/python3}\n"
        "operations:\n"
        f"  wait: {{uses: 'ops.py:wait', attributes: {{folder: {project}}}}}\n"
        f"  then: {{uses: 'ops.py:wait', attributes: {{folder: {project}}}, after: [wait]}}\n"
    )
    (project / "ops.py").write_text(
        "import os, time\n\n\ndef wait(folder: str) -> int:\n    open(f'{folder}/ran', 'a').close()\n"
        "    while not os.path.exists(f'{folder}/open'):\n        time.sleep(0.05)\n"
        "    value = 1\n    return value\n"
    )
    dfh("submit", "--site", "slurm-generic", cwd=project)
    try:
        # Accounting hides nothing here: it calls alive what the controller does not show.
        there.wait_for(lambda said: "RUNNING" in said, "sacct", "-n", "-X", "-o", "State")
        there.wait_for(lambda _: (project / "ran").exists(), "squeue")
        shown = bob("status", cwd=project).stdout
        assert "left the queue" not in shown
        assert "does not know it" not in shown
        told = json.loads(bob("status", "--json", cwd=project).stdout)
        assert [job["state"] for job in told["jobs"]] == ["running", "pending", "pending"]
        refused = bob("cancel", "shared-0001", cwd=project, expect=5).stderr
        assert "submitted by root: until it is over" in refused
    finally:
        (project / "open").touch()
    dfh("status", "--watch", "--interval", "0.3", cwd=project)
    assert "succeeded" in bob("status", cwd=project).stdout


@pytest.mark.parametrize("site", ["here", "local"])
def test_variables_of_a_pipeline_reach_every_rank(
    drafted: dict[str, Any],
    dfh: Any,
    project: Path,
    site: str,
) -> None:
    code = "import os\n\ndef look() -> str:\n    said = os.environ['TOLD'] + os.environ['AGAIN']\n    return said\n"
    (project / "look.py").write_text(code, encoding="utf-8")
    (project / "look.yaml").write_text(
        "pipeline: look\nenv: {TOLD: everybody, AGAIN: x}\noperations:\n  look: {uses: 'look.py:look', "
        "launch: srun, env: {AGAIN: ' and me'}, resources: {ntasks_per_node: 2}}\n"
        "outputs: {said: {from: look.said, to: said.txt}}\n",
        encoding="utf-8",
    )
    words = ("run", "look.yaml", "--site", site, "--interval", "0.3")
    dfh(*words, "--set", "look.resources.time=3m", cwd=project)
    assert (project / "said.txt").read_text(encoding="utf-8") == "everybody and me"


def test_a_queue_of_several_partitions_in_a_reservation_and_other_gres(
    drafted: dict[str, Any],
    there: Any,
    dfh: Any,
    project: Path,
) -> None:
    queue = "{name: q, partition: 'secret,cpu', reservation: ours}"
    more = f"site: more\nextends: here\nqueues: [{queue}]\n"
    (project / "site-configs" / "more.yaml").write_text(more, encoding="utf-8")
    _resources(project, {"gres": {"lscratch": 7}, "cpus_per_task": 1})
    words = ("StartTime=now", "Duration=30", "Users=root", "Nodes=n1", "Flags=IGNORE_JOBS")
    there.run("scontrol", "create", "reservation", "ReservationName=ours", *words)
    try:
        done = dfh("run", "--site", "more", "--interval", "0.3", cwd=project)
        said = _asked(there, "%b %v")
    finally:
        there.wait_for(lambda text: not text, "squeue", "-h")
        there.run("scontrol", "delete", "ReservationName=ours")
    assert "2/2 operations done" in done.stdout
    assert "gres:lscratch:7 ours" in said


def _asked(there: Any, form: str) -> str:
    """Return what jobs have asked for, in the words of Slurm 22.05; later ones say gres/gpu:1."""
    said: str = there.run("squeue", "-h", "-t", "all", "-o", form)
    return said.replace("gres/", "gres:")


def _resources(project: Path, resources: dict[str, Any]) -> None:
    file = project / "pipeline.yaml"
    data = load(file.read_bytes(), str(file)).value()
    next(iter(data["operations"].values()))["resources"] = resources
    file.write_text(json.dumps(data), encoding="utf-8")


def test_a_job_asks_for_the_cores_that_its_memory_costs(
    drafted: dict[str, Any], there: Any, dfh: Any, project: Path
) -> None:
    _resources(project, {"queue": "percpu", "cpus_per_task": 1, "mem_per_node": "3500MiB"})
    done = dfh("run", "--site", "here", "--interval", "0.3", cwd=project)
    assert "2/2 operations done" in done.stdout
    assert "cpus_per_task 1 -> 4, the least that queue percpu takes" in done.stdout + done.stderr
    assert "percpu 4" in there.run("squeue", "-h", "-t", "all", "-o", "%P %C")
    _resources(project, {"queue": "percpu", "mem_per_node": "15000MiB"})
    done = dfh("plan", "--site", "here", cwd=project, expect=4)
    assert "MiB a core, at most 1000" in done.stderr


def test_the_qos_of_jobs_that_name_none_has_limits_too(there: Any, dfh: Any, project: Path) -> None:
    modify = ("sacctmgr", "-i", "modify", "user", "root", "where", "cluster=odd", "set")
    there.run(*modify, "defaultqos=tiny")
    try:
        file = project / "site-configs" / "here.yaml"
        dfh("site", "probe", "-o", file, cwd=project)
    finally:
        there.run(*modify, "defaultqos=-1")
    queues = {queue["name"]: queue for queue in load(file.read_bytes(), "").value()["queues"]}
    assert queues["cpu"]["time"] == {"max": "00:10:00"}
    assert queues["cpu"]["jobs"]["submitted"] == {"max": 3, "scope": "user"}
    # The partition's own QOS has a limit of another scope; both hold.
    assert queues["few"]["jobs"]["running"] == {"max": 1, "scope": "user"}


def test_what_slurm_never_starts_is_refused(
    drafted: dict[str, Any],
    dfh: Any,
    project: Path,
) -> None:
    _resources(project, {"queue": "few", "cpus_per_task": 9})
    done = dfh("plan", "--site", "here", cwd=project, expect=4)
    assert "9 cores, at most 8" in done.stderr
