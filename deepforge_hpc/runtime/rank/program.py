"""An operation that is a program: its words, its start, and the files that it leaves."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any

from ..base.arguments import fill
from ..base.failure import InterruptedJobError, JobError, Killed, ProgramError
from ..base.plan import OperationSource, argument_of
from ..base.signals import CRASHES, killed_by, signal_name
from ..formats.base import Format, FormatError
from .identity import Identity
from .messages import RankSpec

_MAX_NAMES = 5
_TELLING = CRASHES | {signal.SIGKILL, signal.SIGXCPU, signal.SIGXFSZ}
"""Signals that nobody but the system sends: an exit code of 128 more is no program's own."""


def run_program(spec: RankSpec, identity: Identity) -> dict[str, Path]:
    """Run a job's program to its end; return where its outputs are to be found."""
    source, scratch = spec.job.source, Path.cwd()
    assert source is not None
    for port in spec.job.outputs:
        (scratch / port.file).parent.mkdir(parents=True, exist_ok=True)
    values = _values(spec, identity, scratch)
    words = [filled for word in source.argv for filled in fill(word, values)]
    if source.kind == "script":
        _run_script(spec, source, words)
    else:
        _run_command(spec, source, words, identity)
    return {port.name: scratch / port.file for port in spec.job.outputs}


def adopt(fmt: Format, path: Path, file: str, stem: Path) -> Path:
    """Take what a program has left as a value of a format; FormatError if it is not there."""
    from ..formats import FORMATS
    from ..storage.landing import copy_path

    if not path.exists() or path.is_dir() != (fmt.id == "directory"):
        what = "folder" if fmt.id == "directory" else "file"
        raise FormatError(f"the program left no {what} {file}{_instead(path.parent)}")
    if not fmt.suffix:
        return FORMATS["directory" if path.is_dir() else "file"].save(path, stem)
    target = stem.with_name(stem.name + fmt.suffix)
    copy_path(path, target)
    return target


def _instead(folder: Path) -> str:
    """Say what there is in a folder, for who looks for a name in it."""
    names = sorted(path.name for path in folder.iterdir()) if folder.is_dir() else []
    more = ", ..." if names[_MAX_NAMES:] else ""
    return f" (there are {', '.join(names[:_MAX_NAMES])}{more})" if names else ""


def _values(spec: RankSpec, identity: Identity, scratch: Path) -> dict[str, str | list[str]]:
    """Return what each placeholder stands for."""
    job = spec.job
    values: dict[str, str | list[str]] = {
        "checkpoint_dir": os.environ.get("DFH_CHECKPOINT_DIR", ""),
        "code": spec.code,
        "python": sys.executable,
        "rank": str(identity.rank),
        "seed": str(job.seed),
        "world_size": str(identity.world_size),
    }
    for item in spec.inputs:
        name = f"inputs.{argument_of(item.port)}"
        if argument_of(item.port) == item.port:
            values[name] = item.path
        else:
            several = values.setdefault(name, [])
            assert isinstance(several, list)
            several.append(item.path)
    values |= {f"outputs.{port.name}": str(scratch / port.file) for port in job.outputs}
    values |= {f"attributes.{name}": _spelt(value) for name, value in job.attributes}
    return values


def _spelt(value: Any) -> str | list[str]:
    """Return a value as words: a text as it is, a list as its items, all else as in JSON."""
    import json

    def word(item: Any) -> str:
        return item if isinstance(item, str) else json.dumps(item, ensure_ascii=False)

    return [word(item) for item in value] if isinstance(value, list) else word(value)


