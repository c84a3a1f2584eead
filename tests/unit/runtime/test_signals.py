"""A job that is asked to stop ends in time, says so, and leaves no process and no half output."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from deepforge_hpc.runtime.base.plan import OperationSource
from deepforge_hpc.runtime.base.signals import SignalQueue
from deepforge_hpc.runtime.job.ranks import Ended, Ranks

if TYPE_CHECKING:
    from collections.abc import Callable

    from conftest import Execution

    from deepforge_hpc.runtime.base.plan import LaunchCommand

SLEEPER = """
    import os, signal, time
    from pathlib import Path

    def operation(hard=False):
        if hard:
            for number in (signal.SIGTERM, signal.SIGUSR1):
                signal.signal(number, signal.SIG_IGN)
        started = Path(os.environ["DFH_CHECKPOINT_DIR"], "pid")
        new = started.with_suffix(f".{os.getpid()}")  # of each rank its own
        new.write_text(str(os.getpid()))
        new.rename(started)
        try:
            time.sleep(300)
        finally:
            started.with_name("cleaned").touch()
        return 1
"""


def wait_for(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def is_alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def begin(execution: Execution, **variables: str) -> tuple[subprocess.Popen[str], int]:
    """Start the job and wait until its operation runs; return the supervisor and the rank's id."""
    process = execution.start("job", **variables)
    file = execution.folder("job").checkpoints / "pid"
    wait_for(file.exists)
    return process, int(file.read_text())


@pytest.mark.parametrize(
    ("number", "said"),
    [
        (signal.SIGTERM, "The job was interrupted by SIGTERM."),
        (signal.SIGUSR1, "The job was interrupted by the walltime warning (SIGUSR1)."),
        (signal.SIGINT, "The job was interrupted by SIGINT."),
    ],
)
def test_a_signal_interrupts_the_operation_and_is_recorded(
    execution: Execution, number: signal.Signals, said: str
) -> None:
    execution.operation("job", SLEEPER)
    process, pid = begin(execution)
    process.send_signal(number)
    _, err = process.communicate(timeout=30)
    assert process.returncode == 75, err
    state = execution.state("job")
    assert (state["state"], state["exit_code"], state["reason"]) == ("interrupted", 75, said)
    assert [record["status"] for record in execution.records()] == ["interrupted"]
    assert (execution.folder("job").checkpoints / "cleaned").exists()
    assert not is_alive(pid)
    assert execution.leftovers() == []


@pytest.mark.parametrize("keeps", [True, False])
def test_after_the_time_limit_only_a_checkpoint_helps_to_resume(
    execution: Execution, keeps: bool
) -> None:
    execution.operation(
        "job",
        """
        import os, time
        from pathlib import Path

        def operation(keeps):
            if keeps:
                Path(os.environ["DFH_CHECKPOINT_DIR"], "epoch-1").touch()
            Path(os.environ["DFH_EXECUTION"], "begun").touch()
            time.sleep(300)
        """,
        attributes={"keeps": keeps},
    )
    process = execution.start("job")
    wait_for((execution.root / "begun").exists)
    process.send_signal(signal.SIGUSR1)
    process.communicate(timeout=60)
    state = execution.state("job")
    assert (state["state"], state["again"]) == ("interrupted", keeps)
    resume = "dfh resume demo-0001 goes on from its checkpoint."
    assert (state["hint"] == resume) is keeps
    assert ("ask for more time" in state["hint"]) is not keeps


def test_what_fails_at_the_warning_is_named_and_not_more_time_asked_for(
    execution: Execution,
) -> None:
    execution.operation(
        "job",
        """
        import os, time
        from pathlib import Path

        def operation():
            started = Path(os.environ["DFH_CHECKPOINT_DIR"], "pid")
            started.with_suffix(".new").write_text(str(os.getpid()))
            started.with_suffix(".new").rename(started)
            try:
                time.sleep(300)
            finally:
                Path("/nowhere/at/all/checkpoint").write_text("")
        """,
    )
    process, _ = begin(execution)
    process.send_signal(signal.SIGUSR1)
    process.communicate(timeout=60)
    state = execution.state("job")
    assert (state["state"], state["again"]) == ("interrupted", False)
    assert "by the walltime warning (SIGUSR1). The operation raised FileNotFound" in state["reason"]
    assert state["error"]["type"] == "FileNotFoundError"
    assert "more time" not in state["hint"]
    assert "dfh submit" in state["hint"]


