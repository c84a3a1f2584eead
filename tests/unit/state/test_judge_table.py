"""One table of evidence, and who asks: status, page, final job, resume, guard, rm. All say the same.

The evidence is real: files in an execution's folder, and a scheduler that answers as told. In the
table stand the state, whether a positive word says that the job is over, and whether resume takes
its result.
"""

from __future__ import annotations

import errno
import json
import shutil
import time
from datetime import datetime, timezone
from pathlib import Path
from types import SimpleNamespace
from typing import Any, ClassVar, NamedTuple

import pytest

from deepforge_hpc.api import manage, proof
from deepforge_hpc.api.find import read_execution
from deepforge_hpc.api.logs import LogFile
from deepforge_hpc.cli.commands import logs
from deepforge_hpc.errors import SchedulerError, StorageError, UsageError
from deepforge_hpc.runtime.base.codec import encode
from deepforge_hpc.runtime.base.context import open_context
from deepforge_hpc.runtime.base.execution import ExecutionInfo
from deepforge_hpc.runtime.base.failure import JobError
from deepforge_hpc.runtime.base.files import canonical_json, digest, publish_json
from deepforge_hpc.runtime.base.layout import ExecutionLayout
from deepforge_hpc.runtime.base.native import NativeStatus
from deepforge_hpc.runtime.base.plan import FINAL_JOB, Job, JobKind, Plan
from deepforge_hpc.runtime.base.states import State
from deepforge_hpc.runtime.job import final
from deepforge_hpc.runtime.job.guard import check_upstream
from deepforge_hpc.runtime.report.looks import operations
from deepforge_hpc.runtime.report.page import _answer, render_page
from deepforge_hpc.runtime.report.refresh import read_status, render_report
from deepforge_hpc.runtime.schedulers import QueryResult, Scheduler, sacct
from deepforge_hpc.runtime.schedulers.slurm import dependency, wants_memory
from deepforge_hpc.runtime.state import journal, marker, statefile
from deepforge_hpc.runtime.state.assemble import build
from deepforge_hpc.runtime.state.marker import Marker, ReusedFrom
from deepforge_hpc.runtime.state.read import read_files
from deepforge_hpc.schedulers.slurm import parse_accounting
from deepforge_hpc.schedulers.slurm_states import interpret, never_starts
from deepforge_hpc.submit import inspect
from deepforge_hpc.submit.frozen import read_info
from deepforge_hpc.submit.inspect import status
from deepforge_hpc.submit.live_jobs import LiveJobs
from deepforge_hpc.submit.recovery import settle
from deepforge_hpc.submit.select import select

UUID = "0123456789abcdef0123456789abcdef"
KEY, OTHER_KEY = digest(b"key of a"), digest(b"key of another plan")
SAID = "said"


class Case(NamedTuple):
    """A row: the evidence, then the answer with a scheduler's words (or without any)."""

    marker: str
    """none | sound | reused | old schema... | other plan | damaged | empty"""
    file: str
    """none | a state | later | schema | torn | earlier STATE (of attempt 0)"""
    journal: str
    """none | planned | partly | refused | held | released | cancelled | damaged | part damaged
    (the intent alone) | later (an event of a later version, after a released attempt)"""
    native: str
    """silent | absent | dead (absent, and accounting does not answer) | lost | STATE[ REASON][ EXIT], in Slurm's words | lagging[ STATE] (what
    accounting still says of a job that has left the queue; nothing: its row is not filled yet) |
    mute[ other] (the queue does not answer, and accounting knows nothing, or another job alone)"""
    state: str
    over: bool


def case(text: str) -> Case:
    first, file, journal, native, state, over = (part.strip() for part in text.split("|"))
    return Case(first, file, journal, native, state, over == "over")


