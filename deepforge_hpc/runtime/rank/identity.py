"""Which rank of how many this process is, from what its launcher left in the environment."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from ..base.failure import JobError
from ..base.plan import Job, LaunchCommand
from ..base.ranks import Names


class Identity(NamedTuple):
    """A rank of a job."""

    rank: int
    world_size: int
    local_rank: int | None
    source: str
    """The variable that said so."""


def find_identity(
    environ: Mapping[str, str], launch: LaunchCommand, variables: tuple[Names, ...]
) -> Identity:
    """Return the identity of this process; JobError if it is not one of the ranks of the plan."""
    launcher, world_size = "".join(launch.argv[:1]), launch.world_size
    if not launcher:
        return Identity(0, 1, 0, "")
    for name, sizes, local_rank, beside in variables:
        rank = _number(environ, name)
        if rank is None or (beside and beside not in environ):
            continue
        found = (_number(environ, size) for size in sizes)
        size = next((number for number in found if number is not None), None)
        if size != world_size or not 0 <= rank < world_size:
            reason = (
                f"{launcher} started rank {rank} of {size}, and the plan says {world_size} ranks."
            )
            raise JobError(reason, "Compare the job's resources with the site's launchers: table.")
        return Identity(rank, world_size, _number(environ, local_rank), name)
    if world_size == 1:
        return Identity(0, 1, 0, "")
    reason = f"{launcher} did not say which rank this process is."
    looked = ", ".join(names.rank for names in variables)
    raise JobError(reason, f"None of {looked} is set; see the site's launchers: table.")


def rank_variables(environ: Mapping[str, str], job: Job, identity: Identity) -> dict[str, str]:
    """Return what a rank finds in its environment, by our names and by those of torch.distributed.

    Launchers that set the latter themselves know better. JobError if a node got more ranks than the
    plan says, as Open MPI 5 does where only their number is said and nodes may be oversubscribed.
    """
    rank, local, launch = identity.rank, identity.local_rank, job.launch
    if local is not None and local >= job.resources.ntasks_per_node:
        raise _crowded(launch, local, job.resources.ntasks_per_node)
    found = {"RANK": str(rank), "WORLD_SIZE": str(identity.world_size)}
    if local is not None:
        size = str(job.resources.ntasks_per_node)
        found |= {"LOCAL_RANK": str(local), "LOCAL_WORLD_SIZE": size}
        found |= {"DFH_LOCAL_RANK": str(local), "DFH_LOCAL_SIZE": size}
    found = {name: environ.get(name, value) for name, value in found.items()}
    if local is not None and local < len(launch.gpus):
        found |= _gpus(environ, launch, launch.gpus[local])
    elif launch.gpu_visibility == "own" and (given := environ.get(launch.gpu_variable)):
        # The scheduler has let each rank see its own: as many as its share.
        count = len(given.split(","))
        if count * job.resources.ntasks_per_node == job.resources.gpus_per_node:
            found["DFH_GPUS"] = ",".join(map(str, range(count)))
    return found


def _crowded(launch: LaunchCommand, local: int, most: int) -> JobError:
    reason = (
        f"{launch.argv[0]} put at least {local + 1} ranks on one node, and the plan says {most}: "
        "other nodes would idle."
    )
    hint = (
        "Say in the site's launchers: table how many a node has, e.g. mpirun --map-by "
        "ppr:{ntasks_per_node}:node, srun --ntasks-per-node={ntasks_per_node}."
    )
    return JobError(reason, hint)


def _gpus(
    environ: Mapping[str, str], launch: LaunchCommand, own: tuple[int, ...]
) -> dict[str, str]:
    """Return which GPUs a rank uses, and with `own` that it sees no others.

    A scheduler may have named those of the job by other numbers, or have let the rank see fewer.
    """
    given = environ.get(launch.gpu_variable, "")
    visible = given.split(",") if given else None
    if visible is not None and max(own) >= len(visible):
        # The scheduler has bound this rank, or the job has got less than it asked for.
        if len(visible) != len(own):
            reason = (
                f"This rank is to use GPU {', '.join(map(str, own))} of its node, and sees "
                f"{len(visible)} ({launch.gpu_variable}={given})."
            )
            hint = "Fewer GPUs than ranks: compare the job's gpus_per_node with what it was given."
            raise JobError(reason, hint)
        return {"DFH_GPUS": ",".join(map(str, range(len(visible))))}
    if launch.gpu_visibility != "own":
        return {"DFH_GPUS": ",".join(map(str, own))}
    names = [visible[gpu] if visible else str(gpu) for gpu in own]
    return {launch.gpu_variable: ",".join(names), "DFH_GPUS": ",".join(map(str, range(len(own))))}


def _number(environ: Mapping[str, str], name: str) -> int | None:
    text = environ.get(name, "")
    return int(text) if text.isascii() and text.isdigit() else None
