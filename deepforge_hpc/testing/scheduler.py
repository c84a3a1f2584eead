"""What every scheduler adapter must do, as tests: subclass `SchedulerContract` and run pytest.

    class TestPbs(SchedulerContract):
        unknown_id = "999999"

        @pytest.fixture
        def scheduler(self) -> Scheduler:
            return PbsScheduler()

The jobs are small bash scripts; they need the real scheduler. Both halves are tried: that of the
login node, and the one that travels (`Scheduler.job`).
"""

from __future__ import annotations

import dataclasses
import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar
from uuid import uuid4

import pytest

from deepforge_hpc.model.execution import SubmitRequest
from deepforge_hpc.plugins.scheduler import JobScope, Scheduler
from deepforge_hpc.plugins.travel import half_of
from deepforge_hpc.processes import user_name
from deepforge_hpc.runtime.base.codec import encode
from deepforge_hpc.runtime.base.execution import ExecutionInfo
from deepforge_hpc.runtime.base.files import publish_json
from deepforge_hpc.runtime.base.layout import LAYOUT, ExecutionLayout
from deepforge_hpc.runtime.base.native import NativeStatus
from deepforge_hpc.runtime.base.states import State

_UUID = uuid4().hex
"""Of this process alone: an adapter may end every process that carries the execution's token."""
_OPTIONS = (("nodes", "1"), ("no-requeue", ""))
# As the script of every job does, job-templates/base.sh.j2.
_TASK = "task=${DFH_ARRAY_TASK_ID:-none}"
_NEVER_STARTED = {State.NEVER_RAN.value, State.CANCELLED.value}


