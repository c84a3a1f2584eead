"""Runs the scheduler's commands: argument lists, never a shell; time-outs; tries again if asked."""

from __future__ import annotations

import logging
import os
import subprocess
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from deepforge_hpc.errors import SchedulerError, TransientSchedulerError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

_LOG = logging.getLogger(__name__)

# Variables of the submitting shell that would change what a command does, or reach the new job.
_SCRUBBED = ("SLURM_", "SBATCH_", "SQUEUE_", "SACCT_", "SCANCEL_", "SCONTROL_", "PMI", "DFH_")
# These two say which cluster is meant.
_KEPT = frozenset({"SLURM_CONF", "SLURM_CLUSTERS"})


def scrub(environ: Mapping[str, str]) -> dict[str, str]:
    """Return an environment without what belongs to the job or shell that the caller runs in."""
    kept = {
        name: value
        for name, value in environ.items()
        if name in _KEPT or not name.startswith(_SCRUBBED)
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
    """Pause before each further try of a command that may be repeated."""
    variables: tuple[tuple[str, str], ...] = ()
    """Added to the scrubbed environment."""
    environ: Mapping[str, str] | None = None
    """In place of the environment of this process."""

    def run(self, argv: Sequence[str], *, directory: str | None = None) -> Completed:
        """Run a command once and return what it left, whatever its exit code.

        Raises SchedulerError if there is no such program, TransientSchedulerError on time-out.
        """
        environ = scrub(os.environ if self.environ is None else self.environ)
        environ.update(self.variables)
        begin = time.monotonic()
        try:
            done = subprocess.run(
                argv,
                cwd=directory,
                env=environ,
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                errors="replace",
                timeout=self.timeout_s,
                check=False,
            )
        except FileNotFoundError as error:
            if directory is not None and not os.access(directory, os.X_OK):
                message = f"{directory}: no such folder"
                raise SchedulerError(message, argv=argv) from error
            message = f"{argv[0]} is not on PATH"
            hint = (
                "Run this on a login node of the cluster (some need `module load slurm` first), "
                "or use --site local."
            )
            raise SchedulerError(message, hint, argv=argv) from error
        except subprocess.TimeoutExpired as error:
            message = f"{argv[0]} did not answer within {self.timeout_s:g} s"
            hint = "The controller may be busy: try again later."
            raise TransientSchedulerError(message, hint, argv=argv) from error
        elapsed = time.monotonic() - begin
        _LOG.debug("%s -> %d in %.3f s", list(argv), done.returncode, elapsed)
        return Completed(
            argv=tuple(argv), returncode=done.returncode, stdout=done.stdout, stderr=done.stderr
        )