def _run_script(spec: RankSpec, source: OperationSource, words: list[str]) -> None:
    """Be the program: `python FILE WORDS`, in this process, from the frozen file."""
    from .imports import FrozenLoader

    code = Path(spec.code)
    path = str(code / source.module)
    sys.argv[:] = [path, *words]
    sys.path[:0] = [str(code / folder) for folder in source.search]
    loader = FrozenLoader("__main__", path)
    main = ModuleType("__main__")
    vars(main).update(__file__=path, __loader__=loader, __spec__=None, __builtins__=__builtins__)
    sys.modules["__main__"] = main
    compiled = loader.get_code("__main__")
    assert compiled is not None
    try:
        exec(compiled, vars(main))  # noqa: S102 - this is what it is for
    except SystemExit as error:
        if error.code is None or error.code == 0:
            return
        if not isinstance(error.code, int):
            sys.stderr.write(f"{error.code}\n")  # as Python would
        name = source.module.partition("/")[2]
        said = error.code if isinstance(error.code, int) else 1
        raise JobError(f"{name} ended with exit code {said}.", _log_hint(spec)) from None


def _run_command(
    spec: RankSpec, source: OperationSource, words: list[str], identity: Identity
) -> None:
    """Start the program, and wait: it has this rank's environment, folder and log."""
    import subprocess

    environ = _environment(spec, source)
    child = None
    try:
        with _held():
            # Some MPI libraries hand their connection on as an open file.
            child = subprocess.Popen(
                words,
                stdin=subprocess.DEVNULL,
                close_fds=False,
                env=environ,
                preexec_fn=_deaf,  # noqa: PLW1509 - it only makes a system call
            )
        code = child.wait()
    except OSError as error:
        from .unstarted import unstarted

        raise unstarted(words[0], environ["PATH"], error, spec.execution) from None
    except InterruptedJobError as error:
        if child is not None:
            child.send_signal(signal.SIGTERM)
            child.wait()  # until the supervisor insists
        raise InterruptedJobError(*error.args) from None  # where it waited is no news
    if code:
        raise _failure(spec, words, code, identity)


def _deaf() -> None:
    """Ignore the warning before the time limit, which the whole group gets and most would die of.

    The program is told by SIGTERM, as for any other reason to stop.
    """
    signal.signal(signal.SIGUSR1, signal.SIG_IGN)


@contextmanager
def _held() -> Iterator[None]:
    """Hold signals back while a program starts: nobody would know of it that it must end."""
    came: list[int] = []
    numbers = (signal.SIGTERM, signal.SIGUSR1)
    before = {one: signal.signal(one, lambda number, _: came.append(number)) for one in numbers}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    if came:
        signal.raise_signal(came[0])


def _environment(spec: RankSpec, source: OperationSource) -> dict[str, str]:
    """Return the rank's environment; programs of the job's Python come first."""
    environ = dict(os.environ)
    folders = [str(Path(sys.executable).parent), environ.get("PATH", os.defpath)]
    environ["PATH"] = ":".join(folders)
    known = [str(Path(spec.code) / folder) for folder in source.search]
    given = environ.get("PYTHONPATH", "")
    environ["PYTHONPATH"] = ":".join([*known, *([given] if given else [])])
    return environ


def _failure(spec: RankSpec, words: list[str], code: int, identity: Identity) -> JobError:
    assert spec.job.source is not None
    name, look = spec.job.source.object, _log_hint(spec, identity)
    number = killed_by(code)
    if number is None or (code > 0 and number not in _TELLING):
        reason = f"{name} ended with exit code {code}."
        return ProgramError(reason, look, missing=_not_there(spec, words))
    what = name if code < 0 else f"What {name} ran"  # a shell says so of its last command
    reason = f"{what} was ended by {signal_name(number)}."
    return ProgramError(reason, killed=Killed(number, what, look))


def _not_there(spec: RankSpec, words: list[str]) -> Iterator[str]:
    """Yield what a program's words name that may be files, and are none."""
    from .missing import names_in

    made = {port.file for port in spec.job.outputs}
    for word in words:
        for name in names_in(word):
            if name not in made and not os.path.lexists(name):
                yield name


def _log_hint(spec: RankSpec, identity: Identity | None = None) -> str:
    rank = f" --rank {identity.rank}" if identity is not None and identity.world_size > 1 else ""
    return f"See the end of its log: dfh logs {spec.execution} {spec.job.name}{rank}"
