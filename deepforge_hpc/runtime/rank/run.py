"""One rank of a job: this process *is* the operation."""

from __future__ import annotations

import faulthandler
import os
import signal
import sys
import time
from contextlib import suppress
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Any

from ..base.arguments import PROGRAMS
from ..base.codec import encode, parse
from ..base.failure import EXIT_FAILED, EXIT_INTERRUPTED, InterruptedJobError, tell
from ..base.files import opened, publish_json, read_own
from ..base.layout import DONE, RANK_SPEC, RESERVE
from .identity import Identity, find_identity, rank_variables
from .messages import RankSpec

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ..formats.base import Format

_STDOUT, _STDERR = 1, 2


def error_file(work: Path, rank: int) -> Path:
    """Return where a rank says why it failed."""
    return work / f"error-{rank:05d}.json"


def main() -> int:
    """Run the operation; the exit code tells the supervisor how it went."""
    faulthandler.enable()
    work = Path(os.environ["DFH_WORK"])
    spec = parse(RankSpec, read_own(work / RANK_SPEC))
    launch = spec.job.launch
    rank, code, capture = 0, 0, None
    try:
        identity = find_identity(os.environ, launch, spec.variables)
        rank = identity.rank
        _prepare(spec, identity)
        capture = _capture_figures(spec)
        _run(spec, identity)
        with suppress(ValueError, AttributeError):  # user code may have closed or replaced it
            sys.stdout.flush()  # a full disk has a name here; at exit it would be exit code 120
        if launch.world_size > 1:
            _note_done(work / DONE, rank)
    except (InterruptedJobError, KeyboardInterrupt) as error:
        _report(spec, rank, error, interrupted=True)
        code = EXIT_INTERRUPTED
    except BaseException as error:  # noqa: BLE001 - the outer edge: whatever user code raises
        interrupted = isinstance(error.__cause__, InterruptedJobError)  # wrapped on its way
        _report(spec, rank, error, interrupted=interrupted)
        code = EXIT_INTERRUPTED if interrupted else EXIT_FAILED
    if spec.home:
        from .left import carry

        carry(spec, Path(os.environ["DFH_SCRATCH"]))
    if code and launch.world_size > 1:
        _leave(code, capture)
    return code


def _leave(code: int, capture: Any) -> None:
    """End at once: MPI_Finalize at exit would wait for ranks that wait for this one."""
    if capture is not None:
        capture.finish()
    for stream in (sys.stdout, sys.stderr):
        with suppress(OSError, ValueError, AttributeError):  # closed, replaced, or on a full disk
            stream.flush()
    os._exit(code)


def _note_done(path: Path, rank: int) -> None:
    """Leave this rank's note: an exit code of 0 is also that of `os._exit(0)` in the operation.

    One file for all: an open each, where a file each would be as many creations and removals.
    """
    # O_DSYNC: an NFS client writes whole pages otherwise, and so over the notes of other nodes.
    with opened(path, os.O_WRONLY | os.O_DSYNC) as handle:
        os.pwrite(handle, b"1", rank)


def _prepare(spec: RankSpec, identity: Identity) -> None:
    """Make this process what user code expects to find: logs, signals, folder, rank."""
    os.environ["DFH_RANK"] = str(identity.rank)
    if spec.job.launch.argv:
        os.environ.update(rank_variables(os.environ, spec.job, identity))
    if spec.job.launch.world_size > 1 or spec.job.resources.gpus_per_node:
        from .variables import variables

        os.environ.update(variables(os.environ, spec.job))
    if spec.job.resources.nodes > 1:
        from ..base.limits import warn_of_cpu_time

        warn_of_cpu_time()
    if spec.job.launch.world_size > 1:
        _redirect(Path(spec.rank_log.format(rank=identity.rank)), copy=identity.rank == 0)
    for number in (signal.SIGTERM, signal.SIGUSR1):
        signal.signal(number, _interrupt)
    scratch = Path(os.environ["DFH_SCRATCH"])
    scratch.mkdir(0o700, parents=True, exist_ok=True)  # on another node it may not be there yet
    os.chdir(scratch)


