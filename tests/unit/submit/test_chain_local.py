"""Submit, status, resume, cancel on the local site, with the real jobs."""

from __future__ import annotations

import json
import os
import shutil
import signal
import time
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from deepforge_hpc.errors import (
    LedgerError,
    SchedulerError,
    StorageError,
    SubmitLimitError,
    UsageError,
)
from deepforge_hpc.model.execution import SubmitRequest
from deepforge_hpc.processes import user_name
from deepforge_hpc.runtime.base.layout import ExecutionLayout
from deepforge_hpc.schedulers.local import LocalScheduler, View
from deepforge_hpc.schedulers.local_process import with_token
from deepforge_hpc.schedulers.local_queue import LocalQueue
from deepforge_hpc.submit import chain, journal
from deepforge_hpc.submit.lease import lease
from deepforge_hpc.submit.orphans import held_orphans

GOOD = {"a": "succeeded", "b": "succeeded", "c": "succeeded", "_final": "succeeded"}


def poll(ask: Any, limit_s: float = 30) -> Any:
    deadline = time.monotonic() + limit_s
    while not (answer := ask()):
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.03)
    return answer


def test_chain_runs_once_in_order_and_closes(real_lab: Any) -> None:
    lab = real_lab
    layout = lab.submit("diamond")
    assert set(lab.wait(layout).values()) == {"succeeded"}
    assert lab.ran()[0] == "a"
    assert sorted(lab.ran()) == ["a", "b", "c", "d"]
    assert lab.ran()[-1] == "d"
    status = lab.status(layout)
    assert (status.state, status.next, status.warnings) == ("succeeded", "", ())
    assert status.to_dict()["schema"] == "dfh/status/2"
    assert [output.name for output in status.jobs[0].outputs] == ["value"]


def test_job_that_cannot_wait_for_so_many_is_refused_before_any_is_queued(lab: Any) -> None:
    class Narrow(LocalScheduler):
        def describe(self, request: SubmitRequest) -> list[str]:
            if len(request.after) > 1:
                raise SchedulerError(f"{request.job} waits for {len(request.after)} jobs", "Join.")
            return super().describe(request)

    lab.scheduler = Narrow()
    lab.write("diamond")
    layout = lab.create()
    with pytest.raises(
        SchedulerError, match=r"_final waits for 3 jobs. Nothing of lab-0001 was queued"
    ):
        chain.submit(layout, lab.scheduler)
    assert not layout.submitted.exists()
    assert not lab.ran()


def test_failure_stops_what_is_below_and_resume_runs_only_what_is_missing(lab: Any) -> None:
    lab.flag("fail-b")
    layout = lab.submit("diamond")
    states = lab.wait(layout)
    assert states == {
        "a": "succeeded",
        "b": "failed",
        "c": "succeeded",
        "d": "never_ran",
        "_final": "succeeded",
    }
    status = lab.status(layout)
    job = {job.name: job for job in status.jobs}
    assert "asked to fail" in job["b"].reason
    assert "b" in job["d"].reason
    assert status.next == "dfh logs lab-0001 b; edit; then dfh submit pipeline.yaml --site local"
    lab.flag("fail-b", is_set=False)
    report = lab.resume(layout)
    assert (report.attempt, [name for name, _ in report.submitted]) == (2, ["b", "d", "_final"])
    assert set(report.kept) == {"a", "c"}
    assert set(lab.wait(layout).values()) == {"succeeded"}
    assert sorted(lab.ran()) == ["a", "b", "b", "c", "d"]
    assert lab.resume(layout).message.startswith("Nothing to do")


def test_resume_runs_single_tasks_of_an_array_and_gathers_again(lab: Any) -> None:
    lab.flag("fail-p2")
    layout = lab.submit("array")
    states = lab.wait(layout)
    assert (states["part"], states["part.gather"]) == ("failed", "never_ran")
    part = next(job for job in lab.status(layout).jobs if job.name == "part")
    assert part.detail == "failed 1/4"
    assert part.reason.startswith("task 2: ")
    assert "p2 was asked to fail" in part.reason
    lab.flag("fail-p2", is_set=False)
    lab.resume(layout)
    assert lab.status(layout).jobs[0].tasks[0].state == "succeeded"
    assert set(lab.wait(layout).values()) == {"succeeded"}
    assert sorted(lab.ran()) == ["gather", "p0", "p1", "p2", "p2", "p3", "use"]
    last = journal.read(layout).last
    assert last is not None
    assert last.tasks == {"part": (2,)}


