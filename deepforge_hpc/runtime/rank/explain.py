"""What a person needs to see of an exception: a sentence, and the traceback in their own code."""

from __future__ import annotations

import re
import sys
import traceback
from collections.abc import Iterator
from types import TracebackType

from ..base.advice import MEMORY, MEMORY_HINT, PACKAGE
from ..base.failure import JobError, ProgramError, disk_hint, resume
from ..base.limits import is_no_memory, limit_hint, open_files_hint
from ..base.text import plain
from .messages import RankError, execution_of
from .missing import missing_files

_BACKENDS = ("tensorflow", "jax", "torch")
"""Of Keras, the one first that it takes by itself."""
_MAX_LINES = 200
_OF_HOROVOD = re.compile(
    r"No module named 'horovod|Extension horovod\S* has not been built|"
    r"horovod\S*\.so\b.*undefined symbol|libmpi\S*: cannot open shared object"
)
_BUILD_HOROVOD = (
    "Horovod is built for one Python, one TensorFlow (or PyTorch) and one MPI. In the job's "
    "environment, with mpicc on PATH: HOROVOD_WITH_MPI=1 HOROVOD_WITH_TENSORFLOW=1 pip install "
    "--no-cache-dir --no-build-isolation horovod==0.28.1; see horovodrun --check-build."
)


def describe(error: BaseException, *, rank: int, code: str) -> RankError:
    """Return what is to be said of an exception; frames of this runtime are left out."""
    if isinstance(error, JobError):
        cause = error.__cause__
        found = describe(cause, rank=rank, code=code) if cause else RankError(rank)
        if isinstance(error, ProgramError):
            found = found._replace(killed=error.killed, missing=error.missing)
        return found._replace(
            reason=_utf8(error.reason),
            hint=error.hint,
            is_retryable=error.is_retryable,
            lacks=error.lacks,
        )
    trace = traceback.TracebackException.from_exception(error, compact=True)
    _clean(trace, code)
    lines = [line for text in trace.format() for line in text.rstrip("\n").split("\n")]
    if len(lines) > _MAX_LINES:
        half = _MAX_LINES // 2
        lines = [*lines[:half], f"  … {len(lines) - _MAX_LINES} lines …", *lines[-half:]]
    file, line = _place(error, code)
    execution = execution_of(code)
    kind, text = type(error).__name__, _message(error)
    message = plain(text)
    where = f" ({file}:{line})" if file else ""
    is_outside = any(_outside(one, execution) for one in _chain(error))
    return RankError(
        rank=rank,
        type=kind,
        message=_utf8(text[:10_000]),
        traceback=tuple(_utf8(line) for line in lines),
        file=file,
        line=line,
        reason=_utf8(_sentence(error, kind, message) + where + "."),
        hint=_hint(error, execution),
        is_retryable=is_outside,
        lacks="" if is_outside else _lacks(error),
        missing=missing_files(((one, _message(one)) for one in _chain(error)), code),
    )


def _chain(error: BaseException) -> Iterator[BaseException]:
    """Yield an exception and what it was raised for: many libraries wrap what they met."""
    seen: set[int] = set()
    todo: BaseException | None = error
    while todo is not None and id(todo) not in seen:
        yield todo
        seen.add(id(todo))
        todo = todo.__cause__ or (None if todo.__suppress_context__ else todo.__context__)


def _outside(error: BaseException, execution: str) -> str:
    """Return the way on from a fault that is none of the code; empty if it is no such one."""
    return disk_hint(error, execution) or limit_hint(error, resume(execution))


def _message(error: BaseException) -> str:
    try:
        return str(error)
    except Exception as fault:  # noqa: BLE001 - the user's own __str__ may raise anything
        return f"(its message cannot be shown: {type(fault).__name__})"


def _utf8(text: str) -> str:
    """Return text without lone surrogates, which no file in UTF-8 can hold."""
    return text.encode("utf-8", "backslashreplace").decode()


