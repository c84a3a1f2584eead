"""What a process may use (`ulimit`), told where the kernel has refused more of it.

It comes from the shell that submitted, where jobs run on its machine, else from theirs: no fault of
the code, which goes on where there is no such limit.
"""

from __future__ import annotations

import errno
import re

CPU_TIME = "The CPU time of a process is limited here (ulimit -t)."
FILE_SIZE = "The size of a file is limited here (ulimit -f)."
_NO_MEMORY = re.compile(
    r"can(?:no|')t allocate memory(?! in static TLS)|bad_alloc|failed to map segment", re.IGNORECASE
)
_SHORT_WRITE = re.compile(r"\d+ requested and \d+ written")
"""What numpy says where a write stops, without the number of the error."""


def words(error: BaseException) -> str:
    """Return what an exception was given to say; its `__str__`, of whatever class, may raise."""
    return " ".join(word for word in error.args if isinstance(word, str))


def errno_of(error: BaseException) -> int | None:
    """Return the number of what the operating system refused; None for any other error."""
    if not isinstance(error, OSError):
        return None
    if error.errno or not _SHORT_WRITE.search(words(error)):
        return error.errno
    import resource

    is_limited = resource.getrlimit(resource.RLIMIT_FSIZE)[0] != resource.RLIM_INFINITY
    return errno.EFBIG if is_limited else errno.ENOSPC


def warn_of_cpu_time() -> None:
    """Let the kernel say so where CPU time runs out: only at a soft limit below the hard one.

    At the hard one it sends the SIGKILL that want of memory has. The job's script does the same,
    which the ranks of other nodes are not started by.
    """
    import resource

    soft, hard = resource.getrlimit(resource.RLIMIT_CPU)
    if soft == hard != resource.RLIM_INFINITY and soft > 1:
        resource.setrlimit(resource.RLIMIT_CPU, (soft - 1, hard))


def elsewhere(limit: str, then: str) -> str:
    """Return the way on from a limit: what sets it, and what goes on without it."""
    return (
        f"{limit} The shell that submits sets it where jobs run on its machine, else theirs does. "
        f"Where it is not so: {then}."
    )


def limit_hint(error: BaseException, then: str) -> str:
    """Return the way on from an error that a limit of this process explains; empty for others."""
    limit = _limit(error)
    return elsewhere(limit, then) if limit else ""


def open_files_hint(error: BaseException) -> str:
    """Return the way on from too many open files, which the code opens; empty for other errors."""
    if errno_of(error) != errno.EMFILE:
        return ""
    import resource

    most = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    limit = f"One process may have {most} files open at once here (ulimit -n)"
    return f"{limit}: close each when it is read, or join the results in two steps."


def is_no_memory(error: BaseException) -> bool:
    """Tell whether an error says that there was no more memory, in the words of any library."""
    if isinstance(error, MemoryError) or errno_of(error) == errno.ENOMEM:
        return True
    return bool(_NO_MEMORY.search(words(error)))


def _limit(error: BaseException) -> str:
    import resource

    from .text import size

    def sentence(number: int, what: str) -> str:
        most = resource.getrlimit(number)[0]
        return "" if most == resource.RLIM_INFINITY else what.format(size(most))

    if is_no_memory(error):
        return sentence(
            resource.RLIMIT_AS, "A process may have {} of memory here (ulimit -v)."
        ) or (sentence(resource.RLIMIT_DATA, "A process may have {} of data here (ulimit -d)."))
    if errno_of(error) == errno.EFBIG:
        return sentence(resource.RLIMIT_FSIZE, "A file may have {} here (ulimit -f).")
    return ""