#    marker     | state file   | journal   | scheduler                          | state       |
TABLE = [
    # A sound marker is a success, whatever else is said.
    "sound      | succeeded    | released  | COMPLETED                          | succeeded   | over",
    "sound      | running      | released  | RUNNING                            | succeeded   | over",
    "sound      | none         | released  | FAILED                             | succeeded   | over",
    "sound      | failed       | released  | silent                             | succeeded   | over",
    "sound      | torn         | released  | absent                             | succeeded   | over",
    "sound      | later        | cancelled | lost                               | succeeded   | over",
    "sound      | none         | none      | silent                             | succeeded   | over",
    "reused     | reused       | released  | silent                             | reused      | over",
    "sound      | none         | planned   | silent                             | succeeded   | over",
    "sound      | none         | held      | PENDING JobHeldUser                | succeeded   | over",
    "sound      | none         | partly    | silent                             | succeeded   | over",
    # Any other marker is none, and what it is is said.
    "schema     | succeeded    | released  | COMPLETED                          | unknown     | over",
    "schema     | none         | released  | silent                             | unknown     |",
    "other plan | succeeded    | released  | silent                             | unknown     | over",
    "other plan | none         | none      | silent                             | unknown     |",
    "damaged    | succeeded    | released  | COMPLETED                          | unknown     | over",
    "damaged    | running      | released  | silent                             | unknown     |",
    "damaged    | none         | released  | RUNNING                            | running     |",
    "damaged    | failed       | released  | silent                             | failed      | over",
    "empty      | none         | planned   | silent                             | unknown     |",
    "none       | succeeded    | released  | COMPLETED                          | unknown     | over",
    "none       | reused       | none      | silent                             | unknown     | over",
    "none       | reused       | released  | silent                             | pending     |",
    "none       | none         | released  | COMPLETED                          | unknown     | over",
    # A job's own last word about the attempt goes before the scheduler's.
    "none       | failed       | released  | COMPLETED                          | failed      | over",
    "none       | failed       | released  | silent                             | failed      | over",
    "none       | interrupted  | released  | FAILED                             | interrupted | over",
    "none       | cancelled    | cancelled | absent                             | cancelled   | over",
    "none       | upstream_failed | released | silent                          | upstream_failed | over",
    "none       | never_ran    | released  | absent                             | never_ran   | over",
    "none       | failed       | none      | silent                             | failed      | over",
    # While the queue has it, it may run again, or still ends: its word stands, and it is not over.
    "none       | failed       | released  | RUNNING                            | failed      |",
    "none       | failed       | released  | PENDING                            | failed      |",
    "none       | failed       | released  | COMPLETING                         | failed      |",
    "none       | interrupted  | released  | RUNNING                            | interrupted |",
    "none       | interrupted  | released  | PENDING                            | interrupted |",
    "none       | cancelled    | cancelled | RUNNING                            | cancelled   |",
    "none       | upstream_failed | released | PENDING                         | upstream_failed |",
    "none       | unknown      | released  | RUNNING                            | unknown     |",
    "none       | unknown      | released  | PENDING                            | unknown     |",
    "none       | succeeded    | released  | RUNNING                            | unknown     |",
    "none       | never_ran    | released  | PENDING DependencyNeverSatisfied   | never_ran   | over",
    "none       | failed       | released  | lost                               | failed      | over",
    # What was written down as unknown was positively over.
    "none       | unknown      | released  | silent                             | unknown     | over",
    "none       | unknown      | released  | COMPLETED                          | unknown     | over",
    # That it waits, journal and queue know better.
    "none       | planned      | none      | silent                             | planned     | over",
    "none       | planned      | released  | silent                             | pending     |",
    "none       | planned      | released  | RUNNING                            | running     |",
    "none       | held         | released  | silent                             | pending     |",
    "none       | held         | released  | PENDING                            | pending     |",
    "none       | pending      | released  | silent                             | pending     |",
    "none       | pending      | released  | absent                             | unknown     |",
    "none       | pending      | released  | FAILED                             | failed      | over",
    # A state file that cannot be read says nothing, and is not taken for one that is not there.
    "none       | later        | released  | silent                             | unknown     |",
    "none       | schema       | released  | silent                             | unknown     |",
    "none       | torn         | released  | silent                             | unknown     |",
    "none       | later        | released  | absent                             | unknown     |",
    "none       | torn         | released  | PENDING                            | pending     |",
    "none       | later        | released  | RUNNING                            | running     |",
    "none       | schema       | released  | TIMEOUT                            | interrupted | over",
    "none       | torn         | none      | silent                             | unknown     |",
    "none       | later        | cancelled | silent                             | unknown     |",
    # What a job said of an earlier attempt does not count for this one.
    "none       | earlier failed | released | PENDING                           | pending     |",
    "none       | earlier failed | released | silent                            | pending     |",
    "none       | earlier running | released | absent                           | unknown     |",
    # While it runs, and when nobody knows.
    "none       | running      | released  | RUNNING                            | running     |",
    "none       | publishing   | released  | COMPLETING                         | publishing  |",
    "none       | running      | released  | REQUEUED                           | pending     |",
    "none       | running      | released  | silent                             | running     |",
    "none       | running      | released  | absent                             | unknown     |",
    "none       | running      | released  | dead                               | unknown     |",
    "none       | running      | released  | lost                               | unknown     |",
    "none       | running      | released  | lagging RUNNING                    | unknown     |",
    "none       | running      | released  | lagging                            | unknown     |",
    "none       | none         | released  | lagging PENDING                    | unknown     |",
    "none       | none         | released  | lagging                            | unknown     |",
    "none       | none         | cancelled | lagging                            | unknown     |",
    "none       | none         | refused   | lagging                            | unknown     |",
    "none       | failed       | released  | lagging                            | failed      | over",
    "none       | none         | cancelled | lagging RUNNING                    | unknown     |",
    "none       | none         | refused   | lagging PENDING                    | unknown     |",
    "none       | failed       | released  | lagging RUNNING                    | failed      | over",
    "sound      | running      | released  | lagging RUNNING                    | succeeded   | over",
    "none       | running      | cancelled | absent                             | unknown     |",
    "none       | running      | cancelled | silent                             | running     |",
    "none       | running      | none      | silent                             | running     |",
    "none       | running      | damaged   | silent                             | running     |",
    "none       | none         | released  | absent                             | unknown     |",
    "none       | none         | released  | dead                               | unknown     |",
    "none       | none         | released  | lost                               | unknown     |",
    "none       | none         | released  | silent                             | pending     |",
    "none       | none         | damaged   | silent                             | unknown     |",
    # A journal of which a part cannot be read: another attempt may run, so nothing is over.
    "none       | earlier failed | part damaged | RUNNING                      | running     |",
    "none       | earlier failed | part damaged | silent                       | pending     |",
    "none       | earlier failed | part damaged | absent                       | unknown     |",
    "none       | earlier failed | damaged | silent                            | unknown     |",
    "none       | failed       | part damaged | silent                         | unknown     |",
    "none       | failed       | later     | silent                             | unknown     |",
    "none       | failed       | later     | RUNNING                            | unknown     |",
    "none       | none         | later     | RUNNING                            | running     |",
    "none       | none         | later     | FAILED                             | unknown     |",
    "none       | succeeded    | later     | COMPLETED                          | unknown     |",
    "sound      | succeeded    | part damaged | silent                         | succeeded   | over",
    # How accounting says that it ended.
    "none       | running      | released  | FAILED 3:0                         | failed      | over",
    "none       | running      | released  | NODE_FAIL                          | interrupted | over",
    "none       | running      | released  | OUT_OF_MEMORY 0:125                | failed      | over",
    "none       | running      | released  | TIMEOUT                            | interrupted | over",
    "none       | running      | released  | PREEMPTED                          | interrupted | over",
    "none       | running      | cancelled | CANCELLED by 1000                  | cancelled   | over",
    "none       | running      | released  | CANCELLED by 1000                  | interrupted | over",
    "none       | none         | released  | BOOT_FAIL                          | failed      | over",
    "none       | none         | released  | FAILED 86:0                        | upstream_failed | over",
    "none       | none         | released  | CANCELLED DependencyNeverSatisfied | never_ran   | over",
    "none       | none         | released  | PENDING DependencyNeverSatisfied   | never_ran   | over",
    "none       | none         | released  | A_LATER_WORD                       | unknown     |",
    # How far the submission came.
    "none       | none         | none      | silent                             | planned     | over",
    "none       | none         | planned   | silent                             | planned     |",
    "none       | none         | partly    | silent                             | planned     |",
    "none       | none         | held      | silent                             | held        |",
    "none       | none         | held      | PENDING JobHeldUser                | held        |",
    "none       | none         | refused   | CANCELLED by 1000                  | planned     | over",
    "none       | none         | refused   | silent                             | planned     | over",
    "none       | none         | refused   | absent                             | planned     | over",
    "none       | none         | refused   | RUNNING                            | running     |",
    "none       | none         | refused   | lost                               | unknown     |",
    "none       | none         | refused   | A_LATER_WORD                       | unknown     |",
    # The cancellation is noted before it is sent, which may fail: no positive word yet.
    "none       | none         | cancelled | silent                             | unknown     |",
    "none       | none         | cancelled | PENDING                            | pending     |",
    "none       | none         | cancelled | absent                             | cancelled   | over",
    "none       | none         | cancelled | dead                               | unknown     |",
    "none       | none         | cancelled | mute                               | unknown     |",
    "none       | none         | cancelled | mute other                         | unknown     |",
    "none       | none         | released  | mute                               | pending     |",
    "none       | running      | released  | mute                               | running     |",
    "none       | none         | refused   | mute                               | planned     | over",
    "none       | none         | cancelled | CANCELLED by 1000                  | cancelled   | over",
    "none       | none         | cancelled | RUNNING                            | running     |",
    "none       | none         | cancelled | lost                               | unknown     |",
]  # fmt: skip
CASES = [case(row) for row in TABLE]


