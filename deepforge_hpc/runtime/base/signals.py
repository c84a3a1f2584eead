"""Signals as a queue that can be waited for, so that nothing happens inside of a handler."""

from __future__ import annotations

import signal

STOPS = frozenset({signal.SIGTERM, signal.SIGUSR1, signal.SIGINT, signal.SIGHUP})
"""Those that ask a job to stop; SIGUSR1 is the walltime warning."""
CRASHES = frozenset(
    {signal.SIGSEGV, signal.SIGBUS, signal.SIGABRT, signal.SIGILL, signal.SIGFPE, signal.SIGSYS}
)
"""Those by which compiled code ends itself."""
_SHELL_SIGNALLED = 128


class SignalQueue:
    """Holds back SIGCHLD and the signals that ask to stop, from `__enter__` on."""

    def __init__(self) -> None:
        self._before: set[int] = set()
        self._wanted: set[signal.Signals] = set()
        self.stop: signal.Signals | None = None
        """The first signal that asked to stop."""

    def __enter__(self) -> None:
        # What is ignored (nohup) would still come through once it is held back.
        heeded = {number for number in STOPS if signal.getsignal(number) != signal.SIG_IGN}
        self._wanted = heeded | {signal.SIGCHLD}
        self._before = signal.pthread_sigmask(signal.SIG_BLOCK, self._wanted)

    def __exit__(self, *_error: object) -> None:
        self.release()

    def release(self) -> None:
        """Let signals come as before; a child does this, since it inherits what is held back."""
        signal.pthread_sigmask(signal.SIG_SETMASK, self._before)

    def wait(self, timeout_s: float) -> signal.Signals | None:
        """Return the next stop signal; None for the end of a child, or when the time is over."""
        found = signal.sigtimedwait(self._wanted, max(0.0, timeout_s))
        if found is None or found.si_signo not in STOPS:
            return None
        number = signal.Signals(found.si_signo)
        if self.stop is None:
            self.stop = number
        return number


def killed_by(code: int) -> int | None:
    """Return the signal in an exit code, which may be told as a shell does; None if it has none.

    A program ends with 255 by itself, too: `exit(-1)`.
    """
    number = -code if code < 0 else code - _SHELL_SIGNALLED
    return number if number in signal.valid_signals() else None


def signal_name(number: int) -> str:
    """Return `SIGKILL`, or `signal 40` for one without a name."""
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"
