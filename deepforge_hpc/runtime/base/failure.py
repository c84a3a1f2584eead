"""How a job ends when it does not succeed: exit codes, and the one exception that carries them."""

# Annotations are types here, which the codec reads.
import errno
import os
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from .states import State

EXIT_FAILED = 1
EXIT_INTERRUPTED = 75
EXIT_UPSTREAM = 86
EXIT_NOT_AS_SUBMITTED = 87
EXIT_ENVIRONMENT = 88
EXIT_NOT_PUBLISHED = 89
_FULL = frozenset({errno.ENOSPC, errno.EDQUOT})


class Raised(NamedTuple):
    """What the rank that failed first left."""

    type: str = ""
    message: str = ""
    traceback: tuple[str, ...] = ()
    rank: int = 0
    file: str = ""
    line: int = 0


class JobError(Exception):
    """Why a job cannot go on: a sentence (`reason`), and what to do about it (`hint`).

    `is_retryable`: the same frozen code may do better in another run; the fault is outside of it.
    `lacks`: what it had too little of, in the words of `advice`; empty for a fault of the code.
    """

    def __init__(
        self,
        reason: str,
        hint: str = "",
        *,
        exit_code: int = EXIT_FAILED,
        state: State = State.FAILED,
        error: Raised | None = None,
        is_retryable: bool = False,
        lacks: str = "",
    ) -> None:
        super().__init__(reason)
        self.reason = reason
        self.hint = hint
        self.exit_code = exit_code
        self.state = state
        self.error = error
        self.is_retryable = is_retryable
        self.lacks = lacks


class Killed(NamedTuple):
    """What a signal has ended."""

    signal: int = 0
    """0 for nothing."""
    what: str = "The operation"
    look: str = ""
    """Where more stands of it."""


class ProgramError(JobError):
    """A program of the job did not end as it should; the supervisor knows what that may mean."""

    def __init__(
        self,
        reason: str,
        hint: str = "",
        *,
        killed: Killed | None = None,
        missing: Iterable[str] = (),
    ) -> None:
        super().__init__(reason, hint)
        self.killed = killed or Killed()
        self.missing = tuple(missing)


class InterruptedJobError(BaseException):
    """Raised in user code by a signal, so that its `finally` blocks run; not an `Exception`."""


def not_as_submitted(reason: str, hint: str = "") -> JobError:
    """Return the error (87) of frozen files that are not what was submitted."""
    again = "Submit the pipeline again: dfh submit takes up edits, a frozen execution must not be "
    return JobError(reason, hint or f"{again}edited.", exit_code=EXIT_NOT_AS_SUBMITTED)


def tell(text: str) -> None:
    """Add lines to the job's log; one on a full disk must not hide why the job ends.

    Straight to the file: what is left in a buffer would change the exit code at the end.
    """
    with suppress(OSError):
        os.write(2, f"{text}\n".encode("utf-8", "backslashreplace"))


def explain_os_error(error: OSError) -> str:
    """Return what the operating system said, and about which file."""
    what = error.strerror or str(error)
    return f"{what}: {error.filename}" if error.filename else what


def resume(execution: str) -> str:
    """Return the command that runs again what did not succeed of an execution."""
    return f"dfh resume {execution}"


def disk_hint(error: BaseException, execution: str) -> str:
    """Return what to do about a disk that was full for an execution; empty for any other error."""
    from .limits import errno_of

    return os_hint(error, resume(execution)) if errno_of(error) in _FULL else ""


def os_hint(error: BaseException, then: str = "try again") -> str:
    """Return what to do about what the operating system refused; empty where that is not known."""
    from .limits import errno_of, limit_hint

    number = errno_of(error)
    if number in _FULL:
        return f"Free some space or quota (dfh executions list shows sizes), then: {then}."
    if number in {errno.EACCES, errno.EPERM}:
        return f"{_permission_hint(str(getattr(error, 'filename', '') or ''))}, then: {then}."
    if number == errno.EROFS:
        return f"It is mounted read-only here: go where it is not, then: {then}."
    if number == errno.EFBIG:
        return limit_hint(error, then)
    return ""


def resume_hint(error: OSError, execution: str) -> str:
    """Return what to do about what stopped a job of an execution, and goes on once it is mended."""
    then = resume(execution)
    return os_hint(error, then) or f"Mend that, then: {then}"


def _permission_hint(path: str) -> str:
    """Say who can give the right to write: the owner of the path, or of what is above it."""
    owner = os.geteuid()
    for place in (Path(path), *Path(path).parents):
        with suppress(OSError):
            owner = place.lstat().st_uid
            break
    if owner == os.geteuid():
        return "Change its permissions"
    import pwd

    with suppress(KeyError):
        return f"It belongs to {pwd.getpwuid(owner).pw_name}: ask for the right to write there"
    return f"It belongs to user {owner}: ask for the right to write there"