class Told:
    """A scheduler that answers what a case says, and knows nothing else.

    `answers` is what the half on the login node says, `printed` what the half that travels reads.
    """

    name: ClassVar[str] = "told"

    def __init__(self, words: str) -> None:
        self.words = words

    @property
    def unanswered(self) -> str:
        return "it is down" if self.words == "dead" else ""

    def scoped(self, _scope: object) -> Told:
        return self

    def answers(self) -> dict[str, NativeStatus] | None:
        if self.words.startswith(("silent", "mute")):
            return None
        if self.words in {"absent", "dead"}:
            return {}
        if self.words == "lost":
            return {"7": NativeStatus("7", State.UNKNOWN, "RUNNING", "", "Lost.", f"a.{UUID[:8]}")}
        raw, _, rest = self.words.partition(" ")
        if raw == "lagging":
            name = f"a.{UUID[:8]}" if rest else "allocation"
            return parse_accounting(f"7|{rest}|0:0|None|n1|Unknown|{name}\n")
        if rest.startswith("by "):
            raw, rest = self.words, ""
        code = rest if ":" in rest else "0:0"
        reason = "" if ":" in rest else rest
        state, sentence = interpret(raw, reason, code)
        return {
            "7": NativeStatus(
                "7", state, raw, reason, sentence, f"a.{UUID[:8]}", code,
                wants_memory(raw, code), "", dependency(reason), never_starts(reason),
            )
        }  # fmt: skip

    def of(self, whose: object) -> Told:
        return self

    def printed(self, argv: list[str], harmless: str = "") -> str | None:
        """Return what a command of Slurm prints in the final job; None if it does not answer."""
        if self.words == "silent" or argv[0] == "scontrol":
            return None
        if self.words == "dead":
            return "" if argv[0] == "squeue" else None
        if self.words.startswith("mute"):
            other = f"8|COMPLETED|0:0|||Unknown|||||||1|n1|||b.{UUID[:8]}\n"
            return None if argv[0] == "squeue" else other * self.words.endswith("other")
        raw, _, rest = self.words.partition(" ")
        if self.words in {"absent", "lost"} or raw == "lagging":
            queued, raw = False, {"absent": "", "lost": "RUNNING"}.get(self.words, rest)
        else:
            queued = not interpret(raw)[0].is_final
        name = f"a.{UUID[:8]}" if raw else "allocation"
        if argv[0] == "squeue":
            return f"7|{raw}|{rest or 'None'}|{name}\n" if queued else ""
        if self.words == "absent" or queued:
            return ""
        code = rest if ":" in rest else "0:0"
        nodes = "None assigned" if rest == "DependencyNeverSatisfied" else "n1"
        told = self.words if rest.startswith("by ") else raw
        return f"7|{told}|{code}|||Unknown|||||||1|{nodes}|||{name}\n"

    def query(self, directory: str, native_ids: list[str]) -> dict[str, NativeStatus]:
        found = self.answers()
        if found is None:
            message = "it is down"
            raise SchedulerError(message)
        return found