def _sentence(error: BaseException, kind: str, message: str) -> str:
    if isinstance(error, SystemExit):
        return f"The operation called sys.exit({error.code!r}) before it returned its outputs"
    if isinstance(error, MemoryError):
        return "The operation ran out of memory" + (f": {message}" if message else "")
    text = message.rstrip(".")
    return f"The operation raised {kind}" + (f": {text}" if text else "")


def _hint(error: BaseException, execution: str) -> str:
    if _OF_HOROVOD.search(f"{type(error).__name__}: {_message(error)}"):
        return _BUILD_HOROVOD
    if isinstance(error, ModuleNotFoundError):
        if other := _other_backend(error):
            return (
                f"Keras runs on {error.name} here unless it is told otherwise, and {other} is "
                f"installed: write `env: {{KERAS_BACKEND: {other}}}` in the pipeline."
            )
        if package := _missing_package(error):
            where = f"for {sys.executable}, or name an `environment:` that has it"
            return f"Install {package} {where}, and submit again: a plan holds what is installed."
        return f"Is it installed for {sys.executable}? See `environment:` of the site or pipeline."
    hints = (_hint_of_system(one, execution) for one in _chain(error))
    return next(filter(None, hints), "")


def _lacks(error: BaseException) -> str:
    """Return what the machine, or the environment, has not: nothing that an edit mends."""
    if any(is_no_memory(one) for one in _chain(error)):
        return MEMORY
    is_package = isinstance(error, ModuleNotFoundError) and not _other_backend(error)
    return PACKAGE if is_package and _missing_package(error) else ""


def _missing_package(error: BaseException) -> str:
    """Return the package that an import did not find; one that lacks a module is there."""
    name = getattr(error, "name", "") or ""
    return "" if "." in name or name in sys.stdlib_module_names else name


def _hint_of_system(error: BaseException, execution: str) -> str:
    """Return what to do where the machine gave no more of something."""
    memory = MEMORY_HINT if is_no_memory(error) else ""
    return _outside(error, execution) or memory or open_files_hint(error)


def _other_backend(error: ModuleNotFoundError) -> str:
    """Return what Keras could run on here, if it is Keras that misses its backend; else nothing."""
    from importlib.util import find_spec

    is_keras = any("/keras/src/" in name for name, _ in _frames(error.__traceback__))
    if not is_keras or error.name not in _BACKENDS:
        return ""
    return next((name for name in _BACKENDS if name != error.name and find_spec(name)), "")


def _clean(found: traceback.TracebackException, code: str) -> None:
    """Drop our own frames, and show frozen files by the names that the user knows them by."""
    seen: set[int] = set()
    todo: list[traceback.TracebackException | None] = [found]
    while todo:
        item = todo.pop()
        if item is None or id(item) in seen:
            continue
        seen.add(id(item))
        kept = [frame for frame in item.stack if not _is_own(frame.filename)]
        for frame in kept:
            frame.filename = _shown(frame.filename, code)
        item.stack[:] = kept
        todo += [item.__cause__, item.__context__, *(getattr(item, "exceptions", None) or ())]


def _place(error: BaseException, code: str) -> tuple[str, int]:
    """Return file and line of the innermost frame in the user's code, else of the innermost one."""
    if isinstance(error, SyntaxError) and error.filename:
        return _shown(error.filename, code), error.lineno or 0
    frames = [(name, line) for name, line in _frames(error.__traceback__) if not _is_own(name)]
    users = [frame for frame in frames if frame[0].startswith(f"{code}/project/")]
    name, line = (users or frames or [("", 0)])[-1]
    return _shown(name, code), line


def _frames(trace: TracebackType | None) -> list[tuple[str, int]]:
    frames = []
    while trace is not None:
        frames.append((trace.tb_frame.f_code.co_filename, trace.tb_lineno))
        trace = trace.tb_next
    return frames


def _is_own(filename: str) -> bool:
    own = _is_own.__code__.co_filename.removesuffix("rank/explain.py")
    return filename.startswith((own, "<frozen "))


def _shown(filename: str, code: str) -> str:
    for folder in ("project/", "library/", ""):
        prefix = f"{code}/{folder}"
        if filename.startswith(prefix):
            return filename[len(prefix) :]
    return filename