def test_time_of_an_array_is_from_its_first_start_to_its_last_end(real_lab: Any) -> None:
    layout = real_lab.submit("array")
    real_lab.wait(layout)
    part = next(job for job in real_lab.status(layout).jobs if job.name == "part")
    first = min(datetime.fromisoformat(task.started) for task in part.tasks)
    last = max(datetime.fromisoformat(task.ended) for task in part.tasks)
    assert part.elapsed_s == pytest.approx((last - first).total_seconds(), abs=0.002)
    assert part.elapsed_s > max(task.elapsed_s for task in part.tasks)


def test_live_execution_is_not_resumed(lab: Any) -> None:
    lab.flag("wait-a")
    layout = lab.submit()
    poll(lambda: lab.states(layout)["a"] == "running")
    with pytest.raises(UsageError, match=r"not over: a \(running\), b \(pending\)") as caught:
        lab.resume(layout)
    assert "dfh cancel lab-0001" in caught.value.hint
    assert "--watch" in lab.status(layout).next


def test_each_pending_job_says_what_it_waits_for(lab: Any) -> None:
    lab.flag("wait-a")
    layout = lab.submit("diamond")
    poll(lambda: lab.states(layout)["a"] == "running")
    reasons = {job.name: job.reason for job in lab.status(layout).jobs}
    assert reasons == {
        "a": "It runs.",
        "b": "It waits for a.",
        "c": "It waits for a.",
        "d": "It waits for b, c.",
        "_final": "It waits for b, c, d.",
    }
    lab.flag("wait-a", is_set=False)
    lab.wait(layout)


def test_cancel_ends_all_and_says_so_and_resume_goes_on(lab: Any) -> None:
    lab.flag("wait-b")
    layout = lab.submit()
    poll(lambda: lab.states(layout)["b"] == "running")
    assert lab.cancel(layout).jobs == ("b", "c")
    states = lab.wait(layout)
    assert (states["a"], states["_final"]) == ("succeeded", "succeeded")
    assert states["b"] in {"cancelled", "interrupted"}
    assert states["c"] in {"cancelled", "never_ran"}
    assert json.loads(layout.job("c").state.read_bytes())["state"] == states["c"]
    assert lab.cancel(layout).jobs == ()
    lab.flag("wait-b", is_set=False)
    lab.resume(layout)
    assert lab.wait(layout) == GOOD
    assert lab.ran() == ["a", "b", "b", "c"]


class Deadly(LocalScheduler):
    """Kills its own process (-9) before or after its call number `at`; the release counts too."""

    def __init__(self, at: int, *, after: bool) -> None:
        self.at, self.after = at, after

    def submit(self, request: Any) -> str:
        return self._dies(lambda: super(Deadly, self).submit(request))

    def release(self, directory: str, native_ids: Any) -> None:
        self._dies(lambda: super(Deadly, self).release(directory, native_ids))

    def _dies(self, act: Callable[[], Any]) -> Any:
        self.at -= 1
        found = act() if self.at or self.after else None
        if self.at == 0:
            os.kill(os.getpid(), signal.SIGKILL)
        return found