class Queue(Told):
    """The queue of what is told: ended jobs, and what it has lost, are not in its listing."""

    def __init__(self, told: Told) -> None:
        super().__init__(told.words)
        job = (self.answers() or {}).get("7")
        word = told.words.partition(" ")[0]
        self.has_job = (
            job is not None and not job.state.is_final and word not in {"lost", "lagging"}
        )
        self.cancelled, self.is_leaving, self.looks = False, False, 0

    def find(self, directory: str, token: str) -> dict[str, list[str]]:
        """List the job until it is cancelled; one that has ended leaves after the first look."""
        self.looks += 1
        has_left = self.cancelled or (self.is_leaving and self.looks > 1)
        return {"a": ["7"]} if self.has_job and not has_left else {}

    def cancel(self, directory: str, native_ids: list[str]) -> None:
        assert native_ids == ["7"]
        self.cancelled = True


class Bench:
    """A folder with the evidence of a case: job `a`, then `b` which needs it, then the final job."""

    task: ClassVar[int | None] = None
    """Of `a`: what the evidence is about."""

    def __init__(self, root: Path, row: Case) -> None:
        self.row = row
        self.scheduler = Told(row.native)
        home = root / "executions" / "demo-0001"
        (home / "jobs" / "a").mkdir(parents=True)
        (root / ".dfh").mkdir()
        self.layout = ExecutionLayout(home)
        jobs = (
            Job(name="b", operation="b", after=("a",), plan_key=digest(b"b")),
            Job(
                name=FINAL_JOB,
                operation="",
                kind=JobKind.FINAL,
                after=("b",),
                dependency="afterany",
            ),
        )
        jobs = (*self._operation(), *jobs)
        self.plan = Plan(pipeline="demo", site="here", scheduler="told", jobs=jobs)
        content = canonical_json(self.plan.to_dict())
        self.layout.plan.write_bytes(content)
        code = b'{"schema": "dfh/code/1", "files": {}}'
        self.layout.code.mkdir()
        self.layout.manifest.write_bytes(code)
        info = ExecutionInfo(
            id="demo-0001", uuid=UUID, pipeline="demo", pipeline_file="p.yaml", site="here",
            scheduler="told", project=str(root), home=str(home), ledger=str(root / ".dfh"),
            created="2026-01-01T00:00:00+00:00", user="me", version="1", code_sha256=digest(code),
            plan_sha256=digest(content),
        )  # fmt: skip
        publish_json(self.layout.execution, encode(info))
        self._marker()
        self._file()
        self._journal()

    def _operation(self) -> tuple[Job, ...]:
        return (Job(name="a", operation="a", plan_key=KEY),)

    def _succeeded(self, job: str, task: int) -> None:
        folder = self.layout.job(job, task)
        folder.root.mkdir(parents=True)
        marker.write(folder, Marker(job, task, 1, KEY, "sha256:0", {}, None))

    def _marker(self) -> None:
        folder, kind = self.layout.job("a", self.task), self.row.marker
        if kind == "none":
            return
        key = OTHER_KEY if kind == "other plan" else KEY
        origin = ReusedFrom("demo-0000", "a", None, "") if kind == "reused" else None
        number = 0 if kind == "reused" else 1
        marker.write(folder, Marker("a", self.task, number, key, "sha256:0", {}, origin))
        content = folder.success.read_text()
        if kind == "schema":
            folder.success.write_text(content.replace("dfh/success/1", "dfh/success/9"))
        if kind in {"damaged", "empty"}:
            folder.success.write_text(content[:40] if kind == "damaged" else "")

    def _file(self) -> None:
        folder, words = self.layout.job("a", self.task), self.row.file
        if words == "none":
            return
        state = words.removeprefix("earlier ")
        known = state in State._value2member_map_
        number = 0 if "earlier" in words or state == "reused" else 1
        what = State(state) if known else State.RUNNING
        said = statefile.Said(what, number, "a", self.task, reason=SAID)
        statefile.publish(folder, said)
        content = folder.state.read_text()
        if state == "later":
            folder.state.write_text(content.replace('"running"', '"hibernating"'))
        if state == "schema":
            folder.state.write_text(content.replace("dfh/state/1", "dfh/state/9"))
        if state == "torn":
            folder.state.write_text(content[:-20])

    def _journal(self) -> None:
        how = self.row.journal
        if how == "none":
            return
        intent = {"event": "intent", "jobs": ["a", "b", FINAL_JOB], "tasks": {}, "at": ""}
        ids = [
            {"event": "job", "job": job, "native_id": native}
            for job, native in (("a", "7"), ("b", "8"), (FINAL_JOB, "9"))
        ]
        cancel, released = {"event": "cancel"}, {"event": "released"}
        events = {
            "planned": [intent],
            "partly": [intent, {**ids[1]}],
            "held": [intent, *ids],
            "refused": [intent, *ids[:2], {**cancel, "refused": "the limit"}],
            "released": [intent, *ids, released],
            "cancelled": [intent, *ids, released, cancel],
            "damaged": [],
            "part damaged": [*ids, released],
            "later": [intent, *ids, released, {"event": "segment", "attempt": 2}],
        }[how]
        text = "".join(json.dumps({"attempt": 1, **event}) + "\n" for event in events)
        damage = "no json\n" if "damaged" in how else ""
        self.layout.submitted.write_text(damage + text)


