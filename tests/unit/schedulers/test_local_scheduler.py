"""The local adapter and its engine, with real processes."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from uuid import uuid4

import pytest

from deepforge_hpc.errors import SchedulerError
from deepforge_hpc.model.execution import SubmitRequest
from deepforge_hpc.processes import start_time
from deepforge_hpc.runtime.base.codec import encode
from deepforge_hpc.runtime.base.execution import ExecutionInfo
from deepforge_hpc.runtime.base.files import canonical_json
from deepforge_hpc.runtime.base.layout import ExecutionLayout, JobLayout
from deepforge_hpc.runtime.base.local_status import LocalStatus
from deepforge_hpc.runtime.base.native import WAITS, NativeStatus
from deepforge_hpc.runtime.base.states import State
from deepforge_hpc.runtime.schedulers.local import Local
from deepforge_hpc.runtime.state import marker
from deepforge_hpc.schedulers import local_engine
from deepforge_hpc.schedulers.local import LocalScheduler
from deepforge_hpc.schedulers.local_cores import Cores, shared_file
from deepforge_hpc.schedulers.local_process import Process, with_token
from deepforge_hpc.schedulers.local_queue import LocalQueue, QueuedJob
from deepforge_hpc.schedulers.local_tasks import Task

# Of this process alone: the engine kills whatever on the machine carries its token, also the jobs of
# the same tests beside these.
UUID = uuid4().hex
TOKEN = UUID[:8]
FINAL = {"succeeded", "failed", "cancelled", "interrupted", "never_ran", "upstream_failed"}


def wait_for(ask: Callable[[], Any], limit_s: float = 20.0) -> Any:
    deadline = time.monotonic() + limit_s
    while not (answer := ask()):
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.03)
    return answer


class Bench:
    """An execution folder with hand-made scripts."""

    def __init__(self, root: Path, uuid: str = UUID) -> None:
        self.root = root
        self.scheduler = LocalScheduler()
        self.queue = LocalQueue.of(str(root))
        (root / "execution.json").write_bytes(
            canonical_json(encode(ExecutionInfo.stand_in(uuid=uuid)))
        )

    def submit(self, job: str, body: str, *after: str, **options: object) -> str:
        script = self.root / "jobs" / job / "job.sh"
        script.parent.mkdir(parents=True, exist_ok=True)
        script.write_text(body + "\n")
        output = f"jobs/{job}/out.1.%a.log" if options.get("array") else f"jobs/{job}/out.1.log"
        request = SubmitRequest(
            job=job,
            script=f"jobs/{job}/job.sh",
            arguments=("--uuid", UUID),
            directory=str(self.root),
            name=f"{job}.{TOKEN}",
            comment="{}",
            output=output,
            after=after,
            **options,
        )
        return self.scheduler.submit(request)

    def release(self, *ids: str) -> None:
        self.scheduler.release(str(self.root), ids)

    def cancel(self, *ids: str) -> None:
        self.scheduler.cancel(str(self.root), ids)

    def query(self, *ids: str) -> dict[str, NativeStatus]:
        return self.scheduler.query(str(self.root), ids)

    def state(self, name: str) -> str:
        return self.query(name)[name].state

    def until(self, name: str, *states: str) -> NativeStatus:
        wanted = set(states) or FINAL
        return wait_for(lambda: (s := self.query(name)[name]).state in wanted and s)

    def engine(self) -> int:
        return int(wait_for(self._engine))

    def _engine(self) -> int:
        try:
            return int(json.loads(self.queue.engine.read_text())["pid"])
        except FileNotFoundError:
            return 0

    def words(self, file: str = "ran") -> list[str]:
        path = self.root / file
        return path.read_text().split() if path.exists() else []

    def close(self) -> None:
        ids = [job.id for job in self.queue.jobs()[0]]
        if ids:
            self.cancel(*ids)
        wait_for(lambda: not self.queue.has_engine)


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    bench = Bench(tmp_path)
    yield bench
    bench.close()


def test_job_runs_in_the_execution_with_its_arguments_and_log(bench: Bench) -> None:
    name = bench.submit("train", 'echo "$PWD $1 $2"; echo to-stderr >&2')
    assert bench.until(name).state == "succeeded"
    log = (bench.root / "jobs/train/out.1.log").read_text()
    assert log == f"{bench.root} --uuid {UUID}\nto-stderr\n"


def test_engine_ends_when_nothing_is_left_and_wakes_for_new_jobs(bench: Bench) -> None:
    first = bench.submit("a", "echo a >> ran")
    bench.until(first)
    wait_for(lambda: not bench.queue.has_engine)
    second = bench.submit("b", "echo b >> ran", first)
    assert bench.until(second).state == "succeeded"
    assert (first, second) == ("L1", "L2")
    assert bench.words() == ["a", "b"]


def test_held_job_starts_only_when_released_and_needs_no_process_before(bench: Bench) -> None:
    root = bench.submit("a", "echo a >> ran", hold=True)
    leaf = bench.submit("b", "echo b >> ran", root)
    assert not bench.queue.has_engine
    assert bench.state(root) == "held"
    assert bench.state(leaf) == "pending"
    bench.release(root)
    assert bench.until(leaf).state == "succeeded"
    assert bench.words() == ["a", "b"]
    bench.release(root)
    assert bench.words() == ["a", "b"]


def test_failure_cancels_all_below_but_not_what_waits_for_any_end(bench: Bench) -> None:
    root = bench.submit("a", "exit 3", hold=True)
    child = bench.submit("b", "echo b >> ran", root)
    grandchild = bench.submit("c", "echo c >> ran", child)
    final = bench.submit("z", "echo z >> ran", grandchild, dependency="afterany")
    bench.release(root)
    assert bench.until(final).state == "succeeded"
    status = bench.query(root, child, grandchild)
    assert status[root].state == "failed"
    assert status[root].exit_code == "3:0"
    assert [status[n].raw_state for n in (child, grandchild)] == ["CANCELLED"] * 2
    assert [status[n].raw_reason for n in (child, grandchild)] == ["DependencyNeverSatisfied"] * 2
    assert [status[n].state for n in (child, grandchild)] == ["never_ran"] * 2
    assert bench.words() == ["z"]


def test_dependency_on_an_unknown_or_failed_job_is_never_satisfied(bench: Bench) -> None:
    assert bench.until(bench.submit("a", "echo a >> ran", "L99")).state == "never_ran"
    failed = bench.submit("b", "exit 1")
    bench.until(failed)
    assert bench.until(bench.submit("c", "echo c >> ran", failed)).state == "never_ran"
    assert bench.words() == []


def test_array_tasks_run_with_their_index_and_decide_together(bench: Bench) -> None:
    array = bench.submit(
        "a", 'echo "$DFH_ARRAY_TASK_ID" >> ran; test "$DFH_ARRAY_TASK_ID" != 5', array="0-2,5"
    )
    child = bench.submit("b", "true", array)
    assert bench.until(child).state == "never_ran"
    states = {name: status.state for name, status in bench.query(array).items()}
    assert states == {
        "L1_0": "succeeded",
        "L1_1": "succeeded",
        "L1_2": "succeeded",
        "L1_5": "failed",
    }
    assert sorted(bench.words()) == ["0", "1", "2", "5"]
    assert (bench.root / "jobs/a/out.1.5.log").exists()


def test_cores_are_not_oversubscribed_and_a_too_large_job_runs_alone(bench: Bench) -> None:
    body = """
    mkdir -p on; touch on/$DFH_NATIVE_ID; ls on | wc -l >> ran
    sleep 0.15; rm on/$DFH_NATIVE_ID"""
    cores = len(os.sched_getaffinity(0))
    for number in range(cores + 2):
        bench.submit(f"small{number}", body)
    huge = bench.submit("huge", body.replace("ran", "huge"), cores=64 * cores)
    bench.until(huge)
    assert max(int(count) for count in bench.words()) <= cores
    assert bench.words("huge") == ["1"]


@pytest.fixture
def other(tmp_path: Path) -> Iterator[Bench]:
    """Another project on the same machine."""
    (tmp_path / "other").mkdir()
    bench = Bench(tmp_path / "other", uuid4().hex)
    yield bench
    bench.close()


def test_two_projects_together_do_not_use_more_cores_than_there_are(
    bench: Bench, other: Bench
) -> None:
    body = f"""
    mkdir -p {bench.root}/on; cd {bench.root}; touch on/$PPID-$DFH_NATIVE_ID; ls on | wc -l >> ran
    sleep 0.3; rm on/$PPID-$DFH_NATIVE_ID"""
    cores = len(os.sched_getaffinity(0))
    ends = [
        (one, one.submit(f"small{number}", body))
        for number in range(cores + 2)
        for one in (bench, other)
    ]
    for one, name in ends:
        assert one.until(name).state == "succeeded"
    assert max(int(count) for count in bench.words()) <= cores


def may_take(cores: Cores) -> bool:
    handle = cores.take(1)
    if handle is not None:
        os.close(handle)
    return handle is not None


def test_large_job_has_its_turn_before_small_ones_of_another_project_that_came_later(
    bench: Bench, other: Bench
) -> None:
    cores = len(os.sched_getaffinity(0))
    wait = "while [ ! -e go ]; do sleep 0.05; done"
    first = bench.submit("a", wait)
    bench.until(first, "running")
    large = other.submit("large", f"echo large >> {bench.root}/ran", cores=cores)
    third = Cores(Path(os.environ["DFH_LOCAL_CORES"], "cores"))
    wait_for(lambda: not may_take(third))
    third.stop_waiting()
    small = [bench.submit("b", "echo small >> ran") for _ in range(3)]
    wait_for(lambda: set(small) <= set(bench.queue.status()))
    assert {bench.state(name) for name in small} == {"pending"}
    (bench.root / "go").touch()
    bench.until(small[-1])
    other.until(large)
    assert bench.words() == ["large", "small", "small", "small"]


def test_job_keeps_its_cores_when_its_engine_is_killed(bench: Bench, other: Bench) -> None:
    cores = len(os.sched_getaffinity(0))
    running = bench.submit("a", "while [ ! -e go ]; do sleep 0.05; done", cores=cores)
    bench.until(running, "running")
    os.kill(bench.engine(), signal.SIGKILL)
    wait_for(lambda: not bench.queue.has_engine)
    waiting = other.submit("b", "echo b >> ran")
    wait_for(other.queue.status)  # it is written once the engine has tried
    assert other.state(waiting) == "pending"
    (bench.root / "go").touch()
    assert other.until(waiting).state == "succeeded"


@pytest.mark.parametrize("planted", ["a link", "a file", "open to others"])
def test_cores_are_shared_by_a_folder_of_ours_alone(
    bench: Bench, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, planted: str
) -> None:
    folder, elsewhere = tmp_path / "cores", tmp_path / "elsewhere"
    elsewhere.mkdir(mode=0o700)
    if planted == "a link":
        folder.symlink_to(elsewhere)
    elif planted == "a file":
        folder.touch()
    else:
        folder.mkdir()
        folder.chmod(0o770)
    monkeypatch.setenv("DFH_LOCAL_CORES", str(folder))
    running = bench.submit("a", "while [ ! -e go ]; do sleep 0.05; done")
    bench.until(running, "running")
    assert f"{folder}: not a folder of ours alone" in bench.queue.log.read_text()
    assert list(elsewhere.iterdir()) == []
    (bench.root / "go").touch()
    bench.until(running)


def test_cores_are_not_shared_by_a_folder_of_another_user(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert shared_file(tmp_path / "cores") == tmp_path / "cores" / "cores"
    monkeypatch.setattr(os, "getuid", lambda: 1 + tmp_path.stat().st_uid)
    assert shared_file(tmp_path / "cores") is None
    assert "not a folder of ours alone" in capsys.readouterr().err


def test_cores_of_a_job_are_free_when_it_has_ended_whatever_started_after_it(bench: Bench) -> None:
    cores = len(os.sched_getaffinity(0))
    first = bench.submit("a", "while [ ! -e first ]; do sleep 0.05; done")
    bench.until(first, "running")
    later = bench.submit("b", "while [ ! -e go ]; do sleep 0.05; done", cores=max(1, cores - 1))
    bench.until(later, "running" if cores > 1 else "pending")
    (bench.root / "first").touch()
    bench.until(first)
    bench.until(later, "running")
    if cores > 1:
        assert bench.until(bench.submit("c", "true")).state == "succeeded"
    (bench.root / "go").touch()
    bench.until(later)


def test_engine_that_a_job_started_does_not_wait_for_the_cores_of_that_job(
    bench: Bench, other: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    cores = len(os.sched_getaffinity(0))
    outer = bench.submit("a", "while [ ! -e go ]; do sleep 0.05; done", cores=cores)
    bench.until(outer, "running")
    monkeypatch.setenv("DFH_LOCAL_TOKEN", "as in a job")
    assert other.until(other.submit("b", "true", cores=cores)).state == "succeeded"
    (bench.root / "go").touch()
    bench.until(outer)


def test_job_that_could_start_says_that_it_waits_for_cores(bench: Bench) -> None:
    cores = len(os.sched_getaffinity(0))
    wait = "while [ ! -e go ]; do sleep 0.05; done"
    first, second = (bench.submit(name, wait, cores=cores) for name in "ab")
    bench.until(first, "running")
    third = bench.submit("c", wait, second)
    waiting = wait_for(lambda: (found := bench.query(second)[second]).raw_reason and found)
    asked = f"{cores} cores" if cores > 1 else "1 core"
    assert waiting.explanation == (
        f"It waits for {asked} of this machine, and for what was ready before it."
    )
    assert bench.query(third)[third].raw_reason == "Dependency"
    assert bench.query(third)[third].dependency == WAITS
    told = wait_for(lambda: (Local().look(bench.root) or {}).get(third))
    assert told.dependency == WAITS
    (bench.root / "go").touch()
    bench.until(third)


def test_environment_of_the_submitting_job_does_not_leak(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("SLURM_JOB_ID", "SLURMD_NODENAME", "SBATCH_ACCOUNT", "PMI_RANK", "PMIX_RANK",
                 "OMPI_COMM_WORLD_RANK", "RANK", "DFH_TASK"):  # fmt: skip
        monkeypatch.setenv(name, "7")
    monkeypatch.setenv("OMPI_MCA_btl", "self,tcp")
    bench.until(bench.submit("a", "env"))
    names = {
        line.partition("=")[0] for line in (bench.root / "jobs/a/out.1.log").read_text().split("\n")
    }
    assert "OMPI_MCA_btl" in names
    leaked = {n for n in names if n.startswith(("SLURM", "SBATCH", "PMI", "OMPI_COMM", "RANK"))}
    assert not leaked
    assert "DFH_TASK" not in names


def test_cancel_ends_the_whole_process_group_and_pending_jobs(bench: Bench) -> None:
    running = bench.submit("a", "sleep 300 & echo $! >> pids; sleep 300 & echo $! >> pids; wait")
    pending = bench.submit("b", "echo b >> ran", running)
    pids = wait_for(lambda: len(bench.words("pids")) == 2 and bench.words("pids"))
    bench.cancel(running, pending)
    assert bench.until(running).state == "cancelled"
    assert bench.until(pending).raw_state == "CANCELLED"
    wait_for(lambda: not any(start_time(int(pid)) for pid in pids))
    assert bench.words() == []


def test_cancel_of_one_array_task_leaves_the_others(bench: Bench) -> None:
    array = bench.submit("a", "if test $DFH_ARRAY_TASK_ID = 0; then sleep 300; fi", array="0-1")
    bench.until("L1_0", "running")
    bench.cancel("L1_0")
    assert bench.until("L1_0").state == "cancelled"
    assert bench.until("L1_1").state == "succeeded"
    assert array == "L1"


def start_engine(bench: Bench, *options: str) -> None:
    argv = [sys.executable, "-m", "deepforge_hpc.schedulers.local_engine", str(bench.root)]
    subprocess.run([*argv, *options], check=True, timeout=20)


def test_process_that_ignores_sigterm_is_killed_with_all_that_left_its_group(bench: Bench) -> None:
    body = """
    trap 'echo term >> ran' TERM
    setsid bash -c 'trap "" TERM; sleep 300' & echo $! >> pids
    while :; do sleep 0.05; done"""
    name = bench.submit("a", body, hold=True)
    with bench.queue.locked():
        bench.queue.command("release", [name])
    start_engine(bench, "--grace", "0.5")
    (stray,) = wait_for(lambda: bench.words("pids"))
    wait_for(lambda: with_token(f"{UUID}.{name}"))
    bench.cancel(name)
    assert bench.until(name).state == "cancelled"
    assert "term" in bench.words()
    wait_for(lambda: not start_time(int(stray)))
    assert not with_token(f"{UUID}.{name}")


@pytest.mark.parametrize("trap", ["", "trap '' TERM; "])
def test_what_an_ended_job_left_in_a_session_of_its_own_ends_too(bench: Bench, trap: str) -> None:
    name = bench.submit(
        "a",
        f"setsid bash -c 'echo $$ >> pids; {trap}while :; do sleep 0.05; done' &\n"
        "while ! test -e pids; do sleep 0.05; done",
    )
    assert bench.until(name).state == "succeeded"
    (stray,) = bench.words("pids")
    wait_for(lambda: not start_time(int(stray)))
    wait_for(lambda: not with_token(f"{UUID}.{name}"))


def test_what_an_ended_job_left_in_its_group_ends_whatever_its_environment(bench: Bench) -> None:
    body = "while grep -q DFH_LOCAL_TOKEN /proc/$!/environ; do sleep 0.02; done; echo $! >> pids"
    name = bench.submit("a", f"env -i sleep 300 &\n{body}")
    assert bench.until(name).state == "succeeded"
    (left,) = bench.words("pids")
    wait_for(lambda: not start_time(int(left)))


def test_what_a_lost_job_left_has_ended_before_another_job_starts(bench: Bench) -> None:
    running = bench.submit(
        "a",
        "setsid bash -c 'echo $$ >> pids; trap \"\" TERM; while :; do sleep 0.05; done' &\n"
        "while :; do sleep 0.05; done",
    )
    wait_for(lambda: bench.words("pids"))
    bench.until(running, "running")
    pid = bench.queue.status()[running].pid
    os.kill(bench.engine(), signal.SIGKILL)
    os.killpg(pid, signal.SIGKILL)
    wait_for(lambda: bench.state(running) == "unknown")
    (stray,) = bench.words("pids")
    assert start_time(int(stray))
    body = f"grep -q . /proc/{stray}/cmdline && echo together >> ran || echo alone >> ran"
    again = bench.submit("b", body, hold=True)
    bench.release(again)
    bench.until(again)
    assert bench.words() == ["alone"]


@pytest.mark.skipif(os.getuid() != 0, reason="only root can start a process of another user")
def test_process_of_another_user_is_never_ours_whatever_it_carries() -> None:
    token = f"{UUID}.L1"
    child = subprocess.Popen(["sleep", "300"], env={"DFH_LOCAL_TOKEN": token}, user=65534)
    try:
        wait_for(lambda: Path(f"/proc/{child.pid}/cmdline").read_bytes() == b"sleep\x00300\x00")
        assert not Process(child.pid, start_time(child.pid), token).signal(9, group=False)
        assert with_token(token) == []
        assert child.poll() is None
    finally:
        child.kill()
        child.wait()


def test_walltime_warns_with_usr1_then_terms(bench: Bench) -> None:
    body = """
    trap 'echo usr1 >> ran' USR1; trap 'echo term >> ran; exit 75' TERM
    while :; do sleep 0.05; done"""
    name = bench.submit("a", body, hold=True, time_s=1)
    child = bench.submit("b", "echo b >> ran", name)
    with bench.queue.locked():
        bench.queue.command("release", [name])
    start_engine(bench, "--warning", "0.5")
    status = bench.until(name)
    assert (status.state, status.raw_state) == ("interrupted", "TIMEOUT")
    assert bench.words() == ["usr1", "term"]
    assert bench.until(child).state == "never_ran"


def test_jobs_survive_the_death_of_the_submitter_and_its_terminal(bench: Bench) -> None:
    script = bench.root / "jobs/a/job.sh"
    script.parent.mkdir(parents=True)
    script.write_text("sleep 0.5; echo a >> ran\n")
    code = f"""
