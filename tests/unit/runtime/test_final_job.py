"""The final job closes an execution: what never ran, why, and what the scheduler says."""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING, Any

import pytest

from deepforge_hpc.runtime.base.files import digest
from deepforge_hpc.runtime.base.states import State
from deepforge_hpc.runtime.schedulers.sacct import AccountingRow, parse_sacct
from deepforge_hpc.runtime.state import statefile
from deepforge_hpc.schedulers.slurm_states import interpret

if TYPE_CHECKING:
    from pathlib import Path

    from conftest import Execution

TOKEN = "01234567"
"""Of the executions that are made here."""


def chain(execution: Execution) -> None:
    """Build bad -> middle -> last (an array), and good beside them."""
    execution.operation("bad", "def operation(): raise ValueError('no')")
    execution.operation("middle", "def operation(x): return x", inputs={"x": "bad.result"})
    execution.operation(
        "last", "def operation(x): return x", inputs={"x": "middle.result"}, over="x", tasks=2
    )
    execution.operation("good", "def operation(): return 1")
    execution.freeze()


def submitted(execution: Execution, *events: dict[str, Any], attempt: int = 1) -> None:
    """Write what the submitter did; the first event is its intent: every job of the plan."""
    jobs = [job.name for job in execution.jobs]
    rows = [{"event": "intent", "jobs": jobs, "tasks": {}}, *events, {"event": "released"}]
    text = "".join(json.dumps({"attempt": attempt, **row}) + "\n" for row in rows)
    execution.layout.submitted.write_text(text)


def ids(**native: str) -> list[dict[str, Any]]:
    return [{"event": "job", "job": job, "native_id": id_} for job, id_ in native.items()]


def said(execution: Execution, job: str, state: str, **fields: Any) -> None:
    """Write a state as a job does that was killed afterwards."""
    word = statefile.Said(**{"state": State(state), "attempt": 1, "job": job, **fields})
    execution.folder(job).root.mkdir(parents=True, exist_ok=True)
    statefile.publish(execution.folder(job), word)


GATHER = [{"event": "job", "job": "last.gather", "native_id": "L5"}]