class GatherBench(Bench):
    """In it `a` gathers the parts of an array, whose tasks have succeeded: both are operation `a`."""

    def _operation(self) -> tuple[Job, ...]:
        for task in range(2):
            self._succeeded("parts", task)
        return (
            Job(name="parts", operation="a", kind=JobKind.ARRAY, tasks=2, plan_key=KEY),
            Job(name="a", operation="a", kind=JobKind.GATHER, after=("parts",), plan_key=KEY),
        )


class TaskBench(Bench):
    """In it `a` is an array: the evidence is of its second task, and the first has succeeded."""

    task = 1

    def _operation(self) -> tuple[Job, ...]:
        self._succeeded("a", 0)
        self.layout.job("a", 1).root.mkdir()
        answers = self.scheduler.answers

        def of_the_task() -> dict[str, NativeStatus] | None:
            found = answers()
            return found and {"7_1": found["7"]._replace(native_id="7_1")}

        self.scheduler.answers = of_the_task  # type: ignore[method-assign]
        return (Job(name="a", operation="a", kind=JobKind.ARRAY, tasks=2, plan_key=KEY),)


@pytest.fixture(params=CASES, ids=[" ".join(row.split()) for row in TABLE])
def bench(request: pytest.FixtureRequest, tmp_path: Path) -> Bench:
    return Bench(tmp_path, request.param)


def test_table_has_every_kind_of_evidence() -> None:
    assert len(CASES) >= 40
    assert {row.state for row in CASES} == {state.value for state in State}
    assert len(set(TABLE)) == len(TABLE)


def test_unknown_is_never_over_without_a_positive_word() -> None:
    for row in CASES:
        own_word = row.file in {*(state.value for state in State if state.is_final), "unknown"}
        is_mute = row.native.startswith(("silent", "dead", "lost", "lagging", "mute"))
        no_word = is_mute and row.marker not in {"sound", "reused"}
        if no_word and not own_word and row.journal not in {"none", "refused"}:
            assert not row.over, row


def test_status_says_what_the_table_says(bench: Bench) -> None:
    current = status(bench.layout, bench.scheduler, now=0)  # type: ignore[arg-type]
    unit = current.jobs[0].units[0]
    assert (unit.state.value, unit.is_over) == (bench.row.state, bench.row.over)
    if bench.row.state == "unknown":
        assert unit.reason, "unknown, and why is not said"
    json.dumps(current.to_dict())


def test_status_writes_down_no_end_that_nobody_gave(bench: Bench) -> None:
    before = bench.layout.job("a").state
    content = before.read_bytes() if before.exists() else b""
    status(bench.layout, None)
    assert (before.read_bytes() if before.exists() else b"") == content
    status(bench.layout, bench.scheduler)  # type: ignore[arg-type]
    after = before.read_bytes() if before.exists() else b""
    if not bench.row.over:
        assert after == content
    # Who asks again, or without the scheduler, is told the same.
    again = status(bench.layout, bench.scheduler)  # type: ignore[arg-type]
    assert again.jobs[0].state.value == bench.row.state
    if after != content:
        assert status(bench.layout, None).jobs[0].state.value == bench.row.state


