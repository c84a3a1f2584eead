"""Which rank of how many this process is, and which GPUs are its own."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import NamedTuple

_SIZES = ("OMPI_COMM_WORLD_SIZE", "PMI_SIZE", "WORLD_SIZE")
"""What launchers call the number of ranks; Slurm's own variables are also in shells without any."""
_RANKS = ("OMPI_COMM_WORLD_RANK", "PMI_RANK", "RANK")
_LOCAL = (
    ("OMPI_COMM_WORLD_LOCAL_RANK", "OMPI_COMM_WORLD_LOCAL_SIZE"),
    ("MPI_LOCALRANKID", "MPI_LOCALNRANKS"),
    ("PMI_LOCAL_RANK", "PMI_LOCAL_SIZE"),
    ("LOCAL_RANK", "LOCAL_WORLD_SIZE"),
)
_SEEDS = 2**32


class RanksError(RuntimeError):
    """The ranks are not those that the job was planned with: each would do the work of all."""


class Rank(NamedTuple):
    """This process among those of the job."""

    rank: int = 0
    world_size: int = 1
    local_rank: int = 0
    """Its number on its node."""
    local_size: int = 1
    """Rank on its node."""
    gpus: tuple[int, ...] | None = None
    """Numbers of its own GPUs among those that it sees; None where nobody has shared them out."""

    @property
    def is_first(self) -> bool:
        """Tell whether this is rank 0, whose outputs and numbers are kept."""
        return self.rank == 0

    @property
    def device(self) -> int | None:
        """Return the first of its own GPUs; None without any."""
        return self.gpus[0] if self.gpus else None

    def seed(self, seed: int = 0) -> int:
        """Return a seed of this rank's own, for what shall differ between ranks, as dropout does.

        Rank 0 has the given one, so that one rank alone draws what it always drew.
        """
        # An odd constant walks through all 2^32 seeds: no two ranks of a job share one.
        return (seed + self.rank * 0x9E3779B1) % _SEEDS

    def agree(self, world_size: int, who: str) -> None:
        """Raise RanksError unless a library that connects ranks sees as many of them."""
        if world_size != self.world_size:
            raise RanksError(
                f"{who} sees {world_size} rank{'s' * (world_size != 1)}, and the job has "
                f"{self.world_size}: it was not started by, or not built for, this launcher"
            )


def ranks() -> Rank:
    """Return which rank this process is, as the job's launcher started it.

    Without a job, and without a launcher, rank 0 of 1. Raises RanksError where the launcher says
    another number of ranks than the plan: never will each of N processes be rank 0 of 1.
    """
    environ = os.environ
    if "DFH_WORLD_SIZE" not in environ:
        return _by_launcher(environ)
    found = Rank(
        rank=_number(environ, "DFH_RANK") or 0,
        world_size=_number(environ, "DFH_WORLD_SIZE") or 1,
        local_rank=_number(environ, "DFH_LOCAL_RANK") or 0,
        local_size=_number(environ, "DFH_LOCAL_SIZE") or 1,
        gpus=_gpus(environ.get("DFH_GPUS", "")),
    )
    for name in _SIZES:
        if (given := _number(environ, name)) is not None:
            found.agree(given, f"the launcher ({name})")
    return found


def _by_launcher(environ: Mapping[str, str]) -> Rank:
    """Return what a launcher says that was started by hand, outside of dfh.

    Understood are mpirun (Open MPI's, and those of MPICH, Intel and Cray PALS, by PMI_RANK) and
    torchrun. A scheduler's own launcher is not: under `srun` or `flux run` this is rank 0 of 1, for
    a shell of a job has their variables too; where they set PMI_RANK, the place on the node alone
    stays unknown, and is 0 of 1.
    """
    for rank_name, size_name in zip(_RANKS, _SIZES, strict=True):
        rank, size = _number(environ, rank_name), _number(environ, size_name)
        if rank is not None and size is not None:
            local, local_size = _local(environ)
            return Rank(rank, size, local, local_size)
    return Rank()


def _local(environ: Mapping[str, str]) -> tuple[int, int]:
    for rank_name, size_name in _LOCAL:
        rank, size = _number(environ, rank_name), _number(environ, size_name)
        if rank is not None and size is not None:
            return rank, size
    return 0, 1


def _gpus(text: str) -> tuple[int, ...] | None:
    numbers = [number for number in text.split(",") if number.isascii() and number.isdigit()]
    return tuple(map(int, numbers)) if numbers else None


def _number(environ: Mapping[str, str], name: str) -> int | None:
    text = environ.get(name, "")
    return int(text) if text.isascii() and text.isdigit() else None