def test_a_stop_that_a_library_wraps_is_one(execution: Execution) -> None:
    execution.operation(
        "job",
        """
        import os, time
        from pathlib import Path

        def operation():
            started = Path(os.environ["DFH_CHECKPOINT_DIR"], "pid")
            started.with_suffix(".new").write_text(str(os.getpid()))
            started.with_suffix(".new").rename(started)
            try:
                time.sleep(300)
            except BaseException as error:
                raise RuntimeError("the training ended") from error
        """,
    )
    process, _ = begin(execution)
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=60)
    state = execution.state("job")
    assert (state["state"], state["again"]) == ("interrupted", True)
    assert state["reason"] == "The job was interrupted by SIGTERM."


def test_a_rank_that_left_before_the_warning_is_named(
    execution: Execution, two_ranks: LaunchCommand
) -> None:
    launcher = Path(two_ranks.argv[0])  # of those that pass the warning on, as srun does
    text = launcher.read_text().replace("trap 'kill $a $b' TERM", "trap 'kill -USR1 $a' USR1")
    launcher.write_text(text.replace("wait $a; x=$?", "wait $a; wait $a; x=$?"))
    execution.operation(
        "job",
        """
        import os, time
        from pathlib import Path

        def operation():
            folder = Path(os.environ["DFH_EXECUTION"])
            if os.environ["DFH_RANK"] == "1":
                (folder / "gone").touch()
                os._exit(0)
            while not (folder / "gone").exists():
                time.sleep(0.01)
            (folder / "begun").touch()
            time.sleep(300)
        """,
        launch=two_ranks,
    )
    process = execution.start("job")
    wait_for((execution.root / "begun").exists)
    process.send_signal(signal.SIGUSR1)
    process.communicate(timeout=60)
    state = execution.state("job")
    assert state["reason"].endswith("Rank 1 left no word, and may have ended before that.")
    assert "dfh logs demo-0001 job --rank 1" in state["hint"]


def test_a_signal_to_the_whole_group_counts_once(execution: Execution) -> None:
    execution.operation("job", SLEEPER)
    process, _ = begin(execution)
    for _ in range(3):
        process.send_signal(signal.SIGTERM)
    process.communicate(timeout=30)
    assert process.returncode == 75
    assert (execution.folder("job").checkpoints / "cleaned").exists()


def test_ranks_that_do_not_end_are_killed_after_the_grace(execution: Execution) -> None:
    execution.operation("job", SLEEPER, attributes={"hard": True})
    process, pid = begin(execution, DFH_GRACE="0.2")
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=30)
    assert process.returncode == 75
    assert "did not end in time" in execution.state("job")["reason"]
    assert not is_alive(pid)


PROGRAM = """\
trap 'touch "$DFH_CHECKPOINT_DIR/told"; TRAP' TERM
echo $$ > "$DFH_CHECKPOINT_DIR/new" && mv "$DFH_CHECKPOINT_DIR/new" "$DFH_CHECKPOINT_DIR/pid"
FIRST
while :; do sleep 0.05; done
"""


def program(execution: Execution, trap: str, first: str = ":") -> None:
    """Add a job whose operation is a command."""
    job = execution.operation("job", "", outputs={})
    words = ("bash", "-c", PROGRAM.replace("TRAP", trap).replace("FIRST", first))
    source = OperationSource(
        module="",
        object="bash",
        kind="command",
        sha256=job.source.sha256,
        returns="dict",
        argv=words,
    )
    execution.jobs[-1] = job._replace(source=source)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGUSR1])
