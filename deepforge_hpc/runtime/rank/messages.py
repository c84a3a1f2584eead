"""What the supervisor and its ranks tell each other, by small files in the work folder."""

# Annotations are types here, which the codec reads.
from typing import NamedTuple

from ..base.plan import Job
from ..base.ranks import Names


class RankInput(NamedTuple):
    """One input port, and the data that it gets."""

    port: str
    format: str
    path: str
    """Absolute."""
    parts: bool
    """True for a folder of parts that is read as one value."""
    mapped: bool
    """True if this task gets its own block of rows."""


class RankSpec(NamedTuple):
    """`rank.json`: what the ranks of a job are to do."""

    job: Job
    """All that the plan says of it."""
    inputs: tuple[RankInput, ...]
    shard: int | None
    """The task of a job array; None if the job is none."""
    code: str
    work: str
    figures: str
    rank_log: str
    """With `{rank:05d}` in the place of the rank's number."""
    variables: tuple[Names, ...] = ()
    """Where a rank looks for its number; empty without a launcher."""

    @property
    def shards(self) -> int | None:
        """Return the number of tasks of a job array; None if the job is none."""
        return None if self.shard is None else self.job.tasks


class Saved(NamedTuple):
    """One output that lies in the work folder, complete."""

    path: str
    """Below `outputs/`."""
    format: str
    rows: int | None = None
    """Where they were counted."""
    digest: str = ""
    """Of a folder of parts, as those of its parts are known."""


class RankError(NamedTuple):
    """`error-00000.json`: why a rank failed."""

    rank: int
    type: str = ""
    message: str = ""
    traceback: tuple[str, ...] = ()
    file: str = ""
    line: int = 0
    reason: str = ""
    hint: str = ""
    again: bool = False
    time: float = 0.0
    interrupted: bool = False
