"""The five points of a safe chain, on a real cluster and on the local site."""

from __future__ import annotations

import errno
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from deepforge_hpc.errors import SchedulerError, SubmitLimitError, UsageError
from deepforge_hpc.runtime.base.layout import ExecutionLayout
from deepforge_hpc.submit import chain, journal
from deepforge_hpc.submit.frozen import read_info, read_plan
from deepforge_hpc.submit.orphans import held_orphans
from deepforge_hpc.submit.requests import request_for
from deepforge_hpc.submit.select import Selected

SLURM = pytest.param("slurm-generic", marks=pytest.mark.slurm)
BOTH = pytest.mark.parametrize("site", ["local", SLURM])
DEPENDENCIES = pytest.mark.parametrize("dependency", ["afterok", "afterany"])
GOOD = {"a": "succeeded", "b": "succeeded", "c": "succeeded", "_final": "succeeded"}


@pytest.fixture
def lab(request: pytest.FixtureRequest, site: str, make_lab: Callable[..., Any]) -> Any:
    if site != "local":
        request.getfixturevalue("slurm_cluster")
        talk(request, "slurm_cluster")
    dependency = request.node.callspec.params.get("dependency", "afterok")
    return make_lab(site, dependency=dependency)


@pytest.fixture
def real_lab(request: pytest.FixtureRequest, site: str, make_lab: Callable[..., Any]) -> Any:
    """Return a project whose jobs are our scripts and run our runtime."""
    if site != "local":
        request.getfixturevalue("slurm_cluster")
        talk(request, "slurm_cluster")
    dependency = request.node.callspec.params.get("dependency", "afterok")
    return make_lab(site, fast=False, dependency=dependency)


def talk(request: pytest.FixtureRequest, cluster: str) -> None:
    """Name a cluster that was asked for only now to Slurm's commands."""
    patch = request.getfixturevalue("monkeypatch")
    for name, value in request.getfixturevalue(cluster).environ.items():
        patch.setenv(name, value)


def poll(ask: Callable[[], Any], limit_s: float = 60) -> Any:
    deadline = time.monotonic() + limit_s
    while not (answer := ask()):
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.2)  # to ask Slurm is to start programs, which take the cores
    return answer


# ---- 1: the guard


@pytest.mark.slurm
@pytest.mark.parametrize("fast", [True, False], ids=["script", "runtime"])
def test_failed_and_forgotten_upstream_does_not_let_its_dependant_run(
    short_memory_cluster: Any, make_lab: Callable[..., Any], fast: bool
) -> None:
    lab = make_lab("slurm-generic", fast=fast)
    lab.flag("fail-a")
    layout = lab.submit()
    assert lab.wait(layout)["a"] == "failed"
    failed = journal.read(layout).last.ids["a"]
    poll(
        lambda: not short_memory_cluster.run("squeue", "-h", "-t", "all", "-j", failed, check=False)
    )
    info = read_info(layout)
    item = Selected(job=read_plan(layout, info).job("b"))
    request = request_for(info, item, 7, [failed])
    if short_memory_cluster.version >= (24, 11):
        with pytest.raises(SchedulerError, match="Job dependency problem"):
            lab.scheduler.submit(request)
        request = replace(request, after=())  # what an older one makes of it
    # Slurm 22.05 takes the dependency on a job that it has forgotten, and counts it as satisfied.
    again = lab.scheduler.submit(request)
    status = poll(
        lambda: (
            (s := lab.scheduler.query(info.home, [again]).get(again))
            and s.state not in {"pending", "running"}
            and s
        )
    )
    assert status.exit_code in {"86:0", ""}, status
    assert lab.ran() == ["a"]
    state = json.loads(layout.job("b").state.read_bytes())
    assert (state["state"], state["attempt"]) == ("upstream_failed", 7)
    assert not layout.job("b").success.exists()


