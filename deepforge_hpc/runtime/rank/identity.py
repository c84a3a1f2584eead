"""Which rank of how many this process is, from what its launcher left in the environment."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, NamedTuple

from ..base.failure import JobError

if TYPE_CHECKING:
    from ..base.plan import LaunchCommand
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


def _number(environ: Mapping[str, str], name: str) -> int | None:
    text = environ.get(name, "")
    return int(text) if text.isascii() and text.isdigit() else None
