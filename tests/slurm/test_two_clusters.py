"""Two controllers, `lab` and `lab2`, with one database: a job's cluster is part of what it is."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from deepforge_hpc.errors import SchedulerError, SubmitLimitError
from deepforge_hpc.plugins.scheduler import JobScope
from deepforge_hpc.runtime.base.layout import ExecutionLayout
from deepforge_hpc.runtime.schedulers import sacct
from deepforge_hpc.schedulers.slurm import SlurmScheduler
from deepforge_hpc.submit import chain, journal
from deepforge_hpc.submit.orphans import held_orphans

pytestmark = pytest.mark.slurm
GOOD = {"a": "succeeded", "b": "succeeded", "c": "succeeded", "_final": "succeeded"}
SITE = "site: there\nextends: slurm-generic\nsubmit: {cluster: lab2}\n"
TINY = SITE + "queues: [{name: tiny, partition: cpu, qos: tiny, time: {max: '02:00:00'}}]\n"
WRAPPER = """\
#!/bin/bash
# Stands before sbatch on PATH, as at sites whose sbatch has a will of its own.
real=$(PATH=$REAL_PATH command -v sbatch)
"""


def poll(ask: Callable[[], Any], limit_s: float = 60) -> Any:
    deadline = time.monotonic() + limit_s
    while not (answer := ask()):
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.2)  # to ask Slurm is to start programs, which take the cores
    return answer


@pytest.fixture
def make_there(
    second_cluster: Any, slurm_cluster: Any, make_lab: Callable[..., Any]
) -> Callable[..., Any]:
    """Return a function that makes a project with a site of its own; the shell reaches `lab`."""

    def make(site: str = SITE, *, fast: bool = True) -> Any:
        lab = make_lab("there", fast=fast)
        (lab.project / "site-configs").mkdir()
        (lab.project / "site-configs" / "there.yaml").write_text(site)
        lab.scheduler = SlurmScheduler().scoped(
            JobScope(site_cluster="lab2")
        )  # for what tests ask themselves
        lab.flag("wait-a")
        return lab

    return make


def names(cluster: Any) -> dict[str, str]:
    """Return the names of what is queued or runs, by id."""
    rows = cluster.run("squeue", "-h", "-o", "%F|%j").split()
    return dict(row.split("|") for row in rows)


def events(layout: ExecutionLayout) -> list[dict[str, Any]]:
    return [json.loads(line) for line in layout.submitted.read_bytes().splitlines()]


def hold(cluster: Any, name: str) -> str:
    """Queue a held job and return its id."""
    words = ("--parsable", "--hold", f"--job-name={name}", "--output=/dev/null", "--wrap=true")
    return str(cluster.run("sbatch", *words).strip())


def next_id(cluster: Any) -> int:
    (line,) = [
        line
        for line in cluster.run("scontrol", "show", "config").splitlines()
        if "NEXT_JOB_ID" in line
    ]
    return int(line.split("=")[1])


def strangers(first: Any, second: Any, number: int) -> list[str]:
    """Queue held jobs on the first cluster whose ids the second one gives to its next jobs."""
    behind = sorted((first, second), key=next_id)
    passed = [hold(behind[0], "passed") for _ in range(next_id(behind[1]) - next_id(behind[0]))]
    if passed:
        behind[0].run("scancel", *passed)
    ids = [hold(first, "stranger") for _ in range(number)]
    assert next_id(second) == int(ids[0])
    return ids


def put_before(monkeypatch: pytest.MonkeyPatch, folder: Path, body: str) -> None:
    """Put an sbatch before the real one."""
    folder.mkdir()
    (folder / "sbatch").write_text(WRAPPER + body)
    (folder / "sbatch").chmod(0o755)
    monkeypatch.setenv("REAL_PATH", os.environ["PATH"])
    monkeypatch.setenv("PATH", f"{folder}:{os.environ['PATH']}")


def test_all_commands_reach_the_cluster_that_the_site_names(
    make_there: Callable[..., Any], second_cluster: Any, slurm_cluster: Any, dfh: Any
) -> None:
    lab = make_there(fast=False)
    lab.write()

    def run(*words: str) -> str:
        return str(dfh(*words, cwd=lab.project).stdout)

    alike = strangers(slurm_cluster, second_cluster, 4)
    run("submit", "--site", "there")
    layout = ExecutionLayout(lab.project / "executions" / "lab-0001")
    poll(lambda: lab.ran() == ["a"])
    mine = {event["native_id"]: event["cluster"] for event in events(layout) if "job" in event}
    assert events(layout)[0]["cluster"] == "lab2"
    assert mine == dict.fromkeys(alike, "lab2")
    shown = json.loads(run("status", "lab-0001", "--json"))["jobs"]
    assert {job["name"]: job["state"] for job in shown} == {
        "a": "running", "b": "pending", "c": "pending", "_final": "pending",
    }  # fmt: skip
    assert "cancelled a, b, c" in run("cancel", "lab-0001")
    poll(lambda: not names(second_cluster))
    assert lab.states(layout)["a"] == "cancelled"
    lab.flag("wait-a", is_set=False)
    run("resume", "lab-0001")
    assert lab.wait(layout) == GOOD
    assert lab.ran() == ["a", "a", "b", "c"]
    run("logs", "lab-0001", "c")
    paths = (lab.project / ".dfh" / "loose").rglob("*.json")
    kept = [record for path in paths if (record := json.loads(path.read_bytes()))["kind"] == "acct"]
    ids = journal.read(layout).last.ids
    last = max(kept, key=lambda record: record["attempt"])
    assert {row["jobid"] for row in last["jobs"]} >= {ids["a"], ids["b"], ids["c"]}
    assert {row["state"] for row in last["jobs"]} == {"COMPLETED"}
    # Those of the default cluster that have the same numbers: nobody asked for them.
    assert {names(slurm_cluster).get(native_id) for native_id in alike} == {"stranger"}


def test_a_refused_submission_ends_its_own_jobs_alone(
    make_there: Callable[..., Any], second_cluster: Any, slurm_cluster: Any
) -> None:
    lab = make_there(TINY)
    alike = strangers(slurm_cluster, second_cluster, 4)
    lab.write()
    layout = lab.create()
    # The QOS lets a user have three jobs at once, and the chain has four.
    with pytest.raises(SubmitLimitError, match="Nothing of lab-0001 runs") as caught:
        chain.submit(layout, SlurmScheduler())
    assert caught.value.argv[1] == "--clusters=lab2"
    had = journal.read(layout).last.ids
    assert set(had.values()) < set(alike)
    assert names(second_cluster) == {}
    assert {names(slurm_cluster).get(native_id) for native_id in alike} == {"stranger"}
    assert held_orphans(lab.project) == ()


@pytest.mark.parametrize(("first", "then"), [("lab2", ""), ("", "lab2")], ids=["set", "unset"])
def test_a_shell_that_reaches_another_cluster_is_refused(
    make_there: Callable[..., Any],
    second_cluster: Any,
    slurm_cluster: Any,
    monkeypatch: pytest.MonkeyPatch,
    first: str,
    then: str,
) -> None:
    def shell(clusters: str) -> None:
        monkeypatch.setenv("SLURM_CLUSTERS", clusters)
        if not clusters:
            monkeypatch.delenv("SLURM_CLUSTERS")

    lab = make_there("site: there\nextends: slurm-generic\n")
    there = {"lab2": second_cluster, "": slurm_cluster}[first]
    lab.scheduler = SlurmScheduler()
    shell(first)
    layout = lab.submit()
    poll(layout.job("a").state.exists)  # which says that it runs, once the scheduler is not asked
    shell(then)
    says = f"the jobs are on the cluster {first or 'lab'}, and this shell reaches {then or 'lab'}"
    for act in (lab.resume, lab.cancel):
        with pytest.raises(SchedulerError, match=says) as caught:
            act(layout)
        assert f"export SLURM_CLUSTERS={first or 'lab'}" in caught.value.hint
    told = lab.status(layout)
    assert [says in notice.text for notice in told.warnings if notice.kind == "scheduler_silent"]
    assert {job.name: job.state for job in told.jobs}["a"] == "running"
    assert len([name for name in names(there).values() if name.endswith(lab.token(layout))]) == 4
    # What is printed as a next step works.
    shell(first or "lab")
    lab.flag("wait-a", is_set=False)
    assert lab.wait(layout) == GOOD
    assert lab.ran() == ["a", "b", "c"]


def test_sbatch_that_goes_to_another_cluster_is_found_out(
    make_there: Callable[..., Any],
    second_cluster: Any,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    lab = make_there("site: there\nextends: slurm-generic\n")
    put_before(monkeypatch, tmp_path / "bin", 'exec "$real" --clusters=lab2 "$@"\n')
    lab.scheduler = SlurmScheduler()
    with pytest.raises(SchedulerError, match="on the cluster lab2, and this shell reaches lab"):
        lab.submit()
    poll(lambda: not names(second_cluster))
    assert lab.ran() == []


def test_an_id_of_another_job_is_neither_cancelled_nor_released(
    make_lab: Callable[..., Any],
    slurm_cluster: Any,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    other = hold(slurm_cluster, "a.stranger")
    # One and the same id for all, as of a controller that lost jobs; the third is refused.
    body = f"""
        count=$(( $(cat {tmp_path}/count 2>/dev/null || echo 0) + 1 ))
        echo "$count" >{tmp_path}/count
        [ "$count" -lt "$FAILS_AT" ] || {{ echo "sbatch: error: Invalid qos" >&2; exit 1; }}
        echo {other}
    """
    put_before(monkeypatch, tmp_path / "bin", body)
    monkeypatch.setenv("FAILS_AT", "3")
    lab = make_lab("slurm-generic")
    with pytest.raises(SchedulerError, match="Invalid qos"):
        lab.submit()
    assert names(slurm_cluster)[other] == "a.stranger"
    monkeypatch.setenv("FAILS_AT", "99")
    lab.submit()  # it believes that all went well
    poll(lambda: "JobHeldUser" in slurm_cluster.run("squeue", "-h", "-j", other, "-o", "%r"))


def test_the_final_job_asks_the_cluster_that_it_runs_on(
    second_cluster: Any, slurm_cluster: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    (theirs,) = strangers(slurm_cluster, second_cluster, 1)
    mine = hold(second_cluster, "mine")
    assert mine == theirs
    # This shell's configuration is that of `lab`, and the variable says so too.
    monkeypatch.setenv("SLURM_CLUSTERS", "lab")
    assert sacct.query({mine}).jobs[mine].name == "stranger"
    monkeypatch.setenv("SLURM_CLUSTER_NAME", "lab2")
    assert sacct.query({mine}).jobs[mine].name == "mine"


def test_what_a_site_is_compared_with_is_the_cluster_that_it_names(
    make_there: Callable[..., Any], dfh: Any
) -> None:
    """`lab` has a partition gpu, `lab2` has none."""
    lab = make_there(SITE + "queues: [{name: g, partition: gpu}, {name: c, partition: cpu}]\n")
    differ = dfh("site", "diff", "there", cwd=lab.project, expect=8).stdout
    assert "queues.g.partition" in differ
    told = dfh("doctor", "--site", "there", cwd=lab.project, expect=None).stdout
    assert "of the cluster lab2 answers" in told
    assert "the cluster has no partition gpu" in told


def test_a_named_cluster_that_is_not_there_leaves_nothing(
    make_there: Callable[..., Any], dfh: Any
) -> None:
    lab = make_there(SITE.replace("lab2", "lab9"))
    lab.write()
    refused = dfh("submit", "--site", "there", cwd=lab.project, expect=5).stderr
    assert "No cluster 'lab9' known" in refused
    assert "submit: {cluster: ...}" in refused
    assert held_orphans(lab.project) == ()


def test_site_where_nobody_may_look_at_the_configuration(
    slurm_cluster: Any, dfh: Any, project: Path, tmp_path: Path
) -> None:
    tools = tmp_path / "tools"
    tools.mkdir()
    refused = '[[ "$*" != *"show config"* ]] || { echo "not for users" >&2; exit 1; }'
    (tools / "scontrol").write_text(f'#!/bin/bash\n{refused}\nPATH=$REAL_PATH exec scontrol "$@"\n')
    (tools / "scontrol").chmod(0o755)
    path = os.environ["PATH"]
    env = {"PATH": f"{tools}:{path}", "REAL_PATH": path, **slurm_cluster.environ}
    run = ("run", "--no-reuse", "--interval", "0.3", "--site")
    done = dfh(*run, "slurm-generic", cwd=project, env=env)
    assert "small-0001  succeeded" in done.stdout  # by the file that the commands themselves read
    (tmp_path / "slurm.conf").write_text(f"Include {env['SLURM_CONF']}\n")
    env["SLURM_CONF"] = str(tmp_path / "slurm.conf")
    said = dfh(*run, "slurm-generic", cwd=project, env=env, expect=5).stderr
    assert "unknown which cluster this shell reaches" in said
    assert "not for users" in said
    assert "Name it in the site's file: submit: {cluster: NAME}." in said
    (project / "site-configs").mkdir()
    site = "site: here\nextends: slurm-generic\nsubmit: {cluster: lab}\n"
    (project / "site-configs" / "here.yaml").write_text(site)
    assert "succeeded" in dfh(*run, "here", cwd=project, env=env).stdout
    assert (
        "succeeded"
        in dfh(*run, "slurm-generic", cwd=project, env={**env, "SLURM_CLUSTERS": "lab"}).stdout
    )