def test_closing_of_an_attempt_is_not_over_if_another_may_have_begun(tmp_path: Path) -> None:
    bench = Bench(tmp_path, case("none | failed | later | silent | unknown |"))
    bench.layout.job(FINAL_JOB).root.mkdir()
    statefile.publish(
        bench.layout.job(FINAL_JOB), statefile.Said(State.SUCCEEDED, 1, FINAL_JOB, exit_code=0)
    )
    unit = status(bench.layout, None, now=0).jobs[-1].units[0]
    assert (unit.state, unit.is_over) == (State.UNKNOWN, False)
    assert "submitted again: submitted.jsonl:6" in unit.reason


def test_word_of_an_adapter_that_is_no_state_is_unknown(tmp_path: Path) -> None:
    bench = Bench(tmp_path, case("none | none | released | RUNNING | unknown |"))
    outside = NativeStatus("7", "suspended", "S")  # type: ignore[arg-type]
    bench.scheduler.answers = lambda: {"7": outside}  # type: ignore[method-assign]
    unit = status(bench.layout, bench.scheduler, now=0).jobs[0].units[0]  # type: ignore[arg-type]
    assert (unit.state, unit.is_over) == (State.UNKNOWN, False)
    assert unit.reason == "The scheduler says S of it."


@pytest.mark.parametrize(
    ("row", "seen", "hidden"),
    [
        ("none | running | released | absent |", "unknown", "running"),
        ("none | none | released | absent |", "unknown", "pending"),
        ("none | running | released | lagging RUNNING |", "unknown", "running"),
        ("none | none | cancelled | absent |", "cancelled", "unknown"),
        ("none | failed | released | absent |", "failed", "failed"),
        ("none | running | released | RUNNING |", "running", "running"),
    ],
)
def test_job_that_the_queue_may_hide_from_who_asks_is_not_over(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, row: str, seen: str, hidden: str
) -> None:
    bench = Bench(tmp_path, case(f"{row} |"))
    for user, state in ((4711, hidden), (0, seen)):
        monkeypatch.setattr(inspect.os, "geteuid", lambda user=user: user)
        current = status(bench.layout, bench.scheduler)  # type: ignore[arg-type]
        unit = current.jobs[0].units[0]
        assert unit.state.value == state
        assert unit.is_over is (state in {"cancelled", "failed"})
        assert user == 0 or all("left the queue" not in job.reason for job in current.jobs)
        assert user == 0 or any("submitted by me" in notice.text for notice in current.warnings)


@pytest.mark.parametrize(("told", "counts"), [("COMPLETED", False), ("RUNNING", True)])
def test_time_of_an_unknown_job_that_is_over_does_not_go_on(
    tmp_path: Path, told: str, counts: bool
) -> None:
    bench = Bench(tmp_path, case(f"none | running | released | {told} | unknown |"))
    began = datetime(2026, 1, 1, tzinfo=timezone.utc)
    said = statefile.Said(State.RUNNING, 1, "a", started=began.isoformat())
    statefile.publish(bench.layout.job("a"), said)
    now = began.timestamp() + 99
    job = status(bench.layout, bench.scheduler, now=now).jobs[0]  # type: ignore[arg-type]
    assert (job.elapsed_s, job.units[0].elapsed_s) == ((99.0, 99.0) if counts else (None, None))


@pytest.mark.parametrize(
    ("row", "moves"),
    [
        ("none | failed | released | COMPLETING |", True),
        ("none | interrupted | released | RUNNING |", True),
        ("none | none | released | PENDING |", True),
        ("none | running | released | lost |", False),
        ("none | none | held | PENDING JobHeldUser |", False),
        ("none | none | released | PENDING QOSMaxJobsPerUserLimit |", True),
        ("none | none | released | PENDING QOSMaxWallDurationPerJobLimit |", False),
    ],
)
def test_who_watches_goes_on_while_a_job_can_move(tmp_path: Path, row: str, moves: bool) -> None:
    bench = Bench(tmp_path, case(f"{row} |"))
    assert status(bench.layout, bench.scheduler).can_move is moves  # type: ignore[arg-type]


def test_page_says_what_status_says_without_a_scheduler(bench: Bench) -> None:
    page, current = read_status(bench.layout.root), status(bench.layout, None)
    for one, two in zip(page.jobs, current.jobs, strict=True):
        assert (one.state, one.reason, one.hint) == (two.state, two.reason, two.hint)
    if bench.row.native.startswith(("silent", "mute")):
        assert page.jobs[0].state.value == bench.row.state
    render_report(bench.layout.root)