def queue(execution: Execution, **states: str) -> None:
    """Write what the engine of the local scheduler knows, as it does."""
    lines = []
    for native, raw in states.items():
        word, _, reason = raw.partition(" ")
        state, sentence = interpret(word, reason, "0:0")
        lines.append({
            "id": native, "state": state.value, "raw": word, "reason": reason,
            "explanation": sentence, "exit": "0:0", "ended": 1795248009.5,
        })  # fmt: skip
    folder = execution.root / "local"
    folder.mkdir(exist_ok=True)
    (folder / "status.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))


def test_what_never_ran_names_the_ancestor_that_failed(execution: Execution) -> None:
    chain(execution)
    assert execution.run("bad").returncode == 1
    assert execution.run("good").returncode == 0
    submitted(execution, *ids(bad="L1", good="L2", middle="L3", last="L4"), *GATHER)
    dropped = "CANCELLED DependencyNeverSatisfied"
    queue(
        execution, L1="FAILED", L2="COMPLETED", L3=dropped, L4_0=dropped, L4_1=dropped, L5=dropped
    )
    execution.run_all("_final")
    for job, task in (("middle", None), ("last", 0), ("last", 1), ("last.gather", None)):
        state = execution.state(job, task)
        assert state["state"] == "never_ran"
        assert state["reason"] == "It never started, because bad failed."
        assert state["hint"] == ""  # the same code would fail again: what bad says counts
        assert state["task"] == task
        assert state["started"] is None
    assert execution.state("bad")["state"] == "failed"
    assert execution.state("good")["state"] == "succeeded"
    assert execution.state("_final")["state"] == "succeeded"
    assert execution.layout.report.exists()


def test_cancelled_jobs_that_never_started_say_so(execution: Execution) -> None:
    chain(execution)
    submitted(execution, *ids(middle="L2"), {"event": "cancel"})
    queue(execution, L2="CANCELLED")
    execution.run_all("_final")
    assert execution.state("middle")["state"] == "cancelled"
    assert execution.state("middle")["native_id"] == "L2"


def test_nobody_waits_for_the_last_words_of_what_was_killed(execution: Execution) -> None:
    chain(execution)
    submitted(execution, *ids(bad="L1"), {"event": "cancel"})
    queue(execution, L1="CANCELLED")
    said(execution, "bad", "running")
    begin = time.monotonic()
    execution.run_all("_final")
    assert time.monotonic() - begin < 20  # it waits for 40 s where nobody knows
    assert execution.state("bad")["state"] == "cancelled"


def killed(execution: Execution) -> Path:
    """Leave what a job leaves that is killed; return its folder."""
    chain(execution)
    folder = execution.folder("bad").root
    (folder / ".work-1").mkdir(parents=True)
    (folder / ".work-1" / "big").write_text("x")
    (folder / ".work-0").mkdir()
    said(execution, "bad", "running", started="then", host="n1", pid=7)
    submitted(execution, *ids(bad="L1", middle="L3"))
    return folder


def test_a_job_that_was_killed_ended_as_the_scheduler_says(execution: Execution) -> None:
    folder = killed(execution)
    queue(execution, L1="NODE_FAIL", L3="CANCELLED DependencyNeverSatisfied")
    execution.run_all("_final")
    state = execution.state("bad")
    assert (state["state"], state["started"], state["host"]) == ("interrupted", "then", "n1")
    assert state["ended"] == "2026-11-21T08:00:09.500+00:00"
    assert "the scheduler says NODE_FAIL" in state["reason"]
    assert sorted(path.name for path in folder.iterdir()) == [".work-0", "state.json"]
    assert execution.state("middle")["reason"] == "It never started, because bad was interrupted."


@pytest.mark.parametrize("word", ["", "RUNNING", "PENDING"])
def test_a_job_that_nobody_calls_ended_is_left_alone(execution: Execution, word: str) -> None:
    folder = killed(execution)
    if word:
        queue(execution, L1=word)
    before = execution.state("bad")
    execution.run_all("_final")
    assert execution.state("bad") == before
    assert (folder / ".work-1" / "big").exists()
    assert not execution.folder("middle").state.exists()


def test_what_the_queue_says_decides(execution: Execution) -> None:
    chain(execution)
    submitted(execution, *ids(bad="L1", good="L2", last="L3", middle="L4"))
    queue(
        execution,
        L4="CANCELLED DependencyNeverSatisfied",
        L1="TIMEOUT",
        L2="RUNNING",
        L3_0="PENDING",
        L3_1="CANCELLED",
    )
    for job in ("bad", "good"):
        said(execution, job, "running")
    execution.run_all("_final")
    assert execution.state("bad")["state"] == "interrupted"
    assert "time limit" in execution.state("bad")["reason"]
    assert execution.state("bad")["again"] is False
    assert "ask for more time" in execution.state("bad")["hint"]
    assert execution.state("good")["state"] == "running"  # it is; who runs writes its own state
    assert not execution.folder("last", 0).state.exists()
    assert execution.state("last", 1)["state"] == "never_ran"
    assert execution.state("last", 1)["hint"] == ""  # as to resume alone would help nobody


def test_the_state_of_an_earlier_attempt_does_not_count(execution: Execution) -> None:
    execution.operation("job", "def operation(): return 1")
    execution.freeze()
    said(execution, "job", "failed", reason="old")
    submitted(execution, *ids(job="L1"), attempt=2)
    queue(execution, L1="CANCELLED DependencyNeverSatisfied")
    assert execution.run("_final", attempt=2).returncode == 0
    state = execution.state("job")
    assert (state["state"], state["attempt"]) == ("never_ran", 2)


def test_a_marker_decides_over_a_state(execution: Execution) -> None:
    execution.operation("job", "def operation(): return 1")
    execution.run_all("job")
    good = execution.folder("job").state.read_text()
    execution.folder("job").state.unlink()
    execution.run_all("_final")
    assert not execution.folder("job").state.exists()
    execution.folder("job").state.write_text(good)


SACCT = """#!/bin/sh
echo "$@" > "$FAKE_OUT"
[ -z "$FAKE_FAIL" ] || { echo "sacct: error: $FAKE_FAIL" >&2; exit 1; }
case $* in *--array*) echo "sacct: unrecognized option '--array'" >&2; exit 1 ;; esac
[ "$TZ" = UTC0 ] || exit 1
f='|0:0|2026-11-22T08:00:00|2026-11-22T08:00:01|2026-11-22T08:00:09|8|16|00:05.000'
calls=$(cat "$FAKE_OUT.calls" 2>/dev/null || :)
echo "x$calls" >"$FAKE_OUT.calls"
[ -n "$calls" ] || { echo "11|RUNNING${f}||1G|1|2|n1|cpu=2||bad.01234567"; exit; }
echo "11|OUT_OF_MEMORY|0:125${f#|0:0}||1G|1|2|n1|cpu=2||bad.01234567"
echo "11.batch|OUT_OF_MEMORY|0:125${f#|0:0}|51200K||1|2|n1|cpu=2|77|batch"
echo "12|CANCELLED by 0${f}||1G|1|2|None assigned|||middle.01234567"
echo "13_1|CANCELLED by 0${f}||1G|1|2|None assigned|||last.01234567"
# The database learns of this task later than of the others.
[ "$calls" = x ] || echo "13_0|CANCELLED by 0${f}||1G|1|2|None assigned|||last.01234567"
"""

SQUEUE = """#!/bin/sh
[ -z "$FAKE_FIRST" ] || [ -e "$FAKE_OUT.asked" ] || { printf "$FAKE_FIRST"; touch "$FAKE_OUT.asked"; exit; }
[ -z "$FAKE_QUEUE" ] || { printf "$FAKE_QUEUE"; exit; }
echo "slurm_load_jobs error: Unable to contact slurm controller" >&2; exit 1
"""


@pytest.fixture
def sacct(tmp_path: Path) -> Path:
    folder = tmp_path / "bin"
    folder.mkdir()
    for name, text in (("sacct", SACCT), ("squeue", SQUEUE)):
        (folder / name).write_text(text)
        (folder / name).chmod(0o755)
    return folder


def test_accounting_is_asked_until_all_have_ended_and_kept(
    execution: Execution, sacct: Path
) -> None:
    execution.scheduler = "slurm"
    chain(execution)
    submitted(execution, *ids(bad="11", middle="12", last="13", _final="14"))
    said(execution, "bad", "running", started="2026-11-22T08:00:01+00:00")
    asked = sacct / "asked"
    done = execution.run("_final", PATH=f"{sacct}:/usr/bin:/bin", FAKE_OUT=str(asked))
    assert done.returncode == 0, done.stderr
    assert "--jobs=11,12,13" in asked.read_text().split()
    state = execution.state("bad")
    assert (state["state"], state["ended"]) == ("failed", "2026-11-22T08:00:09+00:00")
    assert state["reason"] == (
        "It needed more memory than it had asked for "
        "(the scheduler says OUT_OF_MEMORY, exit code 0:125)."
    )
    assert (state["again"], "mem_per_node" in state["hint"]) == (False, True)
    assert execution.state("middle")["reason"] == "It never started, because bad failed."
    record = next(item for item in execution.records() if item["kind"] == "acct")
    assert [row["jobid"] for row in record["jobs"]] == [
        "11", "11.batch", "12", "13_1", "13_0",
    ]  # fmt: skip
    assert record["jobs"][0]["end"] == "2026-11-22T08:00:09+00:00"
    assert record["jobs"][1]["maxrss"] == "51200K"
    assert record["jobs"][1]["consumedenergyraw"] == 77
    assert record["jobs"][0]["consumedenergyraw"] is None
    blob = record["raw"].removeprefix("sha256:")
    raw = (execution.ledger / "blobs" / blob[:2] / blob).read_bytes()
    assert digest(raw) == record["raw"]
    assert raw.startswith(b"11|OUT_OF_MEMORY")


NODE_FAILED = """#!/bin/sh
echo "11|NODE_FAIL|0:0|2026-11-22T08:00:00|2026-11-22T08:00:01|2026-11-22T08:00:09|8|16|5||1G|1|2|n1|cpu=2||bad.01234567"
"""


@pytest.mark.parametrize(
    ("own", "more"),
    [
        ({"state": "interrupted", "exit_code": 75, "reason": "interrupted by SIGTERM"}, ""),
        (
            {"state": "failed", "exit_code": 1, "reason": "no peer", "error": {"type": "E"}},
            " The job itself says: no peer",
        ),
    ],
)
def test_the_signal_of_a_failed_node_is_told_as_such_and_only_once(
    execution: Execution, sacct: Path, own: dict[str, Any], more: str
) -> None:
    reason = f"A node that it ran on failed (the scheduler says NODE_FAIL).{more}"
    (sacct / "sacct").write_text(NODE_FAILED)
    execution.scheduler = "slurm"
    execution.operation("bad", "def operation(): return 1")
    execution.freeze()
    submitted(execution, *ids(bad="11"))
    execution.folder("bad").root.mkdir(parents=True)
    execution.folder("bad").state.write_text(
        json.dumps({"schema": "dfh/state/1", "attempt": 1, "error": None, **own})
    )
    for _ in range(2):
        assert execution.run("_final", PATH=f"{sacct}:/usr/bin:/bin").returncode == 0
        state = execution.state("bad")
        assert (state["state"], state["reason"], state["again"]) == ("interrupted", reason, True)
        assert (state["error"] or {}).get("type") == (own.get("error") or {}).get("type")
        assert "dfh resume" in state["hint"]


@pytest.mark.parametrize("case", ["absent", "broken"])
def test_accounting_that_does_not_answer_is_not_an_end(
    execution: Execution, sacct: Path, case: str
) -> None:
    execution.scheduler = "slurm"
    chain(execution)
    submitted(execution, *ids(bad="11"))
    path = "/nonexistent" if case == "absent" else f"{sacct}:/usr/bin:/bin"
    done = execution.run("_final", PATH=path, FAKE_OUT="/dev/null", FAKE_FAIL="no database")
    assert done.returncode == 0
    assert "dfh: sacct: " in done.stderr
    assert not execution.folder("bad").state.exists()


@pytest.mark.parametrize("fault", ["Slurm accounting storage is disabled", "no database"])
def test_the_controller_knows_of_ends_where_there_is_no_accounting(
    execution: Execution, sacct: Path, fault: str
) -> None:
    """What it has forgotten is over where nobody else could know of it, else unknown."""
    execution.scheduler = "slurm"
    chain(execution)
    submitted(execution, *ids(bad="11", middle="12", last="13", good="14"))
    for job in ("bad", "good"):
        said(execution, job, "running")
        (execution.folder(job).root / ".work-1").mkdir()
    # The last one's number is another's job by now.
    says = (
        f"11|NODE_FAIL|None|bad.{TOKEN}\\n12|CANCELLED|Dependency|middle.{TOKEN}\\n"
        f"13_[0-1]|FAILED|NonZeroExitCode|last.other\\n14|RUNNING|None|good.{TOKEN}\\n"
    )
    done = execution.run(
        "_final",
        PATH=f"{sacct}:/usr/bin:/bin",
        FAKE_OUT="/dev/null",
        FAKE_FAIL=fault,
        FAKE_QUEUE=says,
    )
    assert done.returncode == 0, done.stderr
    assert execution.state("bad")["state"] == "interrupted"
    assert not (execution.folder("bad").root / ".work-1").exists()
    assert execution.state("middle")["reason"] == "It never started, because bad was interrupted."
    assert execution.state("good")["state"] == "running"
    assert (execution.folder("good").root / ".work-1").exists()
    if fault == "no database":
        assert not execution.folder("last", 0).state.exists()
    else:
        assert execution.state("last", 0)["state"] == "never_ran"


def test_job_whose_nodes_are_cleaned_up_is_waited_for(execution: Execution, sacct: Path) -> None:
    execution.scheduler = "slurm"
    folder = killed(execution)
    submitted(execution, *ids(bad="11", good="14"))
    queued = f"11|%s|None|bad.{TOKEN}\\n14|RUNNING|None|good.{TOKEN}\\n"
    done = execution.run(
        "_final",
        PATH=f"{sacct}:/usr/bin:/bin",
        FAKE_OUT=str(sacct / "out"),
        FAKE_FAIL="no database",
        FAKE_FIRST=queued % "COMPLETING",
        FAKE_QUEUE=queued % "FAILED",
    )
    assert done.returncode == 0, done.stderr
    assert execution.state("bad")["state"] == "failed"
    assert not (folder / ".work-1").exists()


def test_what_the_controller_calls_alive_is_not_ended_by_the_accounting(
    execution: Execution, sacct: Path
) -> None:
    """Slurm's accounting calls a job ended when the signal is sent."""
    execution.scheduler = "slurm"
    chain(execution)
    submitted(execution, *ids(bad="11", middle="12", last="13"))
    said(execution, "bad", "running")
    (execution.folder("bad").root / ".work-1").mkdir()
    asked = sacct / "asked"
    done = execution.run(
        "_final",
        PATH=f"{sacct}:/usr/bin:/bin",
        FAKE_OUT=str(asked),
        FAKE_QUEUE=f"11|RUNNING|None|bad.{TOKEN}\\n",
    )
    assert done.returncode == 0, done.stderr
    assert execution.state("bad")["state"] == "running"
    assert (execution.folder("bad").root / ".work-1").exists()
    assert execution.state("middle")["state"] == "cancelled"


def test_lines_of_sacct_that_are_not_ours_are_left_out() -> None:
    assert parse_sacct("a|b\n\n" + "|" * 16 + "\n") == [AccountingRow("", *[None] * 16)]
