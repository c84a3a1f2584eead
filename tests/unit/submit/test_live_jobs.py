"""Whose an id is: what is cancelled, and what is noted with it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from deepforge_hpc.errors import SchedulerError
from deepforge_hpc.runtime.base.execution import ExecutionInfo
from deepforge_hpc.runtime.base.native import NativeStatus
from deepforge_hpc.runtime.base.states import State
from deepforge_hpc.schedulers.local import LocalScheduler
from deepforge_hpc.submit import chain, journal, live_jobs
from deepforge_hpc.submit.frozen import read_info, read_plan
from deepforge_hpc.submit.live_jobs import LiveJobs

TOKEN = "deadbeef"


class Forgetful(LocalScheduler):
    """Shows nothing in its queue, and has given one of two ids to another job."""

    def __init__(self) -> None:
        self.cancelled: list[str] = []
        self.released: list[str] = []

    def submit(self, request: Any) -> str:
        return "7"

    def release(self, directory: str, native_ids: Sequence[str]) -> None:
        self.released += native_ids

    def find(self, directory: str, token: str) -> dict[str, list[str]]:
        return {}

    def query(self, directory: str, native_ids: Sequence[str]) -> dict[str, NativeStatus]:
        names = {"7": "a.0badcafe", "8": f"b.{TOKEN}"}
        return {
            key: NativeStatus(key, State.RUNNING, "RUNNING", name=names[key]) for key in native_ids
        }

    def cancel(self, directory: str, native_ids: Sequence[str]) -> None:
        self.cancelled += native_ids


class Silent(LocalScheduler):
    """Takes one job, refuses the next, and knows of none afterwards."""

    def __init__(self, limit: int = 1) -> None:
        self.taken = 0
        self.limit = limit

    def submit(self, request: Any) -> str:
        if self.taken == self.limit:
            raise SchedulerError("refused")
        self.taken += 1
        return str(self.taken)

    def release(self, directory: str, native_ids: Sequence[str]) -> None:
        pass

    def find(self, directory: str, token: str) -> dict[str, list[str]]:
        return {}

    def query(self, directory: str, native_ids: Sequence[str]) -> dict[str, NativeStatus]:
        return {}


class OfLab(LocalScheduler):
    """One of several clusters."""

    def cluster(self) -> str:
        return "lab"


def test_an_id_that_is_another_jobs_by_now_is_left_alone() -> None:
    scheduler = Forgetful()
    info = ExecutionInfo.stand_in(id="x-0001", uuid=TOKEN + "0" * 24)
    LiveJobs(scheduler, info).clear(known={"a": "7", "b": "8"})
    assert scheduler.cancelled == ["8"]


def test_what_the_queue_does_not_show_is_not_released(lab: Any) -> None:
    lab.write()
    layout, scheduler = lab.create(), Forgetful()
    chain.submit(layout, scheduler)
    *lines, last = layout.submitted.read_bytes().splitlines(keepends=True)
    assert json.loads(last)["event"] == "released"
    layout.submitted.write_bytes(b"".join(lines))  # as if it had died before that
    chain.resume(layout, scheduler)
    assert scheduler.released == []


def test_a_job_that_nobody_knows_of_is_not_called_cancelled(lab: Any) -> None:
    lab.write()
    layout = lab.create()
    with pytest.raises(SchedulerError) as caught:
        chain.submit(layout, Silent())
    said = "what was queued may still be there, held (neither the queue nor accounting knows 1,"
    assert said in caught.value.message
    assert f"dfh cancel {layout.root.name}" in caught.value.hint
    last = journal.read(layout).last
    assert last is not None
    assert not last.is_cancelled


def test_a_cancellation_names_what_nobody_knows_of(lab: Any) -> None:
    lab.write()
    layout, scheduler = lab.create(), Silent(limit=9)
    chain.submit(layout, scheduler)
    report = chain.cancel(layout, scheduler)
    (notice,) = report.warnings
    assert notice.kind == "scheduler_silent"
    assert "Neither the queue nor accounting knows " in notice.text
    names = {job.name for job in read_plan(layout, read_info(layout)).jobs}
    assert names == {name for name in names if name in notice.text}


def test_a_command_of_another_user_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    argv = [sys.executable, "-c", "input('ready\\n')", f"a.{TOKEN}"]
    with subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"ready\n"
        assert live_jobs._submitters(TOKEN) == [process.pid]
        monkeypatch.setattr(live_jobs, "owner", lambda _: os.getuid() + 1)
        assert live_jobs._submitters(TOKEN) == []
        process.communicate(b"\n")


def test_intent_and_release_are_on_the_disk_before_what_follows(
    lab: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    lab.write()
    layout = lab.create()
    synced, fsync = [], os.fsync

    def sync(handle: int) -> None:
        fsync(handle)
        if Path(f"/proc/self/fd/{handle}").readlink() == layout.submitted:
            synced.append(layout.submitted.read_text().splitlines()[-1])

    monkeypatch.setattr(os, "fsync", sync)
    chain.submit(layout, Forgetful())
    assert [json.loads(line)["event"] for line in synced] == ["intent", "released"]


def test_the_cluster_is_noted_with_each_id_and_before_the_first(lab: Any) -> None:
    lab.write()
    layout = lab.create()
    chain.submit(layout, OfLab())
    noted = [json.loads(line) for line in layout.submitted.read_bytes().splitlines()]
    found = [(line["event"], line.get("cluster")) for line in noted]
    assert found == [("intent", "lab"), *[("job", "lab")] * 4, ("released", None)]
    lab.wait(layout)
