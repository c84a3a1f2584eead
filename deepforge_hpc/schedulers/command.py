"""Runs the scheduler's commands: argument lists, never a shell; time-outs; when to retry."""

from __future__ import annotations

import logging
import os
import select
import shutil
import signal
import subprocess
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import IO

from deepforge_hpc.errors import NoSchedulerError, SchedulerError, TransientSchedulerError

_LOG = logging.getLogger(__name__)

# Variables of the submitting shell that would change what a command does, or reach the new job.
_SCRUBBED = ("SLURM_", "SBATCH_", "SQUEUE_", "SACCT_", "SCANCEL_", "SCONTROL_", "PMI", "DFH_")
# These two say which cluster is meant; set and empty, they are an error to Slurm's commands.
_KEPT = frozenset({"SLURM_CONF", "SLURM_CLUSTERS"})
# All nodes of a large machine are some 10 MB; a command that prints more than this has gone wild.
_MOST_BYTES = 64 << 20


def reaching(cluster: str) -> tuple[tuple[str, str], ...]:
    """Return the variables by which commands ask a cluster; none if it is not named."""
    return (("SLURM_CLUSTERS", cluster),) if cluster else ()


def scrub(environ: Mapping[str, str]) -> dict[str, str]:
    """Return an environment without what belongs to the job or shell that the caller runs in."""
    kept = {
        name: value
        for name, value in environ.items()
        if (name in _KEPT and value) or not name.startswith(_SCRUBBED)
    }
    kept["LC_ALL"] = "C"  # the messages are matched
    return kept


@dataclass(frozen=True, slots=True, kw_only=True)
class Completed:
    """What a command that ended has left."""

    argv: tuple[str, ...]
    returncode: int
    stdout: str
    stderr: str


@dataclass(frozen=True, slots=True, kw_only=True)
class CommandRunner:
    """Runs commands that end by themselves."""

    timeout_s: float = 60
    pauses_s: tuple[float, ...] = (1, 3)
    """Pause before each retry of a command that may be repeated."""
    patience_s: float = 5.0
    """A command that failed later than this has tried again itself, as Slurm's do: none of ours."""
    variables: tuple[tuple[str, str], ...] = ()
    """Added to the scrubbed environment."""
    environ: Mapping[str, str] | None = None
    """In place of the environment of this process."""

    @property
    def given(self) -> Mapping[str, str]:
        """Return the environment before it is scrubbed."""
        return os.environ if self.environ is None else self.environ

    def run(self, argv: Sequence[str], *, directory: str | None = None) -> Completed:
        """Run a command once and return what it left, whatever its exit code.

        Raises NoSchedulerError if there is no such program or it cannot be run, SchedulerError if
        it prints without end, TransientSchedulerError on time-out.
        """
        environ = scrub(self.given)
        environ.update(self.variables)
        begin = time.monotonic()
        try:
            done = self._ended(argv, directory, environ)
        except FileNotFoundError as error:
            if directory is not None and not os.access(directory, os.X_OK):
                message = f"{directory}: no such folder"
                raise SchedulerError(message, argv=argv) from error
            raise _not_found(argv) from error
        except OSError as error:  # not a program: no permission, or neither binary nor script
            message = f"{argv[0]} cannot be run: {error.strerror}"
            hint = f"Look at it: command -v {argv[0]}"
            raise NoSchedulerError(message, hint, argv=argv) from error
        if done is None:
            message = f"{argv[0]} did not answer within {self.timeout_s:g} s"
            hint = "The controller may be busy: try again later."
            raise TransientSchedulerError(message, hint, argv=argv)
        elapsed = time.monotonic() - begin
        _LOG.debug("%s -> %d in %.3f s", list(argv), done.returncode, elapsed)
        return done

    def require(self, program: str) -> None:
        """Raise NoSchedulerError if there is no such program on PATH."""
        if shutil.which(program, path=self.given.get("PATH")) is None:
            raise _not_found([program])

    def _ended(
        self, argv: Sequence[str], directory: str | None, environ: Mapping[str, str]
    ) -> Completed | None:
        """Run a command to its end; None if it was killed, with what it started, at its time-out.

        Not by `subprocess.run(timeout=...)`: that polls for the end of the process, which costs
        0.8 ms a call, a fifth of a whole sbatch.
        """
        with subprocess.Popen(
            argv,
            cwd=directory,
            env=environ,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            start_new_session=True,
        ) as process:
            try:
                output = _read_all((process.stdout, process.stderr), self.timeout_s)
            except OverflowError as error:
                _kill(process)
                message = f"{argv[0]} printed more than {_MOST_BYTES >> 20} MiB"
                hint = f"Is {argv[0]} on PATH that of Slurm?"
                raise SchedulerError(message, hint, argv=argv) from error
            except BaseException:
                _kill(process)
                raise
            if output is None:
                _kill(process)
                return None
        stdout, stderr = (data.decode("utf-8", "replace") for data in output)
        return Completed(
            argv=tuple(argv), returncode=process.returncode, stdout=stdout, stderr=stderr
        )


def _not_found(argv: Sequence[str]) -> NoSchedulerError:
    hint = (
        "Run this on a login node of the cluster (some need `module load slurm` first), "
        "or use --site local."
    )
    return NoSchedulerError(f"{argv[0]} is not on PATH", hint, argv=argv)


def _read_all(streams: Sequence[IO[bytes] | None], limit_s: float) -> list[bytes] | None:
    """Return what pipes carry until all are closed; None if that takes longer than `limit_s`.

    OverflowError if they carry more than any command has to say.
    """
    handles = [stream.fileno() for stream in streams if stream is not None]
    data: dict[int, list[bytes]] = {handle: [] for handle in handles}
    waiting = select.poll()
    for handle in handles:
        waiting.register(handle, select.POLLIN)
    end = time.monotonic() + limit_s
    is_open = set(handles)
    size = 0
    while is_open:
        ready = waiting.poll(max(0.0, end - time.monotonic()) * 1000)
        if not ready:
            return None
        for handle, _ in ready:
            part = os.read(handle, 1 << 16)
            data[handle].append(part)
            size += len(part)
            if size > _MOST_BYTES:
                raise OverflowError
            if not part:
                waiting.unregister(handle)
                is_open.remove(handle)
    return [b"".join(data[handle]) for handle in handles]


def _kill(process: subprocess.Popen[bytes]) -> None:
    """Kill a command and what it started: it leads a session of its own."""
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