def killed_submission(lab: Any, at: int, *, after: bool) -> ExecutionLayout:
    """Submit in a process that dies at its call number `at`; calls 1 to 4 submit, 5 releases."""
    lab.write()
    layout: ExecutionLayout = lab.create()
    child = os.fork()
    if not child:
        try:
            chain.submit(layout, Deadly(at, after=after))
        finally:
            os._exit(1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == -signal.SIGKILL
    return layout


@pytest.mark.parametrize("after", [False, True])
@pytest.mark.parametrize("at", [1, 2, 3, 4, 5])
def test_killed_submitter_leaves_what_resume_completes(lab: Any, at: int, after: bool) -> None:
    lab.flag("wait-a")  # what was released must not have ended before it is looked at
    layout = killed_submission(lab, at, after=after)
    if (at, after) != (5, True):
        time.sleep(0.3)
        assert lab.ran() == []
        assert [orphan.execution for orphan in held_orphans(lab.project)] == ["lab-0001"]
        status = lab.status(layout)
        assert "broke off" in " ".join(map(str, status.warnings))
        assert status.next == "dfh resume lab-0001"
    report = lab.resume(layout)
    assert [name for name, _ in report.submitted] == ["a", "b", "c", "_final"]
    lab.flag("wait-a", is_set=False)
    assert held_orphans(lab.project) == ()
    assert lab.wait(layout) == GOOD
    assert lab.ran() == ["a", "b", "c"]


def test_a_broken_submission_is_its_submitters_to_complete(
    lab: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    layout = killed_submission(lab, 3, after=True)
    (orphan,) = held_orphans(lab.project)
    assert "dfh resume lab-0001" in orphan.notice.next
    written = layout.submitted.read_text()
    # The intent's, and that of its copy of execution.json.
    assert written.count(f'"user":"{user_name()}"') == 2
    layout.submitted.write_text(written.replace(f'"user":"{user_name()}"', '"user":"alice"'))
    (orphan,) = held_orphans(lab.project)
    assert orphan.notice.next == "ask alice, who submitted it, to resume or cancel it"
    assert lab.status(layout).next == "dfh status lab-0001 --watch"
    refused = pytest.raises(SchedulerError, match="until it is over, only alice can")
    with refused:
        lab.resume(layout)
    frozen = layout.execution.read_text()
    whose = frozen.replace(f'"user":"{user_name()}"', '"user":"alice"')
    damaged = written.replace(f'"user":"{user_name()}"', '"user":7')
    unnamed = written.replace(f'"user":"{user_name()}"', '"user":""')  # of an earlier version
    monkeypatch.setattr(os, "geteuid", lambda: 1)  # root could cancel it
    for journal_now in (damaged, unnamed):
        layout.submitted.write_text(journal_now)
        layout.execution.write_text(whose)
        with refused:
            lab.cancel(layout)
    plan = layout.plan.read_bytes()
    layout.plan.chmod(0o644)
    layout.plan.write_bytes(b"{}")  # of a damaged one nobody knows whether it is over
    with refused:
        lab.cancel(layout)
    layout.plan.write_bytes(plan)
    layout.execution.write_text(frozen)
    layout.submitted.write_text(written)
    lab.resume(layout)
    assert lab.wait(layout) == GOOD


@pytest.mark.parametrize("at", [1, 3, 5])
def test_killed_submitter_leaves_what_cancel_removes(lab: Any, at: int) -> None:
    layout = killed_submission(lab, at, after=at != 5)
    lab.cancel(layout)
    lab.status(layout, ask=False)
    assert not layout.job("c").state.exists()  # who only looks writes nothing
    assert lab.scheduler.find(str(layout.root), lab.token(layout)) == {}
    assert held_orphans(lab.project) == ()
    lab.resume(layout)
    assert lab.wait(layout) == GOOD
    assert lab.ran() == ["a", "b", "c"]


def test_lost_jobs_in_between_are_submitted_afresh(lab: Any) -> None:
    layout = killed_submission(lab, 4, after=False)
    ids = journal.read(layout).last.ids
    lab.scheduler.cancel(str(layout.root), [ids["b"]])
    poll(lambda: "b" not in lab.scheduler.find(str(layout.root), lab.token(layout)))
    report = lab.resume(layout)
    assert report.attempt == 2
    assert lab.wait(layout) == GOOD
    assert lab.ran() == ["a", "b", "c"]


def test_job_queued_twice_is_kept_once(lab: Any) -> None:
    layout = killed_submission(lab, 2, after=True)
    from deepforge_hpc.submit.frozen import read_info, read_plan
    from deepforge_hpc.submit.requests import request_for
    from deepforge_hpc.submit.select import Selected

    info = read_info(layout)
    plan = read_plan(layout, info)
    twice = request_for(info, Selected(job=plan.job("b")), 1, ["L1"])
    lab.scheduler.submit(twice)
    lab.resume(layout)
    assert lab.wait(layout) == GOOD
    assert lab.ran() == ["a", "b", "c"]


def test_job_that_a_repeated_command_queued_twice_is_kept_once(lab: Any) -> None:
    class HeardLate(LocalScheduler):
        """Hears the request for b that its caller gave up on, too."""

        def submit(self, request: Any) -> str:
            if request.job == "b":
                super().submit(request)
            return super().submit(request)

    lab.write()
    layout = lab.create()
    chain.submit(layout, HeardLate())
    assert lab.wait(layout) == GOOD
    assert lab.ran() == ["a", "b", "c"]


def test_submission_that_ended_before_its_submitter_could_say_so_is_resumed_at_once(
    lab: Any,
) -> None:
    lab.flag("fail-b")
    layout = killed_submission(lab, 5, after=True)
    assert lab.wait(layout)["b"] == "failed"
    lab.flag("fail-b", is_set=False)
    report = lab.resume(layout)
    assert (report.attempt, [name for name, _ in report.submitted]) == (2, ["b", "c", "_final"])
    assert lab.wait(layout) == GOOD
    assert lab.ran() == ["a", "b", "b", "c"]


def test_job_that_a_refused_submission_left_is_removed_by_resume(lab: Any) -> None:
    from deepforge_hpc.submit.frozen import read_info, read_plan
    from deepforge_hpc.submit.requests import request_for
    from deepforge_hpc.submit.select import Selected

    lab.write()
    layout = lab.create()
    with pytest.raises(SubmitLimitError):
        chain.submit(layout, Refusing())
    info = read_info(layout)
    late = request_for(info, Selected(job=read_plan(layout, info).job("a")), 1, [])
    lab.scheduler.submit(late)
    report = lab.resume(layout)
    assert [name for name, _ in report.submitted] == ["a", "b", "c", "_final"]
    assert lab.wait(layout) == GOOD
    assert lab.ran() == ["a", "b", "c"]


class Refusing(LocalScheduler):
    """Refuses the third job, as a submit limit would."""

    def __init__(self) -> None:
        self.calls = 0

    def submit(self, request: Any) -> str:
        self.calls += 1
        if self.calls == 3:
            message = "The limit of submitted jobs was reached."
            raise SubmitLimitError(message, "Wait.")
        return super().submit(request)


def test_refusal_half_way_leaves_nothing_queued_and_can_be_completed(lab: Any) -> None:
    lab.write()
    layout = lab.create()
    with pytest.raises(SchedulerError, match=r"c: The limit .* Nothing of lab-0001 runs") as caught:
        chain.submit(layout, Refusing())
    assert "dfh resume lab-0001" in caught.value.hint
    assert "jobs queued before it (2) were cancelled" in caught.value.message
    assert lab.scheduler.find(str(layout.root), lab.token(layout)) == {}
    status = lab.status(layout)
    assert {job.state for job in status.jobs} == {"planned"}
    assert "limit" in " ".join(map(str, status.warnings))
    assert held_orphans(lab.project) == ()
    lab.resume(layout)
    assert lab.wait(layout) == GOOD
    assert lab.ran() == ["a", "b", "c"]


def test_interrupt_half_way_leaves_nothing_queued(lab: Any) -> None:
    class Interrupted(LocalScheduler):
        def submit(self, request: Any) -> str:
            if request.job == "b":
                raise KeyboardInterrupt
            return super().submit(request)

    lab.write()
    layout = lab.create()
    with pytest.raises(KeyboardInterrupt, match="Nothing of lab-0001 runs; the jobs queued"):
        chain.submit(layout, Interrupted())
    assert lab.scheduler.find(str(layout.root), lab.token(layout)) == {}
    status = lab.status(layout)
    assert {job.reason for job in status.jobs} == {"Its submission broke off half-way."}
    told = "The submission broke off, nothing of it runs: it was interrupted (Ctrl-C)."
    assert [str(one) for one in status.warnings] == [told]


def test_interrupt_while_the_roots_are_let_go_leaves_nothing_queued(lab: Any) -> None:
    class Interrupted(LocalScheduler):
        def release(self, directory: str, native_ids: Any) -> None:
            raise KeyboardInterrupt

    lab.write()
    layout = lab.create()
    with pytest.raises(KeyboardInterrupt, match="Nothing of lab-0001 runs; the jobs queued"):
        chain.submit(layout, Interrupted())
    assert lab.scheduler.find(str(layout.root), lab.token(layout)) == {}
    lab.resume(layout)
    assert lab.wait(layout) == GOOD
    assert lab.ran() == ["a", "b", "c"]


def test_roots_are_held_until_the_last_job_has_an_id(lab: Any) -> None:
    events: list[str] = []

    class Watching(LocalScheduler):
        def submit(self, request: Any) -> str:
            assert request.hold == (request.job == "a")
            events.append(request.job)
            return super().submit(request)

        def release(self, directory: str, native_ids: Any) -> None:
            events.append(f"release {' '.join(native_ids)}")
            super().release(directory, native_ids)

    lab.write()
    layout = lab.create()
    chain.submit(layout, Watching())
    assert events == ["a", "b", "c", "_final", "release L1"]
    lab.wait(layout)


def test_what_another_shell_has_begun_is_not_begun_again(lab: Any) -> None:
    lab.write()
    lab.flag("wait-a")
    layout = lab.create()
    lab.resume(layout)
    with pytest.raises(UsageError, match="lab-0001 is not over: a"):
        chain.submit(layout, lab.scheduler)
    lab.flag("wait-a", is_set=False)
    assert lab.wait(layout) == GOOD
    assert "Nothing to do" in chain.submit(layout, lab.scheduler).message
    assert lab.ran() == ["a", "b", "c"]


def test_copied_execution_can_be_read_only(lab: Any, tmp_path: Path) -> None:
    layout = lab.submit()
    lab.wait(layout)
    # The engine takes its own files away as it ends, which may be while they are copied.
    ignore = shutil.ignore_patterns("engine.*")
    shutil.copytree(layout.root, tmp_path / "copy", ignore=ignore)
    copy = ExecutionLayout(tmp_path / "copy")
    assert lab.states(copy, ask=False) == GOOD
    assert "copy" in " ".join(map(str, lab.status(copy).warnings))
    for act in (lab.resume, lab.cancel):
        with pytest.raises(UsageError, match="is a copy"):
            act(copy)


def test_edited_plan_is_refused(lab: Any) -> None:
    layout = lab.submit()
    lab.wait(layout)
    layout.plan.chmod(0o644)
    layout.plan.write_text(layout.plan.read_text() + "\n")
    with pytest.raises(LedgerError, match="edited"):
        lab.resume(layout)


def test_edited_code_is_named_and_nothing_is_queued(lab: Any) -> None:
    lab.flag("fail-b")
    layout = lab.submit()
    lab.wait(layout)
    (source,) = layout.code.glob("project/*.py")
    source.chmod(0o644)
    source.write_text(source.read_text() + "# edited\n")
    with pytest.raises(LedgerError, match=rf"code/project/{source.name} \(edited\)") as caught:
        lab.resume(layout)
    assert "dfh submit takes up edits" in caught.value.hint
    last = journal.read(layout).last
    assert last is not None
    assert last.number == 1


def test_killed_engine_is_told_and_resumed(lab: Any) -> None:
    lab.flag("wait-a")
    layout = lab.submit()
    poll(lambda: lab.states(layout)["a"] == "running")
    queue = LocalQueue.of(str(layout.root))
    os.kill(int(json.loads(queue.engine.read_bytes())["pid"]), signal.SIGKILL)
    poll(lambda: not queue.has_engine)
    status = lab.status(layout)
    states = {job.name: job.state for job in status.jobs}
    assert states == {"a": "running", "b": "held", "c": "held", "_final": "held"}
    assert "killed" in status.jobs[1].reason
    assert status.next == "dfh resume lab-0001"
    assert "Released" in lab.resume(layout).message
    lab.flag("wait-a", is_set=False)
    assert lab.wait(layout) == GOOD
    assert lab.ran() == ["a", "b", "c"]


def test_killed_engine_and_job_are_run_again(lab: Any) -> None:
    lab.flag("wait-a")
    layout = lab.submit()
    poll(lambda: lab.ran() == ["a"])
    queue = LocalQueue.of(str(layout.root))
    os.kill(int(json.loads(queue.engine.read_bytes())["pid"]), signal.SIGKILL)
    pid = queue.status()["L1"].pid
    os.killpg(pid, signal.SIGKILL)
    poll(lambda: lab.states(layout)["a"] == "unknown")
    lab.flag("wait-a", is_set=False)
    assert lab.resume(layout).attempt == 2
    assert lab.wait(layout) == GOOD
    assert lab.ran() == ["a", "a", "b", "c"]


def test_status_writes_no_end_in_a_copy_or_while_others_may_still_write(
    lab: Any, tmp_path: Path
) -> None:
    lab.flag("wait-b")
    lab.flag("wait-c")
    layout = lab.submit("diamond")
    said = layout.job("b").state
    poll(lambda: said.exists() and layout.job("c").state.exists())
    native = journal.read(layout).last.ids["b"]
    entry = poll(lambda: LocalQueue.of(str(layout.root)).status().get(native))
    os.killpg(entry.pid, signal.SIGKILL)
    poll(lambda: lab.states(layout)["b"] == "failed")
    assert json.loads(said.read_bytes())["state"] == "running"
    lab.flag("wait-c", is_set=False)
    poll(lambda: not lab.scheduler.find(str(layout.root), lab.token(layout)))
    copy = ExecutionLayout(tmp_path / "copy")
    shutil.copytree(layout.root, copy.root)
    for one, written in ((copy, "running"), (layout, "failed")):
        assert lab.states(one)["b"] == "failed"
        assert json.loads(one.job("b").state.read_bytes())["state"] == written


def test_job_that_ended_after_its_engine_was_killed_keeps_nobody_waiting(lab: Any) -> None:
    lab.flag("wait-a")
    layout = lab.submit()
    poll(lambda: lab.states(layout)["a"] == "running")
    queue = LocalQueue.of(str(layout.root))
    os.kill(int(json.loads(queue.engine.read_bytes())["pid"]), signal.SIGKILL)
    lab.flag("wait-a", is_set=False)
    poll(lambda: layout.job("a").success.exists() and not with_token(f"{queue.uuid}.L1"))
    view = View.of(queue)
    # Who asks for what is live and who asks for states see the same.
    assert view.native(view.jobs[0], "L1").state == "unknown"
    assert "a" not in lab.scheduler.find(str(layout.root), lab.token(layout))
    start = time.monotonic()
    report = lab.resume(layout)
    assert time.monotonic() - start < 30, "it waited for a job that is not there"
    assert [name for name, _ in report.submitted] == ["b", "c", "_final"]
    assert lab.wait(layout) == GOOD
    assert lab.ran() == ["a", "b", "c"]


def test_two_submitters_of_one_execution_cannot_meet(lab: Any) -> None:
    lab.write()
    layout = lab.create()
    with (
        lease(layout.root / ".submitting", "x"),
        pytest.raises(StorageError, match="is being submitted"),
    ):
        chain.submit(layout, lab.scheduler)
    assert journal.read(layout).attempts == ()


def test_what_is_being_submitted_is_not_cancelled_beneath_it(lab: Any) -> None:
    lab.flag("wait-a")
    layout = lab.submit()
    with (
        lease(layout.root / ".submitting", "x"),
        pytest.raises(StorageError, match="is being submitted"),
    ):
        lab.cancel(layout)
    assert lab.scheduler.find(str(layout.root), lab.token(layout)).keys() == GOOD.keys()


class RefusingAccount(LocalScheduler):
    """Refuses each job for a reason that the frozen plan cannot get rid of."""

    def submit(self, request: Any) -> str:
        message = "Invalid account"
        raise SchedulerError(message, "Name another.")


def test_refusal_that_stays_does_not_advise_resume(lab: Any) -> None:
    lab.write()
    layout = lab.create()
    with pytest.raises(SchedulerError, match="none was queued") as caught:
        chain.submit(layout, RefusingAccount())
    assert "dfh resume" not in caught.value.hint
    assert "submit again" in caught.value.hint
