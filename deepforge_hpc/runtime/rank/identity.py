"""Which rank of how many this process is, from what its launcher left in the environment."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from ..base.failure import JobError

if TYPE_CHECKING:
    from collections.abc import Mapping


class Identity(NamedTuple):
    """A rank of a job."""

    rank: int
    world_size: int
    local_rank: int | None
    source: str
    """The variable that said so."""


class _Names(NamedTuple):
    rank: str
    world_size: tuple[str, ...]
    local_rank: str


_SLURM = _Names("SLURM_PROCID", ("SLURM_STEP_NUM_TASKS", "SLURM_NTASKS"), "SLURM_LOCALID")
_KNOWN = (
    _Names("OMPI_COMM_WORLD_RANK", ("OMPI_COMM_WORLD_SIZE",), "OMPI_COMM_WORLD_LOCAL_RANK"),
    _Names("PMIX_RANK", ("SLURM_STEP_NUM_TASKS", "SLURM_NTASKS"), "SLURM_LOCALID"),
    _Names("PMI_RANK", ("PMI_SIZE",), "MPI_LOCALRANKID"),
    _Names("RANK", ("WORLD_SIZE",), "LOCAL_RANK"),
)


def find_identity(environ: Mapping[str, str], launcher: str, world_size: int) -> Identity:
    """Return the identity of this process; JobError if it is not one of `world_size` ranks.

    `launcher` is the first word of the launch command, empty if there is none. Slurm's own
    variables count only below `srun`: the batch step, and so each process under `mpirun`, has
    SLURM_PROCID=0 as well.
    """
    if not launcher:
        return Identity(0, 1, 0, "")
    by_srun = launcher.rsplit("/", 1)[-1] == "srun" and "SLURM_STEP_ID" in environ
    for names in (_SLURM, *_KNOWN) if by_srun else _KNOWN:
        rank = _number(environ, names.rank)
        if rank is None:
            continue
        sizes = (_number(environ, name) for name in names.world_size)
        size = next((found for found in sizes if found is not None), None)
        if size != world_size or not 0 <= rank < world_size:
            reason = (
                f"{launcher} started rank {rank} of {size}, and the plan says {world_size} ranks."
            )
            raise JobError(reason, "Compare the job's resources with the site's launchers: table.")
        return Identity(rank, world_size, _number(environ, names.local_rank), names.rank)
    if world_size == 1:
        return Identity(0, 1, 0, "")
    reason = f"{launcher} did not say which rank this process is."
    looked = ", ".join(names.rank for names in (_SLURM, *_KNOWN))
    raise JobError(reason, f"None of {looked} is set; see the site's launchers: table.")


def _number(environ: Mapping[str, str], name: str) -> int | None:
    text = environ.get(name, "")
    return int(text) if text.isascii() and text.isdigit() else None
