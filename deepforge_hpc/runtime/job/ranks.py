"""Start the ranks of a job, watch them, and end them when the job is asked to stop."""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from ..base.context import Context
from ..base.failure import EXIT_ENVIRONMENT, EXIT_INTERRUPTED, JobError
from ..base.files import read_own
from ..base.signals import SignalQueue
from ..base.states import State

_KILL_AFTER_S = 5.0
_REFRESH_S = 15.0
_REPEAT_S = 1.0
_SHORT_GRACE_S = 2.0
_STDERR = 2


class Ended(NamedTuple):
    """How the ranks, or what launched them, ended."""

    code: int
    """Exit code, or minus the number of the signal that killed the process."""
    killed_by_us: bool


def _grace_s(stop: signal.Signals, after_term: float) -> float:
    """Return how long ranks may take to end after a signal; SIGUSR1 comes a minute before the
    walltime."""
    given = os.environ.get("DFH_GRACE", "")
    if given.replace(".", "", 1).isdigit():
        return float(given)
    if stop == signal.SIGUSR1:
        return 30.0
    return after_term


class Ranks:
    """The process of the one rank, or of the launcher of several."""

    def __init__(
        self,
        argv: list[str],
        environ: dict[str, str],
        signals: SignalQueue,
        *,
        own_group: bool,
        grace_s: float,
    ) -> None:
        self._signals = signals
        self._grace_s = grace_s
        self._own_group = own_group
        launcher = _find(argv[0], environ)
        held, self._lifeline = os.pipe()  # the child holds one end, and only we the other
        self._pid = os.fork()
        if self._pid == 0:
            try:
                os.set_inheritable(held, True)
                if own_group:
                    os.setpgid(0, 0)
                for number in (signal.SIGPIPE, signal.SIGXFSZ):  # Python ignores these
                    signal.signal(number, signal.SIG_DFL)
                signals.release()
                os.execve(launcher, argv, environ)  # noqa: S606 - argv is a list, no shell
            except OSError as error:
                os.write(_STDERR, f"dfh: {argv[0]}: {error.strerror}\n".encode())
            finally:
                os._exit(127)
        if own_group:
            with suppress(OSError):  # in both processes: which of them runs first is unknown
                os.setpgid(self._pid, self._pid)
            # The only rank is killed with us; a launcher gets the chance to end its ranks.
            number = signal.SIGKILL if argv[1:2] == ["-m"] else signal.SIGTERM
            _signal_on_close(held, group=self._pid, number=number)
        os.close(held)

    def watch(self, refresh: Callable[[], None]) -> Ended:
        """Wait for the end; pass on signals, and insist when the grace is over."""
        deadline = float("inf")
        next_refresh = time.monotonic() + 1.0
        last = float("-inf")
        insist = signal.SIGKILL
        is_stopping = killed = False
        while not self._has_ended():
            now = time.monotonic()
            number = self._signals.wait(min(deadline, next_refresh) - now)
            now = time.monotonic()
            if number is not None:
                if now - last > _REPEAT_S:  # a batch script passes on what its group got as well
                    self._send(number)
                    deadline = now + (
                        _SHORT_GRACE_S if is_stopping else _grace_s(number, self._grace_s)
                    )
                    is_stopping = True
                    insist = signal.SIGTERM if number == signal.SIGUSR1 else signal.SIGKILL
                last = now
            if now >= deadline:
                self._send(insist)  # a launcher ends its ranks at a SIGTERM, not at a SIGKILL
                killed = True
                insist = signal.SIGKILL
                deadline = now + _KILL_AFTER_S
            if now >= next_refresh:
                refresh()
                next_refresh = now + _REFRESH_S
        return self._reap(killed=killed)

    def _has_ended(self) -> bool:
        flags = os.WEXITED | os.WNOHANG | os.WNOWAIT
        return os.waitid(os.P_PID, self._pid, flags) is not None

    def _send(self, number: signal.Signals) -> None:
        with suppress(ProcessLookupError):
            if self._own_group:
                os.killpg(self._pid, number)
            else:
                os.kill(self._pid, number)

    def _reap(self, *, killed: bool) -> Ended:
        """Collect the exit code; what the ranks left running ends with them."""
        if self._own_group:
            # Before the wait, while the id of the group cannot belong to anyone else.
            self._send(signal.SIGKILL)
        _, status = os.waitpid(self._pid, 0)
        os.close(self._lifeline)
        return Ended(os.waitstatus_to_exitcode(status), killed)


def _find(command: str, environ: dict[str, str]) -> str:
    """Return the path of a command; JobError if PATH does not have it."""
    if "/" in command:
        return command
    beside = sys.executable.rpartition("/")[0]  # where torchrun is, if no environment is activated
    for folder in (*environ.get("PATH", os.defpath).split(":"), beside):
        path = f"{folder or '.'}/{command}"
        if os.access(path, os.X_OK) and not os.path.isdir(path):  # noqa: PTH112 - a str in, a str out
            return path
    reason = f"The launcher {command} is not on PATH of {os.uname().nodename}."
    hint = "Load the module that brings it (environment: modules), or use launch: none."
    raise JobError(reason, hint, exit_code=EXIT_ENVIRONMENT)


def _signal_on_close(reader: int, *, group: int, number: signal.Signals) -> None:
    """Let the kernel signal a process group when the other end of a pipe is closed (fcntl(2)).

    So ranks do not go on for ever after a SIGKILL of the supervisor. Any process of the group has
    to hold the reading end; it needs no thread for that, and `ctypes` for prctl(2) is not needed.
    """
    import fcntl

    fcntl.fcntl(reader, fcntl.F_SETSIG, number)
    fcntl.fcntl(reader, fcntl.F_SETOWN, -group)
    fcntl.fcntl(reader, fcntl.F_SETFL, os.O_ASYNC)


def oom_kills() -> int | None:
    """Return how many processes of our cgroup the kernel has killed for memory; None if unknown."""
    try:
        groups = read_own(Path("/proc/self/cgroup")).decode().splitlines()
    except OSError:
        return None
    for group in groups:
        number, controllers, path = group.split(":", 2)
        if number == "0":
            file = Path(f"/sys/fs/cgroup{path}/memory.events")
        elif "memory" in controllers.split(","):
            file = Path(f"/sys/fs/cgroup/memory{path}/memory.oom_control")
        else:
            continue
        try:
            lines = read_own(file).decode().splitlines()
        except OSError:
            continue
        for line in lines:
            name, _, value = line.partition(" ")
            if name == "oom_kill":
                return int(value)
    return None


def interruption(context: Context, stop: signal.Signals, *, killed: bool) -> JobError:
    """Return the error of a job that was asked to stop."""
    why = "the walltime warning (SIGUSR1)" if stop == signal.SIGUSR1 else stop.name
    reason = f"The job was interrupted by {why}."
    if killed:
        reason += " Its ranks did not end in time and were killed."
    hint, is_retryable, lacks = f"dfh resume {context.info.id} runs what is missing.", True, ""
    if stop == signal.SIGUSR1:
        from ..base.advice import limit_advice

        has_checkpoint = context.folder.has_checkpoint()
        hint, is_retryable, lacks = limit_advice(context.info.id, has_checkpoint=has_checkpoint)
    return JobError(
        reason,
        hint,
        exit_code=EXIT_INTERRUPTED,
        state=State.INTERRUPTED,
        is_retryable=is_retryable,
        lacks=lacks,
    )
