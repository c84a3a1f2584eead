"""The queue of one execution on one machine, as a process of its own.

`python -m deepforge_hpc.schedulers.local_engine EXECUTION` detaches itself from whoever started it,
runs the jobs of `EXECUTION/local/jobs.jsonl` as a scheduler would, and ends when none of them runs
or may start. Killed and started again, it finds the processes of its jobs and carries on.
Standard library and this package's own small files only: it stays for hours.
"""

from __future__ import annotations

import argparse
import os
import select
import signal
import sys
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from deepforge_hpc.processes import start_time
from deepforge_hpc.runtime.base.layout import ExecutionLayout
from deepforge_hpc.runtime.base.local_status import LocalStatus
from deepforge_hpc.runtime.state import marker
from deepforge_hpc.runtime.state.read import read_files

from .local_cores import Cores, shared_file
from .local_inbox import Inbox
from .local_process import (
    TOKEN_VARIABLE,
    Process,
    Strays,
    carrying,
    is_leader,
    kill_all,
    send,
    with_token,
)
from .local_queue import ENDED, Command, LocalQueue
from .local_tasks import Board, Task

_POLL_S = 0.2
_RETRY_S = 0.05
_SCRUBBED = ("SLURM", "SBATCH_", "SALLOC_", "SRUN_", "PMI", "OMPI_COMM_WORLD_", "DFH_")
_RANKS = frozenset({"RANK", "LOCAL_RANK", "WORLD_SIZE"})
_DEFAULT_SIGNALS = [
    signal.SIGHUP, signal.SIGINT, signal.SIGQUIT, signal.SIGTERM, signal.SIGPIPE,
    signal.SIGUSR1, signal.SIGUSR2, signal.SIGCHLD, signal.SIGXFSZ,
]  # fmt: skip


@dataclass(frozen=True, slots=True)
class Options:
    """What the engine is told."""

    root: Path
    """The execution."""
    uuid: str
    grace_s: float
    """From SIGTERM to SIGKILL."""
    warning_s: float
    """From SIGUSR1 to the end of the walltime."""