@BOTH
@DEPENDENCIES
def test_nothing_runs_or_hangs_below_a_failure(lab: Any, dependency: str) -> None:
    lab.flag("fail-a")
    layout = lab.submit()
    states = lab.wait(layout)
    assert states["a"] == "failed"
    below = {"never_ran"} if dependency == "afterok" else {"upstream_failed"}
    assert {states["b"], states["c"]} == below
    assert lab.ran() == ["a"]
    poll(lambda: lab.scheduler.find(str(layout.root), lab.token(layout)) == {})
    for job in ("b", "c"):
        written = json.loads(layout.job(job).state.read_bytes())
        assert written["state"] == states[job]


# ---- 2: all or nothing


KILLER = """\
#!/bin/bash
# Stands before a command of Slurm on PATH: counts its calls and kills the submitter at one of them.
count=$(( $(cat "$KILL_DIR/count" 2>/dev/null || echo 0) + 1 ))
echo "$count" >"$KILL_DIR/count"
real=$(PATH=$KILL_PATH command -v "${0##*/}")
[ "$count" = "$KILL_AT" ] || exec "$real" "$@"
case $KILL_WHEN in
before) kill -9 "$PPID" ;;
after) "$real" "$@"; kill -9 "$PPID" ;;
late) kill -9 "$PPID"; sleep 1; "$real" "$@" ;;
esac
"""