def _run(spec: RankSpec, identity: Identity) -> None:
    from ..formats import load_formats
    from .imports import use_sources_only

    use_sources_only(Path(spec.code))
    if spec.job.launch.world_size > 1:
        from .mpi import watch

        watch(spec.job.launch)
    formats = load_formats(Path(spec.code))
    if identity.rank == 0:
        from .saving import check_formats

        check_formats(spec, formats)
    try:
        values = _values(spec, identity, formats)
    finally:
        if identity.rank == 0:  # of a job that fails too: a new version may be why
            from .packages import note_packages

            note_packages(Path(spec.work), sys.path)
    if identity.rank == 0:
        from .saving import save_outputs

        for number in (signal.SIGTERM, signal.SIGUSR1):
            signal.signal(number, signal.SIG_IGN)  # it is made: the grace is for saving it
        save_outputs(spec, values, formats)


def _values(
    spec: RankSpec, identity: Identity, formats: Mapping[str, Format]
) -> Mapping[str, object]:
    """Do the work, unless what it made was kept; return the outputs by name."""
    if spec.job.source is not None and spec.job.source.kind in PROGRAMS:
        from .program import run_program

        return run_program(spec, identity) if spec.taken is None else {}
    from .operation import load_operation, run_operation, run_start_up

    run_start_up(Path(spec.code))
    target = load_operation(spec)  # what was kept may be of its classes
    return run_operation(spec, target, formats) if spec.taken is None else {}


def _capture_figures(spec: RankSpec) -> Any:
    try:
        from ..figures.hook import install
        from ..figures.identity import FigureId

        drawer = FigureId(spec.execution, spec.job.name, spec.task, spec.attempt, spec.uuid)
        return install(Path(spec.figures), drawer)
    except Exception as error:  # noqa: BLE001 - figures are extra: they must never fail a job
        sys.stderr.write(f"dfh: figures are not captured: {error!r}\n")
        return None


def _interrupt(number: int, _frame: FrameType | None) -> None:
    for again in (signal.SIGTERM, signal.SIGUSR1, signal.SIGINT):
        signal.signal(again, signal.SIG_IGN)  # let `finally` blocks finish; SIGKILL comes if not
    raise InterruptedJobError(signal.Signals(number).name)


def _report(spec: RankSpec, rank: int, error: BaseException, *, interrupted: bool) -> None:
    """Leave the error for the supervisor, and the traceback in the log."""
    from .explain import describe

    said = describe(error, rank=rank, code=spec.code)
    host = os.uname().nodename
    data = encode(said._replace(time=time.time(), interrupted=interrupted, host=host))
    work = Path(spec.work)
    try:
        publish_json(error_file(work, rank), data, durable=False)
    except OSError:
        (work / RESERVE).unlink(missing_ok=True)
        with suppress(OSError):  # then the log alone has it, and this rank still has to end
            publish_json(error_file(work, rank), data, durable=False)
    # The supervisor says the reason; one rank of several has a log of its own, which needs it too.
    if said.traceback or spec.job.launch.world_size > 1:
        tell("\n".join(said.traceback or [f"dfh: {said.reason}"]))


def _redirect(log: Path, *, copy: bool) -> None:
    """Send what this process prints to its own log; rank 0 (`copy`) also to the job's log."""
    flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC
    target = os.open(log, flags, 0o644)
    if copy:
        reader, writer = os.pipe()
        if os.fork() == 0:
            os.close(writer)
            _pump(reader, (target, _STDOUT))
        os.close(reader)
        os.close(target)
        target = writer
    sys.stdout.flush()
    sys.stderr.flush()
    os.dup2(target, _STDOUT)
    os.dup2(target, _STDERR)
    os.close(target)


def _pump(reader: int, targets: tuple[int, ...]) -> None:
    """Copy until the rank and its children have closed their ends; a process of its own, so that
    the last words of a crash are not lost."""
    os.setpgid(0, 0)
    for number in (signal.SIGTERM, signal.SIGUSR1, signal.SIGINT):
        signal.signal(number, signal.SIG_IGN)
    try:
        while data := os.read(reader, 1 << 16):
            for target in targets:
                with suppress(OSError):  # one on a full disk: the rank must not end for its log
                    _write_all(target, data)
    finally:
        os._exit(0)


def _write_all(target: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(target, view) :]