def test_a_signal_is_passed_on_to_a_command_which_is_waited_for(
    execution: Execution, number: signal.Signals
) -> None:
    program(execution, 'sleep 0.3; touch "$DFH_CHECKPOINT_DIR/ended"; exit 0')
    process, pid = begin(execution)
    process.send_signal(number)
    _, err = process.communicate(timeout=30)
    assert process.returncode == 75, err
    assert execution.state("job")["state"] == "interrupted"
    assert {"told", "ended"} <= {
        path.name for path in execution.folder("job").checkpoints.iterdir()
    }
    assert not is_alive(pid)
    assert execution.leftovers() == []


def test_a_command_that_does_not_end_is_killed_after_the_grace(execution: Execution) -> None:
    program(execution, ":")
    process, pid = begin(execution, DFH_GRACE="0.2")
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=30)
    assert process.returncode == 75
    assert (execution.folder("job").checkpoints / "told").exists()
    assert "did not end in time" in execution.state("job")["reason"]
    wait_for(lambda: not is_alive(pid))


def test_a_signal_while_a_command_starts_reaches_it(execution: Execution) -> None:
    program(execution, "exit 0", "kill -TERM $PPID")
    process = execution.start("job")
    _, err = process.communicate(timeout=30)
    assert (execution.folder("job").checkpoints / "told").exists(), err
    assert execution.state("job")["state"] == "interrupted"


def test_a_second_signal_shortens_the_grace(execution: Execution) -> None:
    execution.operation("job", SLEEPER, attributes={"hard": True})
    process, pid = begin(execution, DFH_GRACE="1000")
    process.send_signal(signal.SIGTERM)
    time.sleep(1.2)  # signals of the same second are one: a script and its group both pass them on
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=30)
    assert process.returncode == 75
    assert not is_alive(pid)


def test_an_operation_that_answers_the_warning_in_time_succeeds(execution: Execution) -> None:
    execution.operation(
        "job",
        """
        import os, signal, time
        from pathlib import Path

        def operation():
            told = []
            signal.signal(signal.SIGUSR1, lambda *_: told.append(1))
            started = Path(os.environ["DFH_CHECKPOINT_DIR"], "pid")
            started.with_suffix(".new").write_text(str(os.getpid()))
            started.with_suffix(".new").rename(started)
            while not told:
                time.sleep(0.01)
            return "finished early"
        """,
    )
    process, _ = begin(execution)
    process.send_signal(signal.SIGUSR1)
    process.communicate(timeout=30)
    assert process.returncode == 0
    assert execution.value("job") == "finished early"


def test_a_cancelled_job_says_cancelled(execution: Execution) -> None:
    execution.operation("job", SLEEPER)
    process, _ = begin(execution)
    execution.layout.submitted.write_text('{"event":"cancel","attempt":1,"at":"now"}\n{"torn')
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=30)
    assert execution.state("job")["state"] == "cancelled"
    assert execution.records()[0]["status"] == "interrupted"


def test_an_end_that_the_final_job_has_told_stands(execution: Execution) -> None:
    """A node that is lost to Slurm may still run its job to the end."""
    execution.operation("job", SLEEPER)
    process, _ = begin(execution)
    closed = json.dumps(
        {**execution.state("job"), "state": "interrupted", "reason": "A node failed."}
    )
    execution.folder("job").state.write_text(closed)
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=30)
    assert process.returncode == 75
    assert execution.folder("job").state.read_text() == closed


def test_ranks_do_not_outlive_a_supervisor_that_is_killed(execution: Execution) -> None:
    execution.operation("job", SLEEPER)
    process, pid = begin(execution)
    process.kill()
    process.communicate(timeout=30)
    wait_for(lambda: not is_alive(pid))
    assert not execution.folder("job").success.exists()
    (execution.folder("job").checkpoints / "pid").unlink()
    process, _ = begin(execution)
    process.terminate()
    process.communicate(timeout=30)
    assert execution.leftovers() == []


def test_a_rank_that_is_signalled_alone_is_an_interruption(execution: Execution) -> None:
    execution.operation("job", SLEEPER)
    process, pid = begin(execution)
    os.kill(pid, signal.SIGTERM)
    process.communicate(timeout=30)
    assert process.returncode == 75
    assert execution.state("job")["reason"] == "The job was interrupted by SIGTERM."