@pytest.mark.parametrize("shape", [Bench, GatherBench, TaskBench])
@pytest.mark.parametrize("row", CASES, ids=[" ".join(row.split()) for row in TABLE])
def test_page_has_the_states_of_the_table_and_the_next_step_of_status(
    row: Case, shape: type[Bench], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bench = shape(tmp_path, row)
    monkeypatch.setattr(inspect, "user_name", lambda: "me")
    current = status(bench.layout, bench.scheduler)  # type: ignore[arg-type]
    first, second = groups = operations(current.work)
    own = State(row.state)
    # What was reused is a part of the whole alone: the rest of it has succeeded.
    is_whole = shape is not Bench and own.is_success
    assert first.state is (State.SUCCEEDED if is_whole else own)
    assert second.state is next(job.state for job in current.jobs if job.name == "b")
    answer = _answer(current, groups, None)
    states = [first.state, second.state]
    is_at_work = any(state.is_at_work for state in states)
    assert (" running; " in answer) is is_at_work
    waits = State.PENDING in states and not is_at_work
    assert (" waiting for the scheduler." in answer) is waits
    assert (" held." in answer) is (State.HELD in states)
    assert ("is not known." in answer) is (State.UNKNOWN in states)
    planned = states.count(State.PLANNED)
    assert (f"{planned} operation" in answer and "planned." in answer) is (planned > 0)
    is_new = row.journal == "none" and planned == 2
    assert ("Nothing was submitted" in answer) is is_new
    goes_on = State.HELD in states or current.state is State.PLANNED
    assert ("To go on: " in answer) is goes_on
    assert not goes_on or answer.partition("To go on: ")[2] == current.next
    assert answer.endswith((".", "dfh resume demo-0001"))


def test_page_of_a_success_whose_rest_was_refused_does_not_say_that_nothing_was_submitted(
    tmp_path: Path,
) -> None:
    bench = Bench(tmp_path, case("sound | succeeded | refused | silent | succeeded | over"))
    current = read_status(bench.layout.root)
    answer = _answer(current, operations(current.work), None)
    assert answer == "1 operation planned. To go on: dfh resume demo-0001"


def test_who_waits_for_the_end_stops_when_it_is_over(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = read_execution(bench.layout.root)
    assert found is not None
    monkeypatch.setattr(manage, "scheduler_of", lambda _: bench.scheduler)
    log = LogFile(
        execution="demo-0001", job="a", task=None, attempt=1, rank=None, path="", lines=(),
        offset=0, is_whole=True,
    )  # fmt: skip
    assert logs._is_over(found, log, ask_scheduler=True) is bench.row.over
    current = status(bench.layout, bench.scheduler, now=0)  # type: ignore[arg-type]
    alone = current._replace(jobs=current.jobs[:1])
    assert alone.is_closed is bench.row.over
    page = render_page(alone, operations(alone.work), {})
    assert (b'http-equiv="refresh"' not in page) is bench.row.over
    monkeypatch.setattr(proof, "status", lambda _: alone)
    monkeypatch.setattr(proof, "cancel", lambda *_, **__: None)
    told = proof._follow(found, bench.layout.root, "none", limit_s=-1)
    assert ("no end within" not in told.text) is bench.row.over


def test_final_job_writes_what_status_says_and_touches_nothing_else(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    work = bench.layout.job("a").work(1)
    work.mkdir()
    file = bench.layout.job("a").state
    content = file.read_bytes() if file.exists() else b""
    context = open_context(bench.layout.root, job=FINAL_JOB, task=None, attempt=1, plan_sha256="")
    monkeypatch.setattr(sacct, "_run", bench.scheduler.printed)
    monkeypatch.setattr(sacct, "_LAG_S", 0.0)
    monkeypatch.setattr(sacct, "_CLEANUP_S", 0.0)
    told = sacct.query({"7", "8"})
    files, is_heard = read_files(bench.layout.root), told.has_accounting
    before = build(files, told.jobs, now=0, has_accounting=is_heard).jobs[0].units[0]
    assert (before.state.value, before.is_over) == (bench.row.state, bench.row.over)
    monkeypatch.setattr(Scheduler, "query", lambda *_: told)
    monkeypatch.setattr(final, "load_scheduler", lambda *_: Scheduler())
    monkeypatch.setattr(final, "_LAST_WORDS_S", 0.0)
    final.close_execution(context)
    is_attempted = bench.row.journal not in {"none", "damaged"}
    assert work.exists() is not (bench.row.over and is_attempted)
    if not bench.row.over or not is_attempted or before.is_written:
        assert (file.read_bytes() if file.exists() else b"") == content
    elif file.exists() and file.read_bytes() != content:
        assert json.loads(file.read_bytes())["state"] == bench.row.state
    # The page that it leaves behind shows it.
    if bench.row.over and is_attempted:
        assert read_status(bench.layout.root).jobs[0].state.value == bench.row.state


def test_final_job_asks_after_the_last_words_of_what_was_cancelled(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bench = Bench(tmp_path, case(next(row for row in TABLE if "CANCELLED by" in row)))
    asked: list[str] = []

    def look(*_: object) -> None:
        asked.append("look")
        if len(asked) == 3:
            end = statefile.Said(State.CANCELLED, 1, "a", exit_code=75)
            statefile.publish(bench.layout.job("a"), end)

    def query(*_: object) -> QueryResult:
        asked.append("query")
        return QueryResult(bench.scheduler.answers())

    monkeypatch.setattr(Scheduler, "look", look)
    monkeypatch.setattr(Scheduler, "query", query)
    monkeypatch.setattr(final, "load_scheduler", lambda *_: Scheduler())
    monkeypatch.setattr(final, "_PAUSE_S", 0.0)
    context = open_context(bench.layout.root, job=FINAL_JOB, task=None, attempt=1, plan_sha256="")
    final.close_execution(context)
    assert asked == ["look", "look", "look", "query"]


def test_resume_and_guard_take_what_status_calls_a_success(bench: Bench) -> None:
    is_success = State(bench.row.state).is_success
    chosen = {item.job.name for item in select(bench.plan, read_files(bench.layout.root))}
    assert ("a" not in chosen) is is_success
    context = open_context(bench.layout.root, job="b", task=None, attempt=1, plan_sha256="")
    if is_success:
        check_upstream(context)
        return
    with pytest.raises(JobError) as caught:
        check_upstream(context)
    # What the guard has against a marker, status says in the same words.
    fault = caught.value.reason.partition(", which ")[2].rstrip(".")
    unit = status(bench.layout, None, now=time.time()).jobs[0]
    if bench.row.marker != "none" and unit.state is State.UNKNOWN:
        assert fault in unit.reason


def test_resume_waits_for_what_the_queue_has_and_is_not_over(bench: Bench) -> None:
    last, told = journal.read(bench.layout).last, bench.scheduler
    if last is None or last.is_held:
        return  # `recover` completes what was never let go
    queue = Queue(told)
    info = read_info(bench.layout)
    submitter: Any = SimpleNamespace(
        layout=bench.layout, info=info, scheduler=queue, live_jobs=LiveJobs(queue, info), plan=None
    )  # type: ignore[arg-type]
    unit = status(bench.layout, None, now=0).jobs[0].units[0]
    queue.is_leaving = has_own_end = unit.is_over and unit.state is not State.PLANNED
    if not queue.has_job or has_own_end or bench.row.over:
        assert settle(submitter, last) is None
        assert queue.cancelled is (queue.has_job and not has_own_end)
        return
    with pytest.raises(UsageError, match=r"is not over: a \("):
        settle(submitter, last)
    assert not queue.cancelled
    assert queue.looks == 1


def test_job_whose_id_the_journal_lost_is_not_over(tmp_path: Path) -> None:
    bench = Bench(tmp_path, case("none | none | refused | PENDING | pending |"))
    text = bench.layout.submitted.read_text()
    bench.layout.submitted.write_text(text.replace('"native_id": "7"', '"native_id": "77"'))
    assert status(bench.layout, bench.scheduler).jobs[0].is_over  # type: ignore[arg-type]
    test_resume_waits_for_what_the_queue_has_and_is_not_over(bench)


def test_rm_takes_only_what_is_over(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    found = read_execution(bench.layout.root)
    assert found is not None
    monkeypatch.setattr(manage, "scheduler_of", lambda _: bench.scheduler)
    live = [name.partition(" ")[0] for name in manage.live_jobs(found)]
    assert ("a" in live) is not bench.row.over
    # What runs, as far as anybody knows, is not removed by force either.
    forced = [name.partition(" ")[0] for name in manage.live_jobs(found, force=True)]
    assert ("a" in forced) is State(bench.row.state).is_live


def test_rm_that_breaks_off_leaves_nothing_that_looks_like_an_execution(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bench = Bench(tmp_path, case("none | none | none | silent | planned | over"))
    root, found = bench.layout.root, read_execution(bench.layout.root)
    assert found is not None

    def refuse(*_: object) -> None:
        raise OSError(errno.EIO, "the disk refuses")

    monkeypatch.setattr(manage, "live_jobs", lambda *_, **__: [])
    monkeypatch.setattr(shutil, "rmtree", refuse)
    with pytest.raises(StorageError, match="refuses"):
        manage.remove(found, tmp_path)
    assert not root.exists()
    (left,) = root.parent.iterdir()
    assert left.name.startswith(".removed-demo-0001-")


def test_what_slurm_wrote_of_memory_is_read_out_of_the_log(tmp_path: Path) -> None:
    bench = Bench(tmp_path, case("none | none | released | FAILED 0:9 | failed | over"))
    log = bench.layout.log("a", 1, None)
    log.write_text(
        "loading\nslurmstepd-n1: error: StepId=7.batch exceeded memory limit (2 > 1), x\n"
    )
    files = read_files(bench.layout.root)
    files = files._replace(info=files.info._replace(scheduler="slurm"))
    job = build(files, bench.scheduler.answers(), now=0).jobs[0]
    assert "ran out of memory" in job.reason
    assert "exceeded memory limit (2 > 1)" in job.reason
    assert job.units[0].lacks == "memory"
    log.unlink()
    told = build(files, bench.scheduler.answers(), now=0).jobs[0].reason
    assert "most often for want of memory" in told
