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
from typing import ClassVar
from uuid import uuid4

import pytest

from deepforge_hpc.model.execution import SubmitRequest
from deepforge_hpc.plugins.scheduler import JobScope, Scheduler
from deepforge_hpc.plugins.travel import half_of
from deepforge_hpc.processes import user_name
from deepforge_hpc.runtime.base.codec import encode
from deepforge_hpc.runtime.base.execution import ExecutionInfo
from deepforge_hpc.runtime.base.files import publish_json
from deepforge_hpc.runtime.base.native import NativeStatus
from deepforge_hpc.runtime.base.states import State
from deepforge_hpc.runtime.schedulers import Scheduler as JobScheduler

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
        (folder / "jobs").mkdir(parents=True)
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
        publish_json(folder / "execution.json", encode(info))
        return folder

    @pytest.fixture(autouse=True)
    def _header(self, scheduler: Scheduler) -> None:
        self.header = scheduler.header(_OPTIONS)

    @pytest.fixture
    def half(self, scheduler: Scheduler) -> JobScheduler:
        """Return the half that travels."""
        return half_of(scheduler)

    def request(
        self, execution: Path, job: str, body: str, *, token: str = _UUID[:8], **changes: object
    ) -> SubmitRequest:
        """Return a request for a new script with this body."""
        folder = execution / "jobs" / job
        folder.mkdir(exist_ok=True)
        lines = ["#!/bin/bash", *self.header, _TASK, body, ""]
        (folder / "job.sh").write_text("\n".join(lines), encoding="utf-8")
        task = ".%a" if "array" in changes else ""
        request = SubmitRequest(
            job=job,
            script=f"jobs/{job}/job.sh",
            arguments=("--uuid", _UUID, "--attempt", "1"),
            directory=str(execution),
            name=f"{job}.{token}",
            comment=json.dumps({"job": job, "token": token, "attempt": 1}),
            output=f"jobs/{job}/out.1{task}.log",
        )
        return dataclasses.replace(request, **changes)  # type: ignore[arg-type]

    def wait(
        self,
        scheduler: Scheduler,
        execution: Path,
        native_id: str,
        until: Callable[[NativeStatus], bool] = lambda status: State(status.state).is_final,
    ) -> NativeStatus:
        """Return the first status of a job that fits; the test fails if none does in time."""
        end = time.monotonic() + self.deadline_s
        status = None
        while time.monotonic() < end:
            status = scheduler.query(str(execution), [native_id.partition("_")[0]]).get(native_id)
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

    def test_a_script_runs_in_the_execution_with_its_arguments(
        self, scheduler: Scheduler, execution: Path
    ) -> None:
        """Working directory, arguments, output file, success."""
        native_id = scheduler.submit(self.request(execution, "a", 'pwd -P; echo "$*"'))
        status = self.wait(scheduler, execution, native_id)
        assert status.state == State.SUCCEEDED.value, status
        assert status.name == f"a.{_UUID[:8]}"
        assert status.explanation
        printed = (execution / "jobs" / "a" / "out.1.log").read_text(encoding="utf-8")
        assert printed == f"{execution.resolve()}\n--uuid {_UUID} --attempt 1\n"

    def test_an_exit_code_other_than_0_is_a_failure(
        self, scheduler: Scheduler, execution: Path
    ) -> None:
        """The status is failed and says so."""
        native_id = scheduler.submit(self.request(execution, "a", "exit 3"))
        status = self.wait(scheduler, execution, native_id)
        assert status.state == State.FAILED.value, status
        assert status.explanation

    def test_the_submitting_shell_does_not_leak_into_the_job(
        self, scheduler: Scheduler, execution: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Variables of an outer job would turn the new one's ranks upside down."""
        for name in ("SLURM_HINT", "SBATCH_BEGIN", "PMI_RANK", "PMIX_RANK", "DFH_JOB"):
            monkeypatch.setenv(name, "now+1000")
        native_id = scheduler.submit(self.request(execution, "a", "env"))
        self.wait(scheduler, execution, native_id)
        printed = (execution / "jobs" / "a" / "out.1.log").read_text(encoding="utf-8")
        assert "now+1000" not in printed

    def test_a_held_job_starts_when_it_is_released(
        self, scheduler: Scheduler, execution: Path
    ) -> None:
        """Held roots are what makes a submission all or nothing."""
        held = scheduler.submit(self.request(execution, "held", "true", hold=True))
        free = scheduler.submit(self.request(execution, "free", "true"))
        self.wait(scheduler, execution, free)
        assert scheduler.query(str(execution), [held])[held].state == State.HELD.value
        scheduler.release(str(execution), [held])
        assert self.wait(scheduler, execution, held).state == State.SUCCEEDED.value
        scheduler.release(str(execution), [held])

    def test_a_dependant_runs_after_success(self, scheduler: Scheduler, execution: Path) -> None:
        """The order of a chain."""
        first = scheduler.submit(self.request(execution, "a", "sleep 1; echo a >>order"))
        second = scheduler.submit(
            self.request(execution, "b", "echo b >>order", after=(first,), dependency="afterok")
        )
        assert self.wait(scheduler, execution, second).state == State.SUCCEEDED.value
        assert (execution / "order").read_text(encoding="utf-8") == "a\nb\n"

    def test_nothing_runs_or_hangs_behind_a_failure(
        self, scheduler: Scheduler, execution: Path
    ) -> None:
        """Child and grandchild end without having run; an `afterany` job runs."""
        failed = scheduler.submit(self.request(execution, "failed", "exit 1", hold=True))
        child = scheduler.submit(self.request(execution, "child", "touch ran", after=(failed,)))
        grandchild = scheduler.submit(
            self.request(execution, "grandchild", "touch ran", after=(child,))
        )
        final = scheduler.submit(
            self.request(
                execution, "_final", "touch closed", after=(grandchild,), dependency="afterany"
            )
        )
        scheduler.release(str(execution), [failed])
        assert self.wait(scheduler, execution, final).state == State.SUCCEEDED.value
        assert self.wait(scheduler, execution, child).state in _NEVER_STARTED
        assert self.wait(scheduler, execution, grandchild).state in _NEVER_STARTED
        assert (execution / "closed").exists()
        assert not (execution / "ran").exists()

    def test_each_task_of_an_array_has_a_status_and_a_log(
        self, scheduler: Scheduler, execution: Path
    ) -> None:
        """Tasks are told apart as `<id>_<task>`; a subset can be submitted."""
        body = 'echo "task $task"; [ "$task" != 3 ]'
        native_id = scheduler.submit(self.request(execution, "a", body, array="1,3"))
        good = self.wait(scheduler, execution, f"{native_id}_1")
        bad = self.wait(scheduler, execution, f"{native_id}_3")
        assert (good.state, bad.state) == (State.SUCCEEDED.value, State.FAILED.value)
        assert set(scheduler.query(str(execution), [native_id])) == {
            f"{native_id}_1",
            f"{native_id}_3",
        }
        printed = (execution / "jobs" / "a" / "out.1.1.log").read_text(encoding="utf-8")
        assert printed == "task 1\n"

    def test_a_dependant_waits_for_every_task(self, scheduler: Scheduler, execution: Path) -> None:
        """One failed task is a failed array."""
        good = scheduler.submit(self.request(execution, "good", "true", array="0-2"))
        bad = scheduler.submit(self.request(execution, "bad", '[ "$task" != 1 ]', array="0-2"))
        runs = scheduler.submit(self.request(execution, "runs", "true", after=(good,)))
        never = scheduler.submit(self.request(execution, "never", "touch ran", after=(good, bad)))
        assert self.wait(scheduler, execution, runs).state == State.SUCCEEDED.value
        assert self.wait(scheduler, execution, never).state in _NEVER_STARTED
        assert not (execution / "ran").exists()

    def test_cancel_ends_running_and_waiting_jobs(
        self, scheduler: Scheduler, execution: Path
    ) -> None:
        """And does not mind jobs that have ended or that nobody knows."""
        running = scheduler.submit(self.request(execution, "a", "sleep 60 & wait; touch ran"))
        waiting = scheduler.submit(self.request(execution, "b", "touch ran", after=(running,)))
        self.wait(scheduler, execution, running, lambda status: status.state == "running")
        scheduler.cancel(str(execution), [waiting, running, self.unknown_id])
        assert self.wait(scheduler, execution, running).state == State.CANCELLED.value
        assert self.wait(scheduler, execution, waiting).state in _NEVER_STARTED
        assert not (execution / "ran").exists()
        scheduler.cancel(str(execution), [waiting, running])

    def test_one_task_of_an_array_can_be_cancelled(
        self, scheduler: Scheduler, execution: Path
    ) -> None:
        """The others run."""
        native_id = scheduler.submit(self.request(execution, "a", "true", array="0-1", hold=True))
        scheduler.cancel(str(execution), [f"{native_id}_0"])
        scheduler.release(str(execution), [native_id])
        assert self.wait(scheduler, execution, f"{native_id}_1").state == State.SUCCEEDED.value
        cancelled = scheduler.query(str(execution), [native_id]).get(f"{native_id}_0")
        # Slurm keeps no trace of a task that was cancelled before it had a record of its own.
        assert cancelled is None or cancelled.state in _NEVER_STARTED
        assert not (execution / "jobs" / "a" / "out.1.0.log").exists()

    def test_an_unknown_job_is_absent(self, scheduler: Scheduler, execution: Path) -> None:
        """Absence is not success; no ids is no question."""
        known = scheduler.submit(self.request(execution, "a", "true", hold=True))
        found = scheduler.query(str(execution), [self.unknown_id, known])
        assert set(found) == {known}
        assert scheduler.query(str(execution), [self.unknown_id]) == {}
        assert scheduler.query(str(execution), []) == {}
        scheduler.cancel(str(execution), [known])

    def test_jobs_are_found_by_their_token(self, scheduler: Scheduler, execution: Path) -> None:
        """A submission that was cut off is recovered so."""
        stranger = "f" * 8
        first = scheduler.submit(self.request(execution, "a", "true", hold=True))
        array = scheduler.submit(self.request(execution, "b", "true", hold=True, array="0-4"))
        twice = scheduler.submit(self.request(execution, "a", "true", hold=True))
        other = scheduler.submit(self.request(execution, "c", "true", hold=True, token=stranger))
        try:
            found = scheduler.find(str(execution), _UUID[:8])
            assert {job: sorted(ids) for job, ids in found.items()} == {
                "a": sorted([first, twice]),
                "b": [array],
            }
        finally:
            scheduler.cancel(str(execution), [first, array, twice, other])
        self.wait(scheduler, execution, first)
        self.wait(scheduler, execution, twice)
        self.wait(scheduler, execution, f"{array}_4")
        assert scheduler.find(str(execution), _UUID[:8]) == {}

    def test_the_jobs_of_an_execution_are_reached_by_its_scope(
        self, scheduler: Scheduler, execution: Path
    ) -> None:
        """The cluster that is noted with an id is the one that knows it."""
        home = str(execution)
        held = scheduler.submit(self.request(execution, "a", "true", hold=True))
        scope = JobScope(cluster=scheduler.cluster(), users=(user_name(),))
        scoped = scheduler.scoped(scope)
        assert scoped.cluster() == scheduler.cluster()
        assert scoped.find(home, _UUID[:8]) == {"a": [held]}
        assert scoped.query(home, [held])[held].state == State.HELD.value
        scoped.cancel(home, [held])
        assert self.wait(scheduler, execution, held).state in _NEVER_STARTED

    def test_a_dry_run_shows_the_command(self, scheduler: Scheduler, execution: Path) -> None:
        """Words, not a line; with script and arguments."""
        words = scheduler.describe(self.request(execution, "a", "true"))
        assert all(isinstance(word, str) for word in words)
        assert any(word.endswith("jobs/a/job.sh") for word in words)
        assert words[-4:] == ["--uuid", _UUID, "--attempt", "1"]

    # ---- the half that travels

    def test_a_job_is_told_its_own_id(
        self, scheduler: Scheduler, half: JobScheduler, execution: Path
    ) -> None:
        """By its environment; by hand there is none."""
        body = 'env -0 > "jobs/$1/$task.env"'
        one = scheduler.submit(self.request(execution, "a", body, arguments=("a",)))
        two = scheduler.submit(self.request(execution, "b", body, arguments=("b",), array="1,3"))
        for mine, file in (
            (one, "a/none.env"),
            (f"{two}_1", "b/1.env"),
            (f"{two}_3", "b/3.env"),
        ):
            self.wait(scheduler, execution, mine)
            assert half.native_id(_environment(execution / "jobs" / file)) == mine
        assert half.native_id({}) == ""

    def test_the_last_job_is_told_how_others_ended(
        self, scheduler: Scheduler, half: JobScheduler, execution: Path
    ) -> None:
        """What is not known is left out, and is never an end."""
        good = scheduler.submit(self.request(execution, "good", "true"))
        bad = scheduler.submit(self.request(execution, "bad", "exit 3"))
        held = scheduler.submit(self.request(execution, "held", "true", hold=True))
        for native_id in (good, bad):
            self.wait(scheduler, execution, native_id)
        ends = {good: State.SUCCEEDED.value, bad: State.FAILED.value}
        for jobs in (half.query(execution, {good, bad}).jobs, half.look(execution)):
            for native_id, job in (jobs or {}).items():
                if native_id == held:
                    assert not State(job.state).is_final, job
                else:
                    assert (native_id, job.state) in ends.items(), job
                    assert job.explanation.endswith("."), job
        scheduler.cancel(str(execution), [held])

    def test_ranks_have_the_time_that_it_promises(
        self, scheduler: Scheduler, half: JobScheduler, execution: Path
    ) -> None:
        """SIGKILL comes later after SIGTERM than `grace_s`."""
        grace = self.grace_s or half.grace_s
        trap = f"trap 'sleep {grace}; touch in-time; exit 1' TERM"
        body = f"{trap}; touch ready; sleep 60 & wait"
        native_id = scheduler.submit(self.request(execution, "a", body))
        self.until((execution / "ready").exists)
        scheduler.cancel(str(execution), [native_id])
        self.until((execution / "in-time").exists)


def _environment(file: Path) -> dict[str, str]:
    entries = file.read_bytes().decode("utf-8", "surrogateescape").split("\0")
    return dict(entry.split("=", 1) for entry in entries if "=" in entry)
