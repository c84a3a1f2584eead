"""How a process learns which rank it is."""

# Annotations are types here, which the codec reads.
from typing import NamedTuple


class Names(NamedTuple):
    """Variables that tell a process which rank it is."""

    rank: str
    world_size: tuple[str, ...]
    """The first that is set counts."""
    local_rank: str
    beside: str = ""
    """A variable without which they are those of another process."""