def killed_submission(lab: Any, folder: Path, command: str, at: int, when: str) -> ExecutionLayout:
    """Submit in a process of its own that is killed (-9) around its call number `at`."""
    folder.mkdir()
    wrapper = folder / command
    wrapper.write_text(KILLER)
    wrapper.chmod(0o755)
    path = os.environ["PATH"]
    kill = {"KILL_DIR": str(folder), "KILL_AT": str(at), "KILL_WHEN": when, "KILL_PATH": path}
    lab.write()
    layout: ExecutionLayout = lab.create()
    child = os.fork()
    if not child:
        try:
            os.environ.update(kill, PATH=f"{folder}:{path}")
            chain.submit(layout, lab.scheduler)
        finally:
            os._exit(1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == -signal.SIGKILL
    return layout


CALLS = [
    *[("sbatch", at, "before") for at in (1, 2, 3, 4)],
    *[("sbatch", at, "after") for at in (1, 3, 4)],
    *[("sbatch", at, "late") for at in (1, 2, 4)],
    *[("scontrol", at, "before") for at in (1, 2)],  # which cluster, and the release
    ("scontrol", 2, "after"),
]


@pytest.mark.slurm
def test_submitter_killed_at_any_call_leaves_what_resume_completes(
    slurm_cluster: Any, make_lab: Callable[..., Any], tmp_path: Path
) -> None:
    # One of them with jobs that are ours in full; the others are many.
    labs = {call: make_lab("slurm-generic", fast=call != CALLS[5]) for call in CALLS}
    layouts = {
        call: killed_submission(lab, tmp_path / f"bin{number}", *call)
        for number, (call, lab) in enumerate(labs.items())
    }
    for call, lab in labs.items():
        if call[0] == "sbatch":
            assert [orphan.execution for orphan in held_orphans(lab.project)] == ["lab-0001"], call
            assert lab.status(layouts[call]).next == "dfh resume lab-0001", call
            assert lab.ran() == [], call
        lab.resume(layouts[call])
    for call, lab in labs.items():
        assert lab.wait(layouts[call]) == GOOD, call
        assert lab.ran() == ["a", "b", "c"], call
        assert held_orphans(lab.project) == (), call


@pytest.mark.slurm
def test_submitter_killed_at_any_call_leaves_what_cancel_removes(
    slurm_cluster: Any, make_lab: Callable[..., Any], tmp_path: Path
) -> None:
    calls = [("sbatch", 1, "late"), ("sbatch", 3, "after"), ("scontrol", 2, "before")]
    done = []
    for number, call in enumerate(calls):
        lab = make_lab("slurm-generic")
        layout = killed_submission(lab, tmp_path / f"bin{number}", *call)
        assert lab.cancel(layout).jobs, call
        assert lab.scheduler.find(str(layout.root), lab.token(layout)) == {}, call
        assert held_orphans(lab.project) == (), call
        assert lab.ran() == [], call
        lab.resume(layout)
        done.append((lab, layout))
    for lab, layout in done:
        assert lab.wait(layout) == GOOD
        assert lab.ran() == ["a", "b", "c"]


HEARD_LATE = """\
#!/bin/bash
# Stands before sbatch on PATH: its second call ends in a time-out, and is heard all the same, late.
count=$(( $(cat "$LATE_DIR/count" 2>/dev/null || echo 0) + 1 ))
echo "$count" >"$LATE_DIR/count"
real=$(PATH=$LATE_PATH command -v sbatch)
case $count in
2)
  printf '%s\\0' "$@" >"$LATE_DIR/words"
  echo 'sbatch: error: Batch job submission failed: Socket timed out on send/recv operation' >&2
  exit 1
  ;;
3) xargs -0 -a "$LATE_DIR/words" "$real" >"$LATE_DIR/id" ;;
esac
exec "$real" "$@"
"""


@pytest.mark.slurm
@pytest.mark.parametrize("site", ["slurm-generic"])
def test_job_that_was_sent_again_after_a_time_out_runs_once(
    lab: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "bin"
    folder.mkdir()
    (folder / "sbatch").write_text(HEARD_LATE)
    (folder / "sbatch").chmod(0o755)
    monkeypatch.setenv("LATE_DIR", str(folder))
    monkeypatch.setenv("LATE_PATH", os.environ["PATH"])
    monkeypatch.setenv("PATH", f"{folder}:{os.environ['PATH']}")
    layout = lab.submit()
    late = (folder / "id").read_text().strip()
    assert late.isdigit()
    assert late not in journal.read(layout).last.ids.values()
    assert lab.wait(layout) == GOOD
    poll(lambda: lab.scheduler.query(str(layout.root), [late])[late].state == "cancelled")
    assert lab.ran() == ["a", "b", "c"]


@pytest.mark.slurm
@pytest.mark.parametrize("site", ["slurm-generic"])
def test_submit_limit_half_way_leaves_nothing_and_resume_completes(
    lab: Any, slurm_cluster: Any
) -> None:
    lab.use_queue("{name: tiny, partition: cpu, qos: tiny, time: {max: '02:00:00'}}")
    lab.write()
    layout = lab.create()
    # The QOS lets a user have three jobs at once, and the chain has four.
    with pytest.raises(SubmitLimitError, match="Nothing of lab-0001 runs") as caught:
        chain.submit(layout, lab.scheduler)
    assert "dfh resume lab-0001" in caught.value.hint
    assert lab.scheduler.find(str(layout.root), lab.token(layout)) == {}
    assert set(lab.states(layout).values()) == {"planned"}
    assert lab.ran() == []
    limit = ("sacctmgr", "-i", "modify", "qos", "tiny", "set")
    slurm_cluster.run(*limit, "MaxSubmitJobsPerUser=30")
    try:
        poll(lambda: _submits(lab, layout))
        assert lab.wait(layout) == GOOD
    finally:
        slurm_cluster.run(*limit, "MaxSubmitJobsPerUser=3")


def _submits(lab: Any, layout: ExecutionLayout) -> bool:
    try:
        lab.resume(layout)
    except SubmitLimitError:
        return False  # the controller has not heard of the new limit yet
    return True


# ---- 2: an id alone says nothing


@pytest.mark.slurm
@pytest.mark.parametrize("site", ["slurm-generic"])
def test_id_that_was_given_to_another_job_is_not_trusted(
    lab: Any, make_lab: Any, site: str
) -> None:
    other = make_lab(site)
    other.flag("wait-a")
    stranger = other.submit()
    taken = journal.read(stranger).last.ids["a"]
    layout = lab.submit()
    assert lab.wait(layout) == GOOD
    layout.job("b").success.unlink()
    layout.job("b").state.unlink()
    text = layout.submitted.read_text()
    real = journal.read(layout).last.ids["b"]
    layout.submitted.write_text(text.replace(f'"native_id":"{real}"', f'"native_id":"{taken}"'))
    assert lab.states(layout)["b"] == "unknown"
    lab.cancel(layout)
    assert other.states(stranger)["a"] in {"pending", "running"}


# ---- 3: success is the marker


@BOTH
def test_scheduler_that_says_completed_without_a_marker_is_not_believed(real_lab: Any) -> None:
    lab = real_lab
    layout = lab.submit()
    lab.wait(layout)
    layout.job("b").success.unlink()
    layout.job("b").state.unlink()
    status = next(job for job in lab.status(layout).jobs if job.name == "b")
    assert status.state == "unknown"
    assert "no success marker" in status.reason
    report = lab.resume(layout)
    assert [name for name, _ in report.submitted] == ["b", "_final"]
    assert lab.wait(layout) == GOOD


@BOTH
def test_scheduler_that_contradicts_a_marker_is_a_warning(lab: Any) -> None:
    lab.flag("wait-b")
    layout = lab.submit()
    poll(lambda: lab.states(layout)["b"] == "running")
    plan = json.loads(layout.plan.read_bytes())
    key = next(job["plan_key"] for job in plan["jobs"] if job["name"] == "b")
    layout.job("b").success.write_text(
        json.dumps(
            {
                "schema": "dfh/success/1", "job": "b", "task": None, "attempt": 1,
                "plan_key": key, "record": "sha256:0", "outputs": {}, "reused_from": None,
            }
        )
    )  # fmt: skip
    lab.scheduler.cancel(str(layout.root), [journal.read(layout).last.ids["b"]])
    poll(lambda: any("CANCELLED" in notice.text for notice in lab.status(layout).warnings))
    assert lab.states(layout)["b"] == "succeeded"


@BOTH
def test_job_cancelled_behind_our_back_is_named_and_resumed(real_lab: Any) -> None:
    lab = real_lab
    lab.flag("wait-b")
    layout = lab.submit("diamond")
    poll(lambda: "b" in lab.ran() and lab.states(layout)["b"] == "running")
    lab.scheduler.cancel(str(layout.root), [journal.read(layout).last.ids["b"]])
    states = lab.wait(layout)
    assert (states["a"], states["b"], states["c"], states["d"]) == (
        "succeeded", "interrupted", "succeeded", "never_ran",
    )  # fmt: skip
    assert lab.status(layout).jobs[1].reason.startswith("It was cancelled")
    # It said itself that it was interrupted by SIGTERM; the final job or `status` knew why.
    assert written_reason(layout, "b").startswith("It was cancelled")
    assert {record["status"] for record in records(lab, "end")} == {"succeeded", "interrupted"}
    lab.flag("wait-b", is_set=False)
    lab.resume(layout)
    assert set(lab.wait(layout).values()) == {"succeeded"}
    assert sorted(lab.ran()) == ["a", "b", "b", "c", "d"]


@BOTH
def test_final_job_that_starts_early_leaves_a_running_job_alone(real_lab: Any) -> None:
    lab = real_lab
    lab.flag("wait-b")
    layout = lab.submit()
    poll(lambda: "b" in lab.ran() and lab.states(layout)["b"] == "running")
    lab.scheduler.cancel(str(layout.root), [journal.read(layout).last.ids["c"]])
    poll(lambda: written(layout, "_final") == "succeeded")
    assert (written(layout, "b"), layout.job("b").work(1).is_dir()) == ("running", True)
    lab.flag("wait-b", is_set=False)
    poll(lambda: written(layout, "b") == "succeeded")
    assert lab.wait(layout)["b"] == "succeeded"


@pytest.mark.slurm
@pytest.mark.parametrize("site", ["slurm-generic"])
def test_accounting_that_is_killed_is_no_end_of_a_running_job(
    real_lab: Any, slurm_cluster: Any
) -> None:
    lab = real_lab
    lab.flag("wait-b")
    layout = lab.submit()
    poll(lambda: "b" in lab.ran() and lab.states(layout)["b"] == "running")
    before = layout.job("b").state.read_bytes()
    slurm_cluster.script("kill", "slurmdbd")
    try:
        lab.scheduler.cancel(str(layout.root), [journal.read(layout).last.ids["c"]])
        poll(lambda: written(layout, "_final") == "succeeded")
        log = layout.log("_final", 1).read_text()
        assert "dfh: sacct: " in log, log  # it asked, and nobody answered
        assert layout.job("b").state.read_bytes() == before
        assert layout.job("b").work(1).is_dir()
        assert lab.states(layout)["b"] == "running"
        with pytest.raises(UsageError, match=r"is not over: b \(running\)"):
            lab.resume(layout)
        lab.flag("wait-b", is_set=False)
        poll(lambda: written(layout, "b") == "succeeded")
        assert lab.states(layout)["b"] == "succeeded"
    finally:
        slurm_cluster.script("revive", "slurmdbd")
    lab.resume(layout)
    assert lab.wait(layout) == GOOD
    assert lab.ran() == ["a", "b", "c"]


def title(layout: ExecutionLayout) -> str:
    """Return the heading of the report, which begins with the state."""
    page = layout.report.read_text() if layout.report.exists() else ""
    return page.partition("<title>")[2].partition(":")[0]


def records(lab: Any, kind: str) -> list[dict[str, Any]]:
    paths = (lab.project / ".dfh" / "loose").rglob("*.json")
    found = (json.loads(path.read_bytes()) for path in paths)
    return [record for record in found if record["kind"] == kind]


def written_reason(layout: ExecutionLayout, job: str) -> str:
    return str(json.loads(layout.job(job).state.read_bytes())["reason"])


def written(layout: ExecutionLayout, job: str) -> str:
    """Return the state that a job's own file names; no command of ours is asked."""
    state = layout.job(job).state
    return str(json.loads(state.read_bytes())["state"]) if state.exists() else ""


@BOTH
def test_cancelled_execution_is_closed_by_its_own_final_job(site: str, real_lab: Any) -> None:
    lab = real_lab
    lab.flag("wait-a")
    layout = lab.submit()
    poll(lambda: lab.ran() == ["a"] and title(layout) == "running")
    assert lab.cancel(layout).jobs == ("a", "b", "c")
    # Nobody looks from here on: the jobs alone close the execution.
    poll(lambda: written(layout, "_final") == "succeeded" and title(layout) == "cancelled")
    assert {written(layout, job) for job in "abc"} == {"cancelled"}
    if site != "local":
        (accounting,) = records(lab, "acct")
        ids = journal.read(layout).last.ids
        ends = {row["jobid"]: row["state"].split()[0] for row in accounting["jobs"]}
        assert {ends[ids[job]] for job in "abc"} == {"CANCELLED"}
    lab.flag("wait-a", is_set=False)
    lab.resume(layout)
    assert lab.wait(layout) == GOOD
    assert lab.ran() == ["a", "a", "b", "c"]


SLOW_END = """\
        try:
            begin(self.folder, self.name)
        finally:
            Path(self.folder, "ending").touch()
            while Path(self.folder, "wait-end").exists():
                time.sleep(0.05)
"""


@pytest.mark.slurm
@pytest.mark.parametrize("site", ["slurm-generic"])
def test_final_job_waits_for_the_last_words_of_what_was_cancelled(real_lab: Any) -> None:
    lab = real_lab
    operations = lab.project / "operations.py"
    begin = "        begin(self.folder, self.name)\n"
    operations.write_text(operations.read_text().replace(begin, SLOW_END, 1))
    lab.write()
    lab.flag("wait-a")
    lab.flag("wait-end")
    layout = lab.create()
    chain.submit(layout, lab.scheduler)
    poll(lambda: lab.ran() == ["a"] and title(layout) == "running")
    lab.cancel(layout)
    poll(lambda: (lab.project / "ending").exists() and written(layout, "_final") == "running")
    assert written(layout, "a") == "running"
    lab.flag("wait-end", is_set=False)
    poll(lambda: written(layout, "_final") == "succeeded" and title(layout) == "cancelled")
    state = json.loads(layout.job("a").state.read_bytes())
    assert (state["state"], state["exit_code"]) == ("cancelled", 75)  # its own word


@BOTH
def test_cancel_closes_the_execution_itself_where_no_final_job_is_left(real_lab: Any) -> None:
    lab = real_lab
    lab.flag("wait-a")
    layout = lab.submit()
    poll(lambda: lab.ran() == ["a"] and title(layout) == "running")
    lab.scheduler.cancel(str(layout.root), [journal.read(layout).last.ids["_final"]])
    poll(lambda: "_final" not in lab.scheduler.find(str(layout.root), lab.token(layout)))
    lab.cancel(layout)
    lab.wait(layout)
    assert title(layout) == "cancelled"
    assert {written(layout, job) for job in "abc"} == {"cancelled"}


@pytest.mark.slurm
@pytest.mark.parametrize("site", ["slurm-generic"])
def test_execution_on_a_mount_that_became_read_only_is_cancelled(
    lab: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    lab.flag("wait-a")
    layout = lab.submit()
    poll(lambda: lab.states(layout)["a"] == "running")

    def refuse(path: Path, *_: object) -> None:
        raise OSError(errno.EROFS, os.strerror(errno.EROFS), str(path))

    with monkeypatch.context() as patch:
        patch.setattr(Path, "mkdir", refuse)
        report = lab.cancel(layout)
    assert report.jobs == ("_final", "a", "b", "c")
    assert "could not be noted" in str(report.warnings)
    poll(lambda: lab.scheduler.find(str(layout.root), lab.token(layout)) == {})


@pytest.mark.slurm
@pytest.mark.parametrize("site", ["slurm-generic"])
def test_node_failure_is_told_and_resumed(real_lab: Any, slurm_cluster: Any) -> None:
    lab = real_lab
    lab.flag("wait-a")
    layout = lab.submit()
    poll(lambda: lab.states(layout)["a"] == "running")
    poll(lambda: lab.ran() == ["a"])
    job = journal.read(layout).last.ids["a"]
    node = slurm_cluster.run("squeue", "-h", "-o", "%N", "-j", job).strip()
    slurm_cluster.run("scontrol", "update", f"nodename={node}", "state=down", "reason=test")
    try:
        states = lab.wait(layout)
    finally:
        slurm_cluster.run("scontrol", "update", f"nodename={node}", "state=resume", check=False)
    assert (states["a"], states["b"]) == ("interrupted", "never_ran")
    assert lab.status(layout).jobs[0].reason.startswith("A node that it ran on failed")
    # The job itself saw a SIGTERM, or nothing at all.
    assert written_reason(layout, "a").startswith("A node that it ran on failed")
    assert "A node that it ran on failed" in layout.report.read_text()
    lab.flag("wait-a", is_set=False)
    lab.resume(layout)
    assert lab.wait(layout) == GOOD


def write_with(lab: Any, resources: dict[str, Any], work: str) -> None:
    """Write the chain with these resources for `a`, and with `work` behind its first words."""
    operations = lab.project / "operations.py"
    begin = "        begin(self.folder, self.name)\n"
    operations.write_text(operations.read_text().replace(begin, begin + work, 1))
    path = lab.write()
    pipeline = json.loads(path.read_text())
    pipeline["operations"]["a"]["resources"] = resources
    path.write_text(json.dumps(pipeline))


TAKE_MEMORY = """\
        taken = [bytes([1]) * (1 << 20) for _ in range(700)]
        while taken:
            time.sleep(0.05)
"""


@pytest.mark.slurm
@pytest.mark.parametrize("site", ["slurm-generic"])
def test_job_that_slurm_killed_for_its_memory_says_what_to_do(real_lab: Any) -> None:
    lab = real_lab
    write_with(lab, {"mem_per_node": "256MiB"}, TAKE_MEMORY)
    layout = lab.create()
    chain.submit(layout, lab.scheduler)
    poll(lambda: written(layout, "_final") == "succeeded")
    state = json.loads(layout.job("a").state.read_bytes())
    assert state["state"] == "failed"
    assert state["reason"].startswith("It ran out of memory (the scheduler says FAILED")
    assert "exceeded memory limit" in state["reason"], "Slurm's own words, from the log"
    assert "FAILED, exit code 0:9" in state["reason"]
    assert "mem_per_node" in state["hint"]
    assert "exceeded memory limit" in layout.log("a", 1).read_text()
    assert written(layout, "c") == "never_ran"
    next_step = lab.status(layout).next
    assert next_step.startswith("dfh logs lab-0001 a")
    assert "a.resources.mem_per_node=" in next_step
    poll(layout.report.exists)  # the final job writes it last
    assert "It ran out of memory" in layout.report.read_text()


@pytest.mark.parametrize("site", ["slurm-generic"])
def test_walltime_interrupts_a_job_which_says_so_itself(
    fast_clock_cluster: Any, make_lab: Callable[..., Any], site: str
) -> None:
    lab = make_lab(site, fast=False)
    write_with(lab, {"time": "00:02:00"}, "")
    lab.flag("wait-a")
    layout = lab.create()
    chain.submit(layout, lab.scheduler)
    poll(lambda: written(layout, "_final") == "succeeded")
    state = json.loads(layout.job("a").state.read_bytes())
    assert (state["state"], state["exit_code"]) == ("interrupted", 75)
    assert "walltime warning" in state["reason"]
    (record,) = [record for record in records(lab, "end") if record["job"] == "a"]
    assert (record["status"], record["reason"]) == ("interrupted", state["reason"])
    assert written(layout, "b") == "never_ran"
    (accounting,) = records(lab, "acct")
    native = journal.read(layout).last.ids["a"]
    (row,) = [row for row in accounting["jobs"] if row["jobid"] == native]
    assert (row["state"], row["exitcode"]) == ("FAILED", "75:0")  # warned in time to end by itself
    lab.flag("wait-a", is_set=False)
    lab.resume(layout)
    assert lab.wait(layout) == GOOD


# ---- resume


@BOTH
def test_resume_runs_only_what_did_not_succeed(real_lab: Any) -> None:
    lab = real_lab
    lab.flag("fail-b")
    layout = lab.submit("diamond")
    assert lab.wait(layout)["d"] == "never_ran"
    lab.flag("fail-b", is_set=False)
    lab.resume(layout)
    assert set(lab.wait(layout).values()) == {"succeeded"}
    assert sorted(lab.ran()) == ["a", "b", "b", "c", "d"]


@BOTH
@DEPENDENCIES
def test_resume_runs_single_array_tasks(real_lab: Any, dependency: str) -> None:
    lab = real_lab
    lab.flag("fail-p1")
    lab.flag("fail-p3")
    layout = lab.submit("array")
    states = lab.wait(layout)
    assert states["part"] == "failed"
    below = "never_ran" if dependency == "afterok" else "upstream_failed"
    assert (states["part.gather"], states["use"]) == (below, below)
    lab.flag("fail-p1", is_set=False)
    lab.flag("fail-p3", is_set=False)
    lab.resume(layout)
    assert set(lab.wait(layout).values()) == {"succeeded"}
    ran = sorted(lab.ran())
    assert [name for name in ran if name[0] == "p"] == ["p0", "p1", "p1", "p2", "p3", "p3"]
    assert ran.count("use") == 1
    assert json.loads((layout.job("use").outputs / "value.json").read_bytes()) == [
        [0, 2, 4, 6, 8, 10, 12, 14],
        "use",
    ]


# ---- 4: the submitting shell


@BOTH
def test_variables_of_the_submitting_shell_do_not_reach_the_job(
    real_lab: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    lab = real_lab
    names = ("SLURM_JOB_ID", "SLURM_NTASKS", "SLURM_HINT", "SBATCH_BEGIN", "SBATCH_EXPORT",
             "SLURM_EXPORT_ENV", "PMI_RANK", "PMIX_RANK")  # fmt: skip
    if lab.site != "local":
        names = (*names, "OF_THIS_SHELL")  # --export=NONE
    for name in names:
        monkeypatch.setenv(name, "leaked-4711")
    write_with(lab, {}, "        Path(self.folder, 'env').write_text(repr(dict(os.environ)))\n")
    layout = lab.create()
    chain.submit(layout, lab.scheduler)
    assert lab.wait(layout) == GOOD
    seen = (lab.project / "env").read_text()
    assert "DFH_SCRATCH" in seen
    assert "leaked-4711" not in seen


@BOTH
def test_execution_finishes_though_the_login_shell_is_killed_after_submit(
    site: str, request: pytest.FixtureRequest, make_lab: Callable[..., Any], dfh: Any
) -> None:
    if site != "local":
        request.getfixturevalue("slurm_cluster")
        talk(request, "slurm_cluster")
    lab = make_lab(site, fast=False)
    lab.write()
    lab.flag("wait-a")
    shell = lab.project / "shell.sh"
    program = Path(sys.executable).with_name("dfh")
    shell.write_text(f"{program} submit --site {site} && echo is-submitted; sleep 300\n")
    with (lab.project / "terminal").open("wb") as output:
        terminal = subprocess.Popen(
            ["script", "-qec", f"bash {shell}", "/dev/null"],
            cwd=lab.project,
            env={**dfh.environ, **{k: v for k, v in os.environ.items() if k == "SLURM_CONF"}},
            stdin=subprocess.DEVNULL,
            stdout=output,
            start_new_session=True,
        )
    try:
        poll(lambda: b"is-submitted" in (lab.project / "terminal").read_bytes())
    finally:
        os.killpg(terminal.pid, signal.SIGKILL)
        terminal.wait()
    lab.flag("wait-a", is_set=False)
    layout = ExecutionLayout(lab.project / "executions" / "lab-0001")
    assert lab.wait(layout) == GOOD
    assert lab.ran() == ["a", "b", "c"]
    assert layout.report.exists()
    records = list((lab.project / ".dfh" / "loose").rglob("*.json"))
    assert len(records) >= 3


# ---- 5: the final job closes the execution


@pytest.mark.slurm
def test_final_job_alone_says_what_never_ran_and_keeps_report_and_accounting(
    short_memory_cluster: Any, make_lab: Callable[..., Any]
) -> None:
    lab = make_lab("slurm-generic", fast=False)
    lab.flag("fail-p1")
    layout = lab.submit("array")
    # No command of ours looks at it from here on: all that is found was written by the jobs.
    state = layout.job("_final").state
    poll(lambda: state.exists() and json.loads(state.read_bytes())["state"] == "succeeded")
    for job in ("part.gather", "use"):
        written = json.loads(layout.job(job).state.read_bytes())
        assert written["state"] == "never_ran"
        assert written["reason"] == "It never started, because part task 1 failed."
    # The report is refreshed last, after the final job's own state.
    poll(lambda: "never ran" in layout.report.read_text())
    assert "p1 was asked to fail" in layout.report.read_text()
    records = [
        json.loads(path.read_bytes()) for path in (lab.project / ".dfh" / "loose").rglob("*.json")
    ]
    (accounting,) = [record for record in records if record["kind"] == "acct"]
    ends = {row["jobid"]: row["state"] for row in accounting["jobs"] if "." not in row["jobid"]}
    ids = journal.read(layout).last.ids
    assert {ends.pop(f"{ids['part']}_{task}") for task in (0, 2, 3)} == {"COMPLETED"}
    assert ends.pop(f"{ids['part']}_1") == "FAILED"
    assert ends == {ids["part.gather"]: "CANCELLED", ids["use"]: "CANCELLED"}