class Engine:
    """Starts, watches and ends the jobs of one execution."""

    def __init__(self, options: Options, environ: dict[str, str], cores: Cores) -> None:
        # Relative to the working folder: should the execution be removed, and another one take its
        # path, then nothing of the new one is touched.
        self._layout = ExecutionLayout(Path())
        self._queue = LocalQueue.of("")
        self._inbox = Inbox(self._queue)
        self._options = options
        self._environ = environ
        self._cores = cores
        self._strays = Strays()
        self._board = Board()
        self._running: dict[str, Task] = {}
        self._offset = 0

    def run(self, wakeup: int, lock: int, begun: Callable[[], object]) -> None:
        """Work until nothing runs and nothing may start, then give up the engine's `lock`.

        `wakeup` can be read when a child has ended; `begun` is called once the queue has been read.
        """
        self._take_in(self._queue.status())
        begun()
        self._adopt()
        while self._layout.execution.exists():
            # Commands first: one may name a job that is added while we look.
            commands = self._inbox.look()
            self._take_in({})
            self._obey(commands)
            self._reap()
            self._strays.look()
            self._start()
            if is_told := self._publish():
                self._inbox.clear()
            is_idle = not (self._running or self._board.ready or self._strays)
            if is_told and is_idle and self._close(lock):
                return
            self._enforce()
            pause_s = _POLL_S if is_told else _RETRY_S
            readable, _, _ = select.select([wakeup], [], [], pause_s)
            if readable:
                os.read(wakeup, 1 << 12)
        # The execution was removed: nobody wants its jobs, and they could not write anything.
        for task in self._running.values():
            kill_all(self._token(task))

    def _publish(self) -> bool:
        """Write down what has changed; False if that cannot be done now."""
        changed = self._board.changed
        if changed:
            try:
                self._queue.publish_status({name: one.status for name, one in changed.items()})
            except OSError:
                # A full disk must not end the jobs that run: the next turn tries again.
                return False
            changed.clear()
        return True

    def _take_in(self, known: dict[str, LocalStatus]) -> None:
        jobs, self._offset = self._queue.jobs(self._offset)
        for job in jobs:
            self._board.add(job, known)

    def _obey(self, commands: Iterable[Command]) -> None:
        for wanted in commands:
            if wanted.command == "release":
                self._board.release(wanted.ids)
            else:
                for task in self._board.select(wanted.ids):
                    self._stop(task, "CANCELLED")

    def _close(self, lock: int) -> bool:
        """Tell whether there is really nothing left; nobody adds a job while we look."""
        with self._queue.locked():
            if self._queue.jobs(self._offset)[0] or self._inbox.look():
                return False
            self._queue.tidy()
            os.close(lock)
            return True

    # ---- what an earlier engine left

    def _adopt(self) -> None:
        """Find the processes of jobs that an earlier engine started, or say how they ended."""
        for task in self._board.tasks.values():
            if task.state in ENDED:
                continue
            log = self._log(task)
            if task.state == "PENDING" and not log.is_file():
                continue
            found = self._find(task)
            if found:
                task.pid, task.start_time = found.pid, found.start_time
                task.state, task.reason = "RUNNING", ""
                self._board.note(task)
                self._running[task.id] = task
                if task.verdict:
                    self._stop(task, task.verdict)
            else:
                self._end_unseen(task)
        waiting = [task for task in self._board.ready if task.state == "PENDING"]
        self._board.ready.clear()
        self._board.ready.extend(waiting)
        self._end_strays()

    def _end_strays(self) -> None:
        """End what is left of jobs that an earlier engine saw end, or nobody did.

        Before anything starts: it may be the same job, which must not run twice at once.
        """
        running = {self._token(task) for task in self._running.values()}
        mine = f"{self._options.uuid}."
        for process in carrying(lambda token: token.startswith(mine) and token not in running):
            self._strays.end(process.token, signal.SIGKILL)
        deadline = time.monotonic() + self._options.grace_s
        while self._strays and time.monotonic() < deadline:
            self._strays.look()
            time.sleep(_RETRY_S)

    def _find(self, task: Task) -> Process | None:
        token = self._token(task)
        if task.pid:
            process = Process(task.pid, task.start_time, token)
            return process if process.is_alive else None
        # The earlier engine died before it wrote the number down. The leader of the group is it.
        return next((found for found in with_token(token) if is_leader(found.pid)), None)

    def _end_unseen(self, task: Task) -> None:
        name, index = task.job.job, task.index
        if marker.find(self._layout.job(name, index), name, index, self._keys.get(name, "")).marker:
            self._board.end(task, "COMPLETED", "", "0:0")
        else:
            self._board.end(task, task.verdict or "NODE_FAIL", "EngineStopped")

    @cached_property
    def _keys(self) -> dict[str, str]:
        """What the plan says of each job, for its marker; it is read for the first that is lost."""
        planned = read_files(self._layout.root, with_jobs=False).jobs
        return {job.name: job.plan_key for job in planned}

    # ---- processes

    def _start(self) -> None:
        ready = self._board.ready
        while ready:
            task = ready[0]
            if task.state != "PENDING":
                ready.popleft()
                continue
            # What is more than there are gets all.
            cores = self._cores.take(min(max(1, task.job.cores), len(self._cores)))
            if cores is None:
                return
            ready.popleft()
            task.cores = cores
            self._spawn(task)
        self._cores.stop_waiting()

    def _spawn(self, task: Task) -> None:
        job = task.job
        environ = {**self._environ, TOKEN_VARIABLE: self._token(task), "DFH_NATIVE_ID": task.id}
        if task.index is not None:
            environ["DFH_ARRAY_TASK_ID"] = str(task.index)
        flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW
        log = str(self._log(task))
        os.set_inheritable(task.cores, True)
        try:
            # The name of the log is also the sign, to a later engine, that the job was started.
            task.pid = os.posix_spawnp(
                "bash",
                ["bash", job.script, *job.arguments],
                environ,
                file_actions=[
                    (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0),
                    (os.POSIX_SPAWN_OPEN, 1, log, flags, 0o644),
                    (os.POSIX_SPAWN_DUP2, 1, 2),
                ],
                setsid=True,
                setsigmask=[],
                setsigdef=_DEFAULT_SIGNALS,
            )
        except OSError as error:
            self._board.end(task, "FAILED", f"cannot be started: {error.strerror}: {log}")
            os.close(task.cores)
            return
        os.set_inheritable(task.cores, False)  # the next job must not have it too
        task.is_child = True
        task.start_time = start_time(task.pid)
        task.state, task.reason, task.started = "RUNNING", "", time.time()
        self._board.note(task)
        self._running[task.id] = task

    def _reap(self) -> None:
        """Take in the processes that have ended."""
        ended = []
        for task in self._running.values():
            if task.is_child:
                # WNOWAIT: its number stays taken, so that what is left of its group can be killed.
                flags = os.WEXITED | os.WNOHANG | os.WNOWAIT
                if os.waitid(os.P_PID, task.pid, flags) is None:
                    continue
                send(task.pid, signal.SIGKILL, group=True)
                _, status = os.waitpid(task.pid, 0)
                code = os.waitstatus_to_exitcode(status)
                ended.append((task, f"{max(code, 0)}:{max(-code, 0)}"))
            elif not self._process(task).is_alive:
                ended.append((task, ""))
        for task, exit_code in ended:
            del self._running[task.id]
            if task.is_child:
                os.close(task.cores)
            self._strays.end(self._token(task), signal.SIGKILL if task.kill_at else signal.SIGTERM)
            if task.verdict:
                self._board.end(task, task.verdict, task.reason, exit_code)
            elif exit_code:
                state = "COMPLETED" if exit_code == "0:0" else "FAILED"
                self._board.end(task, state, "" if state == "COMPLETED" else "NonZeroExitCode",
                                exit_code)  # fmt: skip
            else:
                self._end_unseen(task)

    def _stop(self, task: Task, verdict: str) -> None:
        if task.state == "PENDING":
            self._board.end(task, verdict, task.reason)
        elif not task.kill_at:
            task.verdict = verdict
            self._board.note(task)
            task.kill_at = time.time() + self._options.grace_s
            self._signal(task, signal.SIGTERM, group=True)

    def _enforce(self) -> None:
        """Warn and end the tasks that have run for too long; kill those that will not end."""
        now = time.time()
        warning_s = self._options.warning_s
        for task in list(self._running.values()):
            if task.kill_at:
                if now >= task.kill_at:
                    task.kill_at = now + self._options.grace_s
                    self._signal(task, signal.SIGKILL, group=True)
                    kill_all(self._token(task))
                continue
            limit = task.job.time_s
            if limit is None:
                continue
            if now >= task.started + limit:
                task.reason = "TimeLimit"
                self._stop(task, "TIMEOUT")
            elif not task.is_warned and now >= task.started + limit - min(warning_s, limit / 2):
                task.is_warned = True
                self._signal(task, signal.SIGUSR1, group=False)

    def _signal(self, task: Task, number: int, *, group: bool) -> None:
        if task.is_child:
            send(task.pid, number, group=group)
        else:
            self._process(task).signal(number, group=group)

    def _process(self, task: Task) -> Process:
        return Process(task.pid, task.start_time, self._token(task))

    def _token(self, task: Task) -> str:
        return f"{self._options.uuid}.{task.id}"

    def _log(self, task: Task) -> Path:
        index = "" if task.index is None else str(task.index)
        return self._layout.root / task.job.output.replace("%a", index)