class SchedulerContract:
    """Behaviour that submission, resumption and status rely on."""

    unknown_id: ClassVar[str]
    """A native id of the right form that stands for no job."""
    deadline_s: ClassVar[float] = 60
    grace_s: ClassVar[float] = 0
    """In place of what the adapter promises, where this scheduler is set up to wait less."""

    @pytest.fixture
    def scheduler(self) -> Scheduler:
        """Return the adapter."""
        raise NotImplementedError

    @pytest.fixture
    def execution(self, tmp_path: Path) -> Path:
        """Return the folder of an execution; its name is what a shell would trip over."""
        folder = tmp_path / "it's an $(execution)"
        ExecutionLayout(folder).jobs.mkdir(parents=True)
        info = ExecutionInfo(
            id="contract-0001",
            uuid=_UUID,
            pipeline="contract",
            pipeline_file="pipeline.yaml",
            site="contract",
            scheduler="contract",
            project=str(tmp_path),
            home=str(folder),
            ledger=str(tmp_path / ".dfh"),
            created="2026-01-01T00:00:00Z",
            user="somebody",
            version="0",
            plan_sha256="sha256:0",
            code_sha256="sha256:0",
        )
        publish_json(ExecutionLayout(folder).execution, encode(info))
        return folder

    @pytest.fixture(autouse=True)
    def _trial(self, scheduler: Scheduler, execution: Path) -> None:
        self.adapter, self.half = scheduler, half_of(scheduler)
        self.root, self.home = execution, str(execution)
        self.layout = ExecutionLayout(execution)

    def request(
        self, job: str, body: str, *, token: str = _UUID[:8], **changes: object
    ) -> SubmitRequest:
        """Return a request for a new script with this body."""
        script = self.layout.script(job)
        script.parent.mkdir(exist_ok=True)
        lines = ["#!/bin/bash", *self.adapter.header(_OPTIONS), _TASK, body, ""]
        script.write_text("\n".join(lines), encoding="utf-8")
        task = "%a" if "array" in changes else None
        request = SubmitRequest(
            job=job,
            script=str(LAYOUT.script(job)),
            arguments=("--uuid", _UUID, "--attempt", "1"),
            directory=self.home,
            name=f"{job}.{token}",
            comment=json.dumps({"job": job, "token": token, "attempt": 1}),
            output=str(LAYOUT.log(job, 1, task)),
        )
        return dataclasses.replace(request, **changes)  # type: ignore[arg-type]

    def submit(self, job: str, body: str, **changes: Any) -> str:
        """Submit a new script with this body and return its id."""
        return self.adapter.submit(self.request(job, body, **changes))

    def wait(
        self,
        native_id: str,
        until: Callable[[NativeStatus], bool] = lambda status: State(status.state).is_final,
    ) -> NativeStatus:
        """Return the first status of a job that fits; the test fails if none does in time."""
        end = time.monotonic() + self.deadline_s
        status = None
        while time.monotonic() < end:
            status = self.adapter.query(self.home, [native_id.partition("_")[0]]).get(native_id)
            if status is not None and until(status):
                return status
            time.sleep(0.2)
        pytest.fail(f"{native_id} is {status} after {self.deadline_s:g} s")

    def until(self, holds: Callable[[], bool]) -> None:
        """Wait for a condition; the test fails if it does not come to hold in time."""
        end = time.monotonic() + self.deadline_s
        while not holds():
            if time.monotonic() > end:
                pytest.fail(f"not within {self.deadline_s:g} s")
            time.sleep(0.1)

    def test_a_script_runs_in_the_execution_with_its_arguments(self) -> None:
        """Working directory, arguments, output file, success."""
        native_id = self.submit("a", 'pwd -P; echo "$*"')
        status = self.wait(native_id)
        assert status.state == State.SUCCEEDED.value, status
        assert status.name == f"a.{_UUID[:8]}"
        assert status.explanation
        printed = self.layout.log("a", 1).read_text(encoding="utf-8")
        assert printed == f"{self.root.resolve()}\n--uuid {_UUID} --attempt 1\n"

    def test_an_exit_code_other_than_0_is_a_failure(self) -> None:
        """The status is failed and says so."""
        native_id = self.submit("a", "exit 3")
        status = self.wait(native_id)
        assert status.state == State.FAILED.value, status
        assert status.explanation

    def test_the_submitting_shell_does_not_leak_into_the_job(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Variables of an outer job would turn the new one's ranks upside down."""
        for name in ("SLURM_HINT", "SBATCH_BEGIN", "PMI_RANK", "PMIX_RANK", "DFH_JOB"):
            monkeypatch.setenv(name, "now+1000")
        native_id = self.submit("a", "env")
        self.wait(native_id)
        printed = self.layout.log("a", 1).read_text(encoding="utf-8")
        assert "now+1000" not in printed

    def test_a_held_job_starts_when_it_is_released(self) -> None:
        """Held roots are what makes a submission all or nothing."""
        held = self.submit("held", "true", hold=True)
        free = self.submit("free", "true")
        self.wait(free)
        assert self.adapter.query(self.home, [held])[held].state == State.HELD.value
        self.adapter.release(self.home, [held])
        assert self.wait(held).state == State.SUCCEEDED.value
        self.adapter.release(self.home, [held])

    def test_a_dependant_runs_after_success(self) -> None:
        """The order of a chain."""
        first = self.submit("a", "sleep 1; echo a >>order")
        second = self.submit("b", "echo b >>order", after=(first,), dependency="afterok")
        assert self.wait(second).state == State.SUCCEEDED.value
        assert (self.root / "order").read_text(encoding="utf-8") == "a\nb\n"

    def test_nothing_runs_or_hangs_behind_a_failure(self) -> None:
        """Child and grandchild end without having run; an `afterany` job runs."""
        failed = self.submit("failed", "exit 1", hold=True)
        child = self.submit("child", "touch ran", after=(failed,))
        grandchild = self.submit("grandchild", "touch ran", after=(child,))
        final = self.submit("_final", "touch closed", after=(grandchild,), dependency="afterany")
        self.adapter.release(self.home, [failed])
        assert self.wait(final).state == State.SUCCEEDED.value
        assert self.wait(child).state in _NEVER_STARTED
        assert self.wait(grandchild).state in _NEVER_STARTED
        assert (self.root / "closed").exists()
        assert not (self.root / "ran").exists()

    def test_each_task_of_an_array_has_a_status_and_a_log(self) -> None:
        """Tasks are told apart as `<id>_<task>`; a subset can be submitted."""
        body = 'echo "task $task"; [ "$task" != 3 ]'
        native_id = self.submit("a", body, array="1,3")
        good = self.wait(f"{native_id}_1")
        bad = self.wait(f"{native_id}_3")
        assert (good.state, bad.state) == (State.SUCCEEDED.value, State.FAILED.value)
        assert set(self.adapter.query(self.home, [native_id])) == {
            f"{native_id}_1",
            f"{native_id}_3",
        }
        printed = self.layout.log("a", 1, 1).read_text(encoding="utf-8")
        assert printed == "task 1\n"

    def test_a_dependant_waits_for_every_task(self) -> None:
        """One failed task is a failed array."""
        good = self.submit("good", "true", array="0-2")
        bad = self.submit("bad", '[ "$task" != 1 ]', array="0-2")
        runs = self.submit("runs", "true", after=(good,))
        never = self.submit("never", "touch ran", after=(good, bad))
        assert self.wait(runs).state == State.SUCCEEDED.value
        assert self.wait(never).state in _NEVER_STARTED
        assert not (self.root / "ran").exists()

    def test_cancel_ends_running_and_waiting_jobs(self) -> None:
        """And does not mind jobs that have ended or that nobody knows."""
        running = self.submit("a", "sleep 60 & wait; touch ran")
        waiting = self.submit("b", "touch ran", after=(running,))
        self.wait(running, lambda status: status.state == State.RUNNING)
        self.adapter.cancel(self.home, [waiting, running, self.unknown_id])
        assert self.wait(running).state == State.CANCELLED.value
        assert self.wait(waiting).state in _NEVER_STARTED
        assert not (self.root / "ran").exists()
        self.adapter.cancel(self.home, [waiting, running])

    def test_one_task_of_an_array_can_be_cancelled(self) -> None:
        """The others run."""
        native_id = self.submit("a", "true", array="0-1", hold=True)
        self.adapter.cancel(self.home, [f"{native_id}_0"])
        self.adapter.release(self.home, [native_id])
        assert self.wait(f"{native_id}_1").state == State.SUCCEEDED.value
        cancelled = self.adapter.query(self.home, [native_id]).get(f"{native_id}_0")
        # Slurm keeps no trace of a task that was cancelled before it had a record of its own.
        assert cancelled is None or cancelled.state in _NEVER_STARTED
        assert not self.layout.log("a", 1, 0).exists()

    def test_an_unknown_job_is_absent(self) -> None:
        """Absence is not success; no ids is no question."""
        known = self.submit("a", "true", hold=True)
        found = self.adapter.query(self.home, [self.unknown_id, known])
        assert set(found) == {known}
        assert self.adapter.query(self.home, [self.unknown_id]) == {}
        assert self.adapter.query(self.home, []) == {}
        self.adapter.cancel(self.home, [known])

    def test_jobs_are_found_by_their_token(self) -> None:
        """A submission that was cut off is recovered so."""
        stranger = "f" * 8
        first = self.submit("a", "true", hold=True)
        array = self.submit("b", "true", hold=True, array="0-4")
        twice = self.submit("a", "true", hold=True)
        other = self.submit("c", "true", hold=True, token=stranger)
        try:
            found = self.adapter.find(self.home, _UUID[:8])
            assert {job: sorted(ids) for job, ids in found.items()} == {
                "a": sorted([first, twice]),
                "b": [array],
            }
        finally:
            self.adapter.cancel(self.home, [first, array, twice, other])
        self.wait(first)
        self.wait(twice)
        self.wait(f"{array}_4")
        assert self.adapter.find(self.home, _UUID[:8]) == {}

    def test_the_jobs_of_an_execution_are_reached_by_its_scope(self) -> None:
        """The cluster that is noted with an id is the one that knows it."""
        held = self.submit("a", "true", hold=True)
        scope = JobScope(cluster=self.adapter.cluster(), users=(user_name(),))
        scoped = self.adapter.scoped(scope)
        assert scoped.cluster() == self.adapter.cluster()
        assert scoped.find(self.home, _UUID[:8]) == {"a": [held]}
        assert scoped.query(self.home, [held])[held].state == State.HELD.value
        scoped.cancel(self.home, [held])
        assert self.wait(held).state in _NEVER_STARTED

    def test_a_dry_run_shows_the_command(self) -> None:
        """Words, not a line; with script and arguments."""
        words = self.adapter.describe(self.request("a", "true"))
        assert all(isinstance(word, str) for word in words)
        assert any(word.endswith("jobs/a/job.sh") for word in words)
        assert words[-4:] == ["--uuid", _UUID, "--attempt", "1"]

    # ---- the half that travels

    def test_a_job_is_told_its_own_id(self) -> None:
        """By its environment; by hand there is none."""
        body = 'env -0 > "jobs/$1/$task.env"'
        one = self.submit("a", body, arguments=("a",))
        two = self.submit("b", body, arguments=("b",), array="1,3")
        for mine, file in ((one, "a/none.env"), (f"{two}_1", "b/1.env"), (f"{two}_3", "b/3.env")):
            self.wait(mine)
            assert self.half.native_id(_environment(self.layout.jobs / file)) == mine
        assert self.half.native_id({}) == ""

    def test_the_last_job_is_told_how_others_ended(self) -> None:
        """What is not known is left out, and is never an end."""
        good = self.submit("good", "true")
        bad = self.submit("bad", "exit 3")
        held = self.submit("held", "true", hold=True)
        for native_id in (good, bad):
            self.wait(native_id)
        ends = {good: State.SUCCEEDED.value, bad: State.FAILED.value}
        for jobs in (self.half.query(self.root, {good, bad}).jobs, self.half.look(self.root)):
            for native_id, job in (jobs or {}).items():
                if native_id == held:
                    assert not State(job.state).is_final, job
                else:
                    assert (native_id, job.state) in ends.items(), job
                    assert job.explanation.endswith("."), job
        self.adapter.cancel(self.home, [held])

    def test_ranks_have_the_time_that_it_promises(self) -> None:
        """SIGKILL comes later after SIGTERM than `grace_s`."""
        grace = self.grace_s or self.half.grace_s
        trap = f"trap 'sleep {grace}; touch in-time; exit 1' TERM"
        body = f"{trap}; touch ready; sleep 60 & wait"
        native_id = self.submit("a", body)
        self.until((self.root / "ready").exists)
        self.adapter.cancel(self.home, [native_id])
        self.until((self.root / "in-time").exists)


def _environment(file: Path) -> dict[str, str]:
    entries = file.read_bytes().decode("utf-8", "surrogateescape").split("\0")
    return dict(entry.split("=", 1) for entry in entries if "=" in entry)