def test_a_signal_before_the_ranks_start_is_not_lost(execution: Execution) -> None:
    execution.operation("job", SLEEPER)
    execution.freeze()
    stub = (
        "import os, runpy, signal, sys; "
        "signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGTERM]); "
        "os.kill(os.getpid(), signal.SIGTERM); "
        "sys.argv = sys.argv[1:]; runpy.run_module('dfh_runtime', run_name='__main__')"
    )
    words = [sys.executable, "-c", stub, "dfh_runtime", *execution.argv("job")[3:]]
    done = subprocess.run(words, cwd=execution.root, env=execution.environ(), check=False)
    assert done.returncode == 75
    assert execution.state("job")["state"] == "interrupted"
    assert not (execution.folder("job").checkpoints / "pid").exists()


def test_the_hang_up_of_a_terminal_is_ignored_under_nohup(execution: Execution) -> None:
    execution.operation("job", SLEEPER)
    execution.freeze()
    process = subprocess.Popen(
        ["nohup", *execution.argv("job")],
        cwd=execution.root,
        env=execution.environ(),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        stdin=subprocess.DEVNULL,
    )
    wait_for((execution.folder("job").checkpoints / "pid").exists)
    process.send_signal(signal.SIGHUP)
    process.send_signal(signal.SIGTERM)
    assert process.wait(timeout=30) == 75
    assert "SIGTERM" in execution.state("job")["reason"]


def test_a_signal_reaches_every_rank(execution: Execution, two_ranks: LaunchCommand) -> None:
    execution.operation("job", SLEEPER, launch=two_ranks)
    process, pid = begin(execution)
    process.terminate()
    process.communicate(timeout=30)
    assert process.returncode == 75
    assert execution.state("job")["state"] == "interrupted"
    assert not is_alive(pid)


def test_a_rank_leads_its_group_before_it_has_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Or a signal that comes at once would find no group."""
    reader, writer = os.pipe()
    setpgid = os.setpgid

    def late(pid: int, group: int) -> None:
        if pid == 0:
            os.read(reader, 1)
        setpgid(pid, group)

    monkeypatch.setattr(os, "setpgid", late)
    signals = SignalQueue()
    try:
        with signals:
            ranks = Ranks(["sh", "-c", ":"], dict(os.environ), signals, own_group=True, grace_s=9)
            assert os.getpgid(ranks._pid) == ranks._pid
            os.write(writer, b"1")
            assert ranks.watch(lambda: None) == Ended(0, killed_by_us=False)
    finally:
        os.close(writer)  # what was started ends too
        os.close(reader)


@pytest.mark.parametrize("own_group", [True, False])
def test_a_signal_goes_to_all_of_a_rank_and_by_hand_to_it_alone(
    tmp_path: Path, own_group: bool
) -> None:
    """A shell waits for what it has started before it looks at its trap."""
    started = f"sh -c ': >{tmp_path}/ready; exec sleep {300 if own_group else 0.5}'"
    argv = ["sh", "-c", f"trap 'exit 3' TERM; {started}; :"]
    signals = SignalQueue()
    with signals:
        ranks = Ranks(argv, dict(os.environ), signals, own_group=own_group, grace_s=20)
        wait_for((tmp_path / "ready").exists)
        signal.pthread_kill(threading.get_ident(), signal.SIGTERM)  # held back until waited for
        assert ranks.watch(lambda: None) == Ended(3, killed_by_us=False)


def test_what_a_rank_left_running_ends_while_its_group_is_surely_its_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Once the rank is collected, the system may give its number to anybody else's group."""
    killpg, sent = os.killpg, []

    def kill(group: int, number: int) -> None:
        assert os.waitid(os.P_PID, group, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None
        sent.append(number)
        killpg(group, number)

    monkeypatch.setattr(os, "killpg", kill)
    signals = SignalQueue()
    with signals:
        argv = ["sh", "-c", f"sleep 300 & echo $! >{tmp_path}/left"]
        ranks = Ranks(argv, dict(os.environ), signals, own_group=True, grace_s=10)
        assert ranks.watch(lambda: None) == Ended(0, killed_by_us=False)
    assert sent == [signal.SIGKILL]
    wait_for(lambda: not is_alive(int((tmp_path / "left").read_text())))
