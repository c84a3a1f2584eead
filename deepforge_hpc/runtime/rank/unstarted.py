"""Why a program could not be started: the system says one word for several causes."""

from __future__ import annotations

import errno
import os
import shutil
from pathlib import Path

from ..base.failure import JobError, ProgramError, os_hint, resume
from ..base.limits import limit_hint
from ..base.text import plain

_FIRST_LINE = 256


def unstarted(program: str, path: str, error: OSError, execution: str) -> JobError:
    """Return the error of a program, as it was written, that was looked for on a PATH."""
    then = resume(execution)
    reason = f"{plain(program, 200)} cannot be started on {os.uname().nodename}: "
    outside = limit_hint(error, then) or os_hint(error, then)
    found = shutil.which(program, path=path) or program
    if error.errno == errno.ENOENT:
        why, hint = _not_there(program, found)
    elif error.errno in {errno.EACCES, errno.ENOEXEC}:
        why, hint = _not_run(found)
    elif outside or error.errno in {errno.ENOMEM, errno.EAGAIN}:
        return JobError(
            f"{reason}{error.strerror}.", outside or f"Then: {then}.", is_retryable=True
        )
    else:
        why, hint = error.strerror or str(error), "See its words under `command:` and `args:`."
    missing = () if os.path.lexists(program) else (program,)
    return ProgramError(f"{reason}{why}.", f"{hint} Then submit again.", missing=missing)


def _not_there(program: str, found: str) -> tuple[str, str]:
    if os.path.lexists(found):
        return _no_interpreter(Path(found))
    if "/" not in program:
        hint = (
            "Bring it there by `environment:` (modules, conda) of the site or pipeline, or write "
            "its whole path."
        )
        return "it is on no folder of the job's PATH", hint
    where = ", looked for from the job's folder, which begins empty"
    if program.startswith("/"):
        where = ""
    return f"there is no such file{where}", "Write the path that it has on the nodes."


def _no_interpreter(path: Path) -> tuple[str, str]:
    """Return what is to be said of a program that is there, and what runs it is not."""
    first = _first_line(path)
    if not first.startswith(b"#!"):
        return (
            "what loads it is not there",
            "It was built for another machine: build it on this one.",
        )
    words = plain(first[2:].decode(errors="replace"), 100).split()
    if first.endswith(b"\r"):
        hint = "Write it with the ends of lines of Unix (sed -i 's/\\r$//')."
        return "its first line ends as on Windows", hint
    hint = "Correct that line, or write the interpreter before it in `command:`."
    return f"its first line names {words[0] if words else 'nothing'}, which is not there", hint


def _not_run(found: str) -> tuple[str, str]:
    path = Path(found)
    if path.is_dir():
        return "it is a folder", "Write the path of the program in it."
    if not os.access(path, os.X_OK):
        hint = "Make it executable (chmod +x), or write its interpreter before it in `command:`."
        return "it is not executable", hint
    if _first_line(path).startswith(b"#!"):
        return "its interpreter is not executable", "Correct its first line."
    hint = "Build it on this machine; of a script, write its interpreter before it in `command:`."
    return "it is no program of this machine, and has no line `#!`", hint


def _first_line(path: Path) -> bytes:
    try:
        with path.open("rb") as stream:
            return stream.read(_FIRST_LINE).partition(b"\n")[0]
    except OSError:
        return b""
