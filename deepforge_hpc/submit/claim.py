"""`claim.json`: which attempt took a destination."""

# Annotations are types here, which the codec reads.
from typing import NamedTuple


class Claim(NamedTuple):
    """The holder of a destination."""

    execution: str
    home: str
    uuid: str
    attempt: int = 0
    """0: an earlier version did not write it down, whichever is the last."""
    to: str = ""