def job_environment(environ: dict[str, str]) -> dict[str, str]:
    """Return the environment for jobs: nothing that tells them they were inside another job."""
    return {
        name: value
        for name, value in environ.items()
        if not name.startswith(_SCRUBBED) and name not in _RANKS
    }


def main(argv: list[str]) -> int:
    """Detach, take the engine's lock, work. Returns in the caller as soon as that is settled."""
    options = _options(argv)
    receiver, sender = os.pipe()
    if os.fork():
        os.close(sender)
        # One byte: it works, or another one does. None: it died, and its log says why.
        return 0 if os.read(receiver, 1) else 1
    os.close(receiver)
    os.setsid()
    os.chdir(options.root)
    queue = LocalQueue.of(str(options.root))
    lock = queue.lock_engine()
    if lock is not None:
        queue.note_engine()
    wakeup = _wake_on_child()
    if lock is None:
        os.write(sender, b"1")
    else:
        environ = job_environment(dict(os.environ))
        engine = Engine(options, environ, _cores(os.environ))
        engine.run(wakeup, lock, lambda: os.write(sender, b"1"))
    return 0


def _options(argv: list[str]) -> Options:
    parser = argparse.ArgumentParser(prog="local_engine")
    parser.add_argument("execution", type=Path)
    parser.add_argument("--grace", type=float, default=10.0, help="seconds from SIGTERM to SIGKILL")
    parser.add_argument("--warning", type=float, default=60.0, help="seconds before the walltime")
    words = parser.parse_args(argv)
    root = words.execution.resolve()
    return Options(root, LocalQueue.of(str(root)).uuid, words.grace, words.warning)


def _cores(environ: Mapping[str, str]) -> Cores:
    if TOKEN_VARIABLE in environ:
        return Cores(None)  # a job has started us, and has its own cores for what we run
    folder = environ.get("DFH_LOCAL_CORES") or f"/tmp/dfh-{os.getuid()}"  # noqa: S108 - checked
    return Cores(shared_file(Path(folder)))


def _wake_on_child() -> int:
    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    signal.set_wakeup_fd(writer, warn_on_full_buffer=False)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    for ignored in (signal.SIGHUP, signal.SIGINT):
        signal.signal(ignored, signal.SIG_IGN)
    return reader


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
