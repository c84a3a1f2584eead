"""The queue of one user on this machine, and what others do with it: real users, no capabilities."""

from __future__ import annotations

import ctypes
import json
import os
import signal
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from deepforge_hpc.errors import SchedulerError
from deepforge_hpc.model.execution import SubmitRequest
from deepforge_hpc.processes import machine
from deepforge_hpc.runtime.base.codec import encode
from deepforge_hpc.runtime.base.execution import ExecutionInfo
from deepforge_hpc.runtime.base.files import canonical_json
from deepforge_hpc.schedulers import local_engine
from deepforge_hpc.schedulers.local import LocalScheduler
from deepforge_hpc.schedulers.local_process import with_token
from deepforge_hpc.schedulers.local_queue import LocalQueue

ALICE, BOB = 65534, 1  # nobody and daemon
_SET_DUMPABLE = 4


def poll(ask: Callable[[], Any], limit_s: float = 20.0) -> Any:
    deadline = time.monotonic() + limit_s
    while not (answer := ask()):
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.03)
    return answer


def as_user(uid: int, act: Callable[[], object]) -> bool:
    """Tell whether something is true for another user, who may do what others may and no more."""
    child = os.fork()
    if not child:
        code = 2
        try:
            os.setgroups([])
            os.setgid(uid)
            os.setuid(uid)
            ctypes.CDLL(None).prctl(
                _SET_DUMPABLE, 1, 0, 0, 0
            )  # as after exec: /proc shows us as theirs
            code = 0 if act() else 1
        finally:
            os._exit(code)
    code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    assert code != 2, "it raised"
    return not code


class Theirs:
    """A job of Alice's that runs, and its queue."""

    def __init__(self, root: Path) -> None:
        self.home, self.uuid = str(root), uuid4().hex
        machine()  # what it imports lies where others may not read
        self.token = self.uuid[:8]
        self.queue, self.scheduler = LocalQueue.of(self.home), LocalScheduler()
        root.mkdir()
        os.chown(root, ALICE, ALICE)
        assert as_user(ALICE, self._start)
        self.pid = poll(lambda: self.queue.status().get("L1")).pid

    def _start(self) -> bool:
        root = Path(self.home)
        (root / "execution.json").write_bytes(
            canonical_json(encode(ExecutionInfo.stand_in(uuid=self.uuid)))
        )
        (root / "w").mkdir()
        (root / "w/job.sh").write_text("sleep 300\n")
        request = SubmitRequest(
            job="w", script="w/job.sh", arguments=(), directory=self.home, hold=True,
            name=f"w.{self.token}", comment="{}", output="w/out.1.log",
        )  # fmt: skip
        self.scheduler.submit(request)
        self.queue.command("release", ["L1"])
        os.environ["DFH_LOCAL_CORES"] = f"{self.home}/cores"
        sys.stderr = self.queue.log.open("a")
        return not local_engine.main([self.home, "--grace", "1"])

    def kill_engine(self) -> None:
        os.kill(int(json.loads(self.queue.engine.read_bytes())["pid"]), signal.SIGKILL)
        poll(lambda: not self.queue.has_engine)

    def cancel(self) -> bool:
        self.scheduler.cancel(self.home, ["L1"])
        return True

    def is_running(self) -> bool:
        """Tell whether those who look see it run."""
        found = self.scheduler.find(self.home, self.token) == {"w": ["L1"]}
        state = self.scheduler.query(self.home, ["L1"])["L1"].state
        assert found == (state == "running")
        return found

    def has_ended(self) -> bool:
        return not as_user(ALICE, lambda: with_token(f"{self.uuid}.L1"))


@pytest.fixture
def theirs(shared: Path) -> Iterator[Theirs]:
    if os.geteuid() != 0:
        pytest.skip("only root can be other users")
    made = Theirs(shared / "x-1")
    yield made
    if made.queue.has_engine:
        as_user(ALICE, made.cancel)
    else:
        with suppress(ProcessLookupError):
            os.killpg(made.pid, signal.SIGKILL)
    poll(lambda: made.has_ended() and not made.queue.has_engine)


def test_what_root_cancels_ends_whatever_its_umask(theirs: Theirs) -> None:
    before = os.umask(0o077)
    try:
        theirs.cancel()
    finally:
        os.umask(before)
    poll(theirs.has_ended)
    poll(lambda: not theirs.queue.has_engine)
    assert theirs.queue.status()["L1"].raw == "CANCELLED"
    assert not theirs.queue.log.exists(), theirs.queue.log.read_text()


def test_a_command_that_cannot_be_read_ends_neither_the_engine_nor_its_jobs(theirs: Theirs) -> None:
    commands = theirs.queue.root / "commands"
    (commands / "0.json").touch(mode=0o600)
    (commands / "1.json").write_text("{")
    poll(lambda: theirs.queue.log.read_text().count("\n") == 2)
    closed, damaged = theirs.queue.log.read_text().splitlines()
    assert "commands/0.json: left aside: [Errno 13] Permission denied" in closed
    assert "commands/1.json: left aside: " in damaged
    assert as_user(BOB, theirs.is_running)
    assert as_user(ALICE, theirs.cancel)
    poll(theirs.has_ended)
    poll(lambda: not theirs.queue.has_engine)
    assert [path.name for path in sorted(commands.iterdir())] == ["0.json", "1.json"]


def test_all_who_look_see_what_a_killed_engine_left(theirs: Theirs) -> None:
    theirs.kill_engine()
    for uid in (os.getuid(), ALICE, BOB):
        assert as_user(uid, theirs.is_running), uid
    os.killpg(theirs.pid, signal.SIGKILL)
    poll(theirs.has_ended)  # first: it may end between two looks
    assert not theirs.is_running()
    for uid in (ALICE, BOB):
        assert not as_user(uid, theirs.is_running), uid


def test_no_other_user_takes_the_place_of_a_killed_engine(theirs: Theirs) -> None:
    theirs.kill_engine()
    with pytest.raises(SchedulerError, match="only nobody can start it again") as caught:
        theirs.cancel()
    assert caught.value.hint == f"Nothing was cancelled. As nobody: dfh cancel {theirs.home}"
    assert not list((theirs.queue.root / "commands").iterdir())
    assert not theirs.queue.has_engine