import time
from deepforge_hpc.model.execution import SubmitRequest
from deepforge_hpc.schedulers.local import LocalScheduler
LocalScheduler().submit(SubmitRequest(
    job="a", script="jobs/a/job.sh", arguments=(), directory={str(bench.root)!r},
    name="a.{TOKEN}", comment="", output="jobs/a/out.1.log"))
print("queued", flush=True)
time.sleep(300)
"""
    program = bench.root / "submitter.py"
    program.write_text(code)
    # `script` gives the submitter a terminal of its own, and takes it away when it is killed.
    shell = subprocess.Popen(
        ["script", "-qec", f"{sys.executable} {program}", "/dev/null"],
        stdout=subprocess.PIPE,
        stdin=subprocess.DEVNULL,
        start_new_session=True,
    )
    assert shell.stdout is not None
    first = shell.stdout.readline()
    shell.stdout.close()
    os.killpg(shell.pid, signal.SIGKILL)
    shell.wait()
    assert b"queued" in first
    assert bench.until("L1").state == "succeeded"
    assert bench.words() == ["a"]


def test_killed_engine_is_shown_and_a_new_one_goes_on_without_running_a_job_twice(
    bench: Bench,
) -> None:
    running = bench.submit("a", "echo a >> ran; while ! test -e go; do sleep 0.05; done; echo end")
    child = bench.submit("b", "echo b >> ran", running, dependency="afterany")
    wait_for(lambda: bench.words() == ["a"])
    bench.until(running, "running")
    os.kill(bench.engine(), signal.SIGKILL)
    wait_for(lambda: not bench.queue.has_engine)
    assert bench.state(running) == "running"
    stopped = bench.query(child)[child]
    assert (stopped.state, stopped.raw_reason) == ("held", "EngineStopped")
    assert "dfh resume" in stopped.explanation
    bench.release(child)
    bench.until(child, "pending")
    (bench.root / "go").touch()
    assert bench.until(child).state == "succeeded"
    assert bench.words() == ["a", "b"]
    # Nobody saw its exit code, and it left no marker.
    assert bench.query(running)[running].raw_state == "NODE_FAIL"
    assert bench.words("jobs/a/out.1.log") == ["end"]


@pytest.mark.parametrize("kind", ["sound", "damaged", "of another plan"])
def test_success_marker_speaks_for_a_job_that_ended_without_an_engine(
    bench: Bench, kind: str
) -> None:
    (bench.root / "plan.json").write_text(
        '{"schema": "dfh/plan/1", "jobs": [{"name": "a", "plan_key": "k"}]}'
    )
    key = "k" if kind == "sound" else "other"
    folder = JobLayout(bench.root)
    marker.write(folder, marker.Marker("a", None, 1, key, "", {}))
    if kind == "damaged":
        folder.success.write_text("{}")
    running = bench.submit(
        "a", "while ! test -e go; do sleep 0.05; done; mv success.json jobs/a/success.json"
    )
    child = bench.submit("b", "echo b >> ran", running)
    bench.until(running, "running")
    pid = bench.queue.status()[running].pid
    os.kill(bench.engine(), signal.SIGKILL)
    (bench.root / "go").touch()
    wait_for(lambda: not start_time(pid))
    assert bench.query(running)[running].state == "unknown"
    bench.release(running, child)
    is_sound = kind == "sound"
    assert bench.until(child).state == ("succeeded" if is_sound else "never_ran")
    said = bench.query(running)[running]
    assert said.raw_state == ("COMPLETED" if is_sound else "NODE_FAIL")
    assert said.ended_by == ("" if is_sound else "node")
    assert (Local().look(bench.root) or {})[running] == said._replace(name="")


def test_end_of_a_lost_job_is_looked_up_in_its_own_folder_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    layout, names = ExecutionLayout(tmp_path), [f"a{number}" for number in range(40)]
    jobs = [{"name": name, "plan_key": f"k-{name}"} for name in names]
    layout.plan.write_text(json.dumps({"schema": "dfh/plan/1", "jobs": jobs}))
    for name in names:
        layout.job(name).root.mkdir(parents=True)
        key = "of another plan" if name == "a1" else f"k-{name}"
        marker.write(layout.job(name), marker.Marker(name, None, 1, key, "", {}))
    monkeypatch.chdir(tmp_path)
    engine = local_engine.Engine(local_engine.Options(tmp_path, "", 1, 1), {}, None)  # type: ignore[arg-type]
    ends = {}
    monkeypatch.setattr(
        engine._board, "end", lambda task, raw, *_: ends.update({task.job.job: raw})
    )
    opened: list[object] = []
    really = os.open
    monkeypatch.setattr(
        os, "open", lambda *args, **more: opened.append(args) or really(*args, **more)
    )
    for name in names:
        engine._end_unseen(SimpleNamespace(job=SimpleNamespace(job=name), index=None, verdict=""))  # type: ignore[arg-type]
    assert [name for name, raw in ends.items() if raw != "COMPLETED"] == ["a1"]
    assert len(opened) < 2 * len(names)


def test_job_started_just_before_the_engine_died_is_found_by_its_token(bench: Bench) -> None:
    running = bench.submit("a", "echo a >> ran; while ! test -e go; do sleep 0.05; done")
    bench.until(running, "running")
    os.kill(bench.engine(), signal.SIGKILL)
    wait_for(lambda: not bench.queue.has_engine)
    # As if it had died between the start and the next line of the status.
    told = bench.queue.status()[running]._replace(raw="PENDING", pid=0, start_time="")
    bench.queue.publish_status({running: told})
    bench.release(running)
    bench.until(running, "running")
    bench.cancel(running)
    assert bench.until(running).state == "cancelled"
    assert bench.words() == ["a"]
    assert not with_token(f"{UUID}.{running}")


def test_planted_pids_are_never_signalled(bench: Bench) -> None:
    victim = subprocess.Popen(["sleep", "300"], start_new_session=True)
    try:
        real = start_time(victim.pid)
        bench.submit("a", "echo a >> ran", hold=True)
        planted = {"pid": victim.pid, "start_time": real, "host": os.uname().nodename}
        bench.queue.engine.write_text(json.dumps(planted))
        told = LocalStatus(State.RUNNING, "RUNNING", pid=victim.pid, start_time=real, started=1.0)
        bench.queue.publish_status({"L1": told})
        assert bench.state("L1") == "unknown"
        bench.cancel("L1")
        assert bench.until("L1").raw_state in {"NODE_FAIL", "CANCELLED"}
        wait_for(lambda: not bench.queue.has_engine)
        assert victim.poll() is None
    finally:
        victim.kill()
        victim.wait()


def test_queue_of_another_machine_is_told_of_and_left_alone(bench: Bench) -> None:
    running = bench.submit("a", "echo a >> ran; while ! test -e go; do sleep 0.05; done")
    bench.until(running, "running")
    os.kill(bench.engine(), signal.SIGKILL)
    wait_for(lambda: not bench.queue.has_engine)
    left = json.loads(bench.queue.engine.read_text())
    for change in ({"host": "far", "machine": "x y"}, {"machine": f"{left['machine']}1"}):
        bench.queue.engine.write_text(json.dumps({**left, **change}))
        found = bench.query(running)[running]
        assert (found.state, found.raw_reason) == ("unknown", "EngineStopped")
        for act in (
            lambda: bench.scheduler.find(str(bench.root), TOKEN),
            lambda: bench.cancel(running),
            lambda: bench.release(running),
        ):
            with pytest.raises(SchedulerError, match="was on ") as caught:
                act()
            assert caught.value.hint.endswith(f"rm {bench.queue.engine}")
        assert not bench.queue.has_engine
    # What the message says to do where that machine is no more.
    bench.queue.engine.unlink()
    assert bench.state(running) == "running"
    (bench.root / "go").touch()
    wait_for(lambda: bench.state(running) == "unknown")
    assert bench.scheduler.find(str(bench.root), TOKEN) == {}
    # The same machine, started again, where another process may have the number.
    status = bench.queue.status()[running]
    bench.queue.publish_status({running: status._replace(pid=os.getpid())})
    bench.queue.engine.write_text(json.dumps({**left, "machine": "before its start"}))
    assert bench.state(running) == "unknown"
    assert bench.scheduler.find(str(bench.root), TOKEN) == {}


@pytest.mark.parametrize("change", ["start_time", "token", "pid"])
def test_identity_needs_every_part(change: str) -> None:
    child = subprocess.Popen(["sleep", "300"], env={"DFH_LOCAL_TOKEN": "u.L1"})
    try:
        good = Process(child.pid, start_time(child.pid), "u.L1")
        wait_for(lambda: good.is_alive)
        wrong = {
            "start_time": Process(child.pid, "1", "u.L1"),
            "token": Process(child.pid, good.start_time, "u.L"),
            "pid": Process(os.getpid(), good.start_time, "u.L1"),
        }[change]
        assert not wrong.signal(signal.SIGKILL, group=False)
        assert child.poll() is None
        assert good.signal(signal.SIGKILL, group=False)
        assert child.wait() == -signal.SIGKILL
    finally:
        child.kill()
        child.wait()


def test_process_that_ends_while_it_is_looked_for_is_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    child = subprocess.Popen(["true"])
    child.wait()
    gone = Process(child.pid, "1", "token")
    monkeypatch.setattr(local_engine, "with_token", lambda _: [gone])
    options = local_engine.Options(tmp_path, UUID, 1.0, 1.0)
    queued = QueuedJob(id="L1", job="a", name="a.t", script="", arguments=(), output="")
    assert local_engine.Engine(options, {}, Cores(None))._find(Task("L1", queued)) is None


def test_find_returns_only_what_has_not_ended_and_carries_the_token(bench: Bench) -> None:
    ended = bench.submit("a", "true")
    bench.until(ended)
    held = bench.submit("a", "true", hold=True)
    other = bench.submit("b", "true", hold=True)
    assert bench.scheduler.find(str(bench.root), TOKEN) == {"a": [held], "b": [other]}
    assert bench.scheduler.find(str(bench.root), "ffffffff") == {}


def test_what_was_released_is_not_held_though_the_engine_is_slow_to_obey(bench: Bench) -> None:
    """Or `status` would say "held: dfh resume", and a resume would not say that it is under way."""
    busy = bench.submit("busy", "while ! test -e go; do sleep 0.05; done")
    bench.until(busy, "running")
    engine = bench.engine()
    told = bench.submit("told", "true", hold=True)
    wait_for(lambda: told in bench.queue.status())
    os.kill(engine, signal.SIGSTOP)
    try:
        unseen = bench.submit("unseen", "true", hold=True, array="0-1")
        names = [told, f"{unseen}_0", f"{unseen}_1"]
        assert [bench.state(name) for name in names] == ["held"] * 3
        bench.release(told)
        assert [bench.state(name) for name in names] == ["pending", "held", "held"]
        bench.release(unseen)
        assert [bench.state(name) for name in names] == ["pending"] * 3
    finally:
        os.kill(engine, signal.SIGCONT)
        (bench.root / "go").touch()
    assert {bench.until(name).state for name in names} == {"succeeded"}


def test_script_that_cannot_start_fails_with_a_reason(bench: Bench) -> None:
    (bench.root / "jobs/a/out.1.log").mkdir(parents=True)
    status = bench.until(bench.submit("a", "true"))
    assert status.state == "failed"
    assert "out.1.log" in status.explanation


def test_torn_last_line_of_the_queue_is_not_a_job(bench: Bench) -> None:
    bench.submit("a", "true", hold=True)
    with (bench.queue.root / "jobs.jsonl").open("ab") as stream:
        stream.write(b'{"id":"L2","job":')
    assert [job.id for job in bench.queue.jobs()[0]] == ["L1"]
    assert bench.submit("b", "true", hold=True) == "L2"
    assert [job.job for job in bench.queue.jobs()[0]] == ["a", "b"]


def test_removed_execution_ends_its_jobs_and_leaves_a_new_one_in_its_place_alone(
    tmp_path: Path,
) -> None:
    (tmp_path / "x").mkdir()
    old = Bench(tmp_path / "x")
    name = old.submit("a", "sleep 300")
    old.until(name, "running")
    engine, pid = old.engine(), old.queue.status()[name].pid
    (tmp_path / "x").rename(tmp_path / "removed")
    (tmp_path / "removed" / "execution.json").unlink()
    (tmp_path / "x").mkdir()
    new = Bench(tmp_path / "x", uuid4().hex)  # its engine would end what is its own
    again = new.submit("b", "echo b >> ran")
    wait_for(lambda: not start_time(pid) and not start_time(engine))
    assert new.until(again).state == "succeeded"
    assert new.words() == ["b"]
    wait_for(lambda: not new.queue.has_engine)


@pytest.mark.parametrize("name", ["jobs.jsonl", "status.jsonl", "engine.json"])
def test_damaged_file_of_the_queue_is_named(bench: Bench, name: str) -> None:
    bench.until(bench.submit("a", "true"))
    wait_for(lambda: not bench.queue.has_engine)
    path = bench.queue.root / name
    # An engine that closes removes its own file; what is there then was planted.
    whole = path.read_bytes() if path.exists() else b""
    path.write_bytes(b"{}\n")
    with pytest.raises(SchedulerError, match=f"{name}: damaged"):
        bench.query("L1")
    path.write_bytes(whole)
    if not whole:
        path.unlink()


@pytest.mark.parametrize("change", [{"schema": "dfh/execution/9"}, {"uuid": 5}])
def test_execution_file_that_is_none_of_ours_starts_no_engine(
    bench: Bench, change: dict[str, object]
) -> None:
    layout = ExecutionLayout(bench.root)
    said = json.loads(layout.execution.read_bytes())
    layout.execution.write_text(json.dumps({**said, **change}))
    with pytest.raises(SchedulerError, match=r"execution\.json: damaged"):
        _ = bench.queue.uuid


def test_job_that_can_never_start_is_told_by_an_engine_that_already_runs(bench: Bench) -> None:
    failed = bench.submit("a", "exit 1")
    bench.until(failed)
    busy = bench.submit("b", "sleep 300")
    bench.until(busy, "running")
    # Nothing else happens that would make the engine write its status.
    assert bench.until(bench.submit("c", "echo c >> ran", failed)).state == "never_ran"


def test_describe_names_what_runs(bench: Bench) -> None:
    request = SubmitRequest(
        job="a", script="jobs/a/job.sh", arguments=("--attempt", "1"), directory=str(bench.root),
        name="a.x", comment="", output="jobs/a/out.1.log",
    )  # fmt: skip
    assert bench.scheduler.describe(request) == ["bash", "jobs/a/job.sh", "--attempt", "1"]


def test_thousand_jobs_are_queued_and_run(bench: Bench) -> None:
    count = 300
    begin = time.process_time()
    root = bench.submit("a", "echo a >> ran", hold=True)
    names = [bench.submit("a", "echo a >> ran", root) for _ in range(count)]
    final = bench.submit("z", "echo z >> ran", *names, dependency="afterany")
    assert time.process_time() - begin < 3
    bench.release(root)
    bench.until(final)
    assert bench.words() == ["a"] * (count + 1) + ["z"]


def test_engine_writes_as_much_for_a_job_however_many_there_are(bench: Bench) -> None:
    count = 150
    root = bench.submit("a", "true", hold=True)
    names = [bench.submit("a", "true", root) for _ in range(count)]
    last = bench.submit("z", "while ! test -e go; do sleep 0.05; done", *names)
    bench.release(root)
    bench.until(last, "running")
    counted = Path(f"/proc/{bench.engine()}/io").read_text().split()
    (bench.root / "go").touch()
    assert int(counted[counted.index("wchar:") + 1]) < 2000 * count


def test_engine_starts_cheaply(bench: Bench) -> None:
    argv = [
        sys.executable,
        "-X",
        "importtime",
        "-c",
        "import deepforge_hpc.schedulers.local_engine",
    ]
    done = subprocess.run(argv, capture_output=True, text=True, check=True)
    modules = {line.rpartition("|")[2].strip() for line in done.stderr.splitlines()}
    assert not modules & {
        "pydantic",
        "yaml",
        "jinja2",
        "click",
        "subprocess",
        "asyncio",
        "tempfile",
    }


@pytest.mark.parametrize(
    "entry",
    [
        {"id": "L1"},
        {"id": "L1", "raw": "RUNNING"},
        {"id": "L1", "raw": 5, "state": "running"},
        {"id": "L1", "raw": "FAILED", "state": "failed", "exit": 1},
        {"id": "L1", "raw": "FAILED", "state": ["failed"]},
    ],
)
def test_odd_entry_of_the_status_is_damage_and_not_a_crash(
    bench: Bench, entry: dict[str, Any]
) -> None:
    job = bench.submit("a", "true", hold=True)
    (bench.root / "local" / "status.jsonl").write_text(json.dumps(entry) + "\n")
    with pytest.raises(SchedulerError, match=r"status.jsonl: damaged.*L1\.(raw|state|exit): "):
        bench.query(job)
    assert Local().look(bench.root) is None
    (bench.root / "local" / "status.jsonl").unlink()


def test_state_word_of_a_later_version_is_unknown(bench: Bench) -> None:
    job = bench.submit("a", "true", hold=True)
    line = json.dumps({"id": job, "raw": "HIBERNATED", "state": "hibernating"})
    (bench.root / "local" / "status.jsonl").write_text(line + "\n")
    assert bench.query(job)[job].state == "unknown"
    assert (Local().look(bench.root) or {})[job].state == "unknown"
