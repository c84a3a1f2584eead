"""Every error that this package raises on purpose.

DeepforgeHpcError                exit code 1
├── UsageError                   2   the command line does not fit
├── InvalidInputError            3   a file is wrong; carries every fault found
├── NoResourcesError             4   no queue of the site can hold the request
├── SchedulerError               5   the scheduler refused or did not answer
│   ├── NoSchedulerError             its commands cannot run on this host: nothing was sent
│   ├── TransientSchedulerError      worth another try (controller busy or down)
│   └── SubmitLimitError             a submit limit was reached
├── StorageError                 6   a file system refused (full, read-only, missing)
└── LedgerError                  7   a record, marker or digest does not hold

A message says what and where; the hint says what to do, with a command where there is one.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, ClassVar, NamedTuple

if TYPE_CHECKING:
    from typing_extensions import Self

    from deepforge_hpc.runtime.base.notice import Notice


class DeepforgeHpcError(Exception):
    """What went wrong and where (`message`), and what to do about it (`hint`)."""

    exit_code: ClassVar[int] = 1

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint


class UsageError(DeepforgeHpcError):
    """The command line or the call does not fit together."""

    exit_code = 2


class Fault(NamedTuple):
    """One fault of a user's file, at a place."""

    message: str
    file: str = ""
    """Path as the user would name it; empty if the fault has no file."""
    line: int = 0
    """1-based; 0 if unknown."""
    column: int = 0
    """1-based; 0 if unknown."""
    hint: str = ""

    @property
    def place(self) -> str:
        """Return `file:line:column`, as far as they are known."""
        return ":".join(str(part) for part in (self.file, self.line, self.column) if part)

    def notice(self, kind: str) -> Notice:
        """Return the fault as a warning: what it is about may be as the user wants it."""
        from deepforge_hpc.runtime.base.notice import Notice  # `dfh --help` needs none

        text = f"{self.place}: {self.message}" if self.place else self.message
        return Notice(kind, text, subject=self.place, next=self.hint)

    def __str__(self) -> str:
        return str(self.notice(""))


class InvalidInputError(DeepforgeHpcError):
    """One or more files are wrong; `faults` holds all that was found, not the first only."""

    exit_code = 3

    def __init__(self, faults: Sequence[Fault], hint: str = "") -> None:
        self.faults = tuple(faults)
        super().__init__("\n".join(str(fault) for fault in self.faults), hint)


class NoResourcesError(DeepforgeHpcError):
    """No queue of the site can hold a job's request."""

    exit_code = 4


class SchedulerError(DeepforgeHpcError):
    """The scheduler refused a request or did not answer."""

    exit_code = 5

    def __init__(
        self,
        message: str,
        hint: str = "",
        *,
        argv: Sequence[str] = (),
        returncode: int | None = None,
        stderr: str = "",
        then: str = "",
    ) -> None:
        super().__init__(message)
        self.argv = tuple(argv)
        self.returncode = returncode
        self.stderr = stderr
        self.then = then
        """What to do once the cause is mended; the end of the hint."""
        self.advise(hint)

    def again(self, message: str, hint: str, then: str = "") -> Self:
        """Return it with other words; what was run, and what it printed, stay."""
        argv, code, stderr = self.argv, self.returncode, self.stderr
        return type(self)(message, hint, argv=argv, returncode=code, stderr=stderr, then=then)

    def advise(self, hint: str) -> None:
        """Give another hint, but for its end; `step` is the hint without that."""
        self.step = hint
        self.hint = f"{hint.rstrip('. ')}. {self.then}" if hint and self.then else hint or self.then


class NoSchedulerError(SchedulerError):
    """The scheduler's commands are not there or not set up on this host, so nothing was sent."""


class TransientSchedulerError(SchedulerError):
    """The scheduler may answer if asked again (controller down, socket timed out)."""


class SubmitLimitError(SchedulerError):
    """A limit on the number of submitted jobs was reached."""


class StorageError(DeepforgeHpcError):
    """A file system refused: full, read-only, missing."""

    exit_code = 6


class LedgerError(DeepforgeHpcError):
    """A record, a marker or a digest does not hold."""

    exit_code = 7
