"""What is known of one way to start ranks, besides a site's words for it.

A launcher is data of a site: `launchers: {NAME: {argv: [...]}}`. One whose ranks are known by the
variables of `_KNOWN` needs no class. Third parties derive theirs from `Launcher`, in a module that
travels; only the supervisor reads this, and a rank is told what to look for.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import NamedTuple, cast

from ..base.plugins import load_plugins
from ..base.ranks import Names

__all__ = ["LAUNCHERS", "Launcher", "Names", "Starter", "load_launcher", "starter"]

# The batch step, and so each process under `mpirun`, has SLURM_PROCID=0 as well.
_SRUN = Names(
    "SLURM_PROCID", ("SLURM_STEP_NUM_TASKS", "SLURM_NTASKS"), "SLURM_LOCALID", "SLURM_STEP_ID"
)
_KNOWN = (
    Names("OMPI_COMM_WORLD_RANK", ("OMPI_COMM_WORLD_SIZE",), "OMPI_COMM_WORLD_LOCAL_RANK"),
    Names("PMIX_RANK", _SRUN.world_size, _SRUN.local_rank),
    Names("PMI_RANK", ("PMI_SIZE",), "PMI_LOCAL_RANK", "PMI_LOCAL_RANK"),  # PALS of Cray's PBS
    Names("PMI_RANK", ("PMI_SIZE",), "MPI_LOCALRANKID"),
    Names("FLUX_TASK_RANK", ("FLUX_JOB_SIZE",), "FLUX_TASK_LOCAL_ID"),
    Names("RANK", ("WORLD_SIZE",), "LOCAL_RANK"),
)


class Starter(NamedTuple):
    """What is true of a program that starts ranks, in the words of whatever launcher it stands."""

    starts_tasks: bool = False
    """Its ranks are the scheduler's own tasks, which it may give GPUs of their own."""
    has_mpi_option: bool = False
    """`--mpi` on its line says how its ranks meet."""
    starts_images: bool = False
    """Options on its line start the ranks in an image."""
    variables: tuple[Names, ...] = ()
    """What its ranks are told by, whatever they run."""


_STARTERS: Mapping[str, Starter] = MappingProxyType(
    {
        "srun": Starter(
            starts_tasks=True, has_mpi_option=True, starts_images=True, variables=(_SRUN,)
        )
    }
)


def starter(program: str) -> Starter:
    """Return what is known of the first word of a line, wherever that program lies."""
    return _STARTERS.get(program.rpartition("/")[2], Starter())


class Launcher:
    """One value of `launch:`; what is true of most of them."""

    needs_mpi = False
    """Its ranks meet through MPI, which has to be told to whatever starts them."""
    in_containers = True
    """It can start ranks in an image."""
    variables: tuple[Names, ...] = ()
    """What its own ranks are told by, before what is known of others."""
    environment: Mapping[str, str] = MappingProxyType({})
    """What its ranks get where the job does not set it."""

    def rendezvous(self, endpoint: str, uuid: str) -> Mapping[str, str]:
        """Return what tells its own processes on several nodes to meet at `HOST:PORT`.

        `uuid`: of the execution, which no other job has.
        """
        del endpoint, uuid
        return {}

    def names(self, program: str) -> tuple[Names, ...]:
        """Return where a rank looks, in this order; `program` is the first word of the line."""
        return (*self.variables, *starter(program).variables, *_KNOWN)


class Mpi(Launcher):
    """An MPI program."""

    needs_mpi = True


class Horovod(Launcher):
    """Horovod over MPI: a rank that hangs ends the job, instead of its walltime."""

    needs_mpi = True
    environment = MappingProxyType(
        {"HOROVOD_STALL_CHECK_TIME_SECONDS": "60", "HOROVOD_STALL_SHUTDOWN_TIME_SECONDS": "300"}
    )


class Torchrun(Launcher):
    """PyTorch's own, one on each node, which its words cannot name."""

    in_containers = False

    def rendezvous(self, endpoint: str, uuid: str) -> Mapping[str, str]:
        return {
            "PET_RDZV_BACKEND": "c10d",
            "PET_RDZV_ENDPOINT": endpoint,
            "PET_RDZV_ID": uuid,
        }


LAUNCHERS: Mapping[str, Launcher] = MappingProxyType(
    {
        "none": Launcher(),
        "srun": Launcher(),
        "mpi": Mpi(),
        "horovod": Horovod(),
        "torchrun": Torchrun(),
    }
)
"""Those that every pipeline may name; a site says how each becomes a command."""


def load_launcher(name: str, code: Path) -> Launcher:
    """Return what is known of a launcher; JobError if a package's cannot be loaded."""
    if name in LAUNCHERS:
        return LAUNCHERS[name]
    return cast("Launcher", load_plugins(code, "launchers").get(name) or Launcher())
