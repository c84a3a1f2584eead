"""What the supervisor and its ranks tell each other, by small files in the work folder."""

# Annotations are types here, which the codec reads.
from typing import NamedTuple

from ..base.failure import Killed
from ..base.layout import OUTPUTS
from ..base.plan import Job
from ..base.ranks import Names

RESCUE_SCHEMA = "dfh/rescue/1"


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


class Saved(NamedTuple):
    """One output that lies in the work folder, complete."""

    path: str
    """Below `outputs/`."""
    format: str
    rows: int | None = None
    """Where they were counted."""
    digest: str = ""
    """Of a folder of parts, as those of its parts are known."""
    source: str = ""
    """The path that the operation returned, if it was one."""


class Rescue(NamedTuple):
    """`rescue/index.json`: what an attempt made that could not save all of it."""

    attempt: int
    saved: dict[str, Saved]
    """The outputs that could be saved, below `rescue/outputs/`."""
    kept: dict[str, str]
    """The others -> pickle below `rescue/`."""
    lost: dict[str, str]
    """Those that no pickle can hold either -> why."""
    sha256: dict[str, str]
    """Path below `rescue/` -> digest; empty for what is `unread`."""
    value_key: str = ""
    """Of the job that made it."""
    execution: str = ""
    lacking: dict[str, str] = {}  # noqa: RUF012 - nobody writes to what a tuple holds
    """Of those that are kept, the ones whose format only wants a package -> that format."""
    unfit: tuple[str, ...] = ()
    """Of those that are kept, the ones that no format keeps that the job may have."""
    unread: dict[str, tuple[int, int]] = {}  # noqa: RUF012 - as above
    """Path below `rescue/` -> `stamp` of what was saved whole and not read again yet."""
    schema: str = RESCUE_SCHEMA

    @property
    def paths(self) -> tuple[str, ...]:
        """Return the files that it keeps, below `rescue/`."""
        return (*self.kept.values(), *(f"{OUTPUTS}/{item.path}" for item in self.saved.values()))

    @property
    def is_whole(self) -> bool:
        """Tell whether nothing was lost, so that the operation need not run again."""
        return not self.lost

    @property
    def is_retryable(self) -> bool:
        """Tell whether the frozen plan will do, once a package is there."""
        return self.is_whole and self.kept.keys() == self.lacking.keys()

    def is_of(self, job: Job) -> bool:
        """Tell whether it is all that a job makes, in whatever formats, with the digests of it."""
        return (
            self.is_whole
            and self.value_key == job.value_key
            and {*self.saved, *self.kept} == {port.name for port in job.outputs}
            and self.sha256.keys() == set(self.paths)
        )

    @property
    def maker(self) -> str:
        """Return what made it, in words."""
        return f"attempt {self.attempt} of {self.execution or 'this execution'}"


class TakenUp(NamedTuple):
    """What is made from what an earlier attempt left, in place of running the operation."""

    folder: str
    rescue: Rescue
    formats: dict[str, str]
    """Output -> the format that `types:` names for it, or that only wanted a package."""


def execution_of(code: str) -> str:
    """Return the id of the execution that a folder of frozen code lies in."""
    return code.rpartition("/")[0].rpartition("/")[2]


class RankSpec(NamedTuple):
    """`rank.json`: what the ranks of a job are to do."""

    job: Job
    """All that the plan says of it."""
    inputs: tuple[RankInput, ...]
    task: int | None
    """Of a job array; None if the job is none."""
    code: str
    work: str
    figures: str
    rank_log: str
    """With `{rank:05d}` in the place of the rank's number."""
    variables: tuple[Names, ...] = ()
    """Where a rank looks for its number; empty without a launcher."""
    attempt: int = 0
    uuid: str = ""
    """Of the execution."""
    home: str = ""
    """The node of the supervisor, where each node has a working folder of its own."""
    taken: TakenUp | None = None

    @property
    def execution(self) -> str:
        """Return the id of the execution."""
        return execution_of(self.code)


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
    is_retryable: bool = False
    lacks: str = ""
    time: float = 0.0
    interrupted: bool = False
    host: str = ""
    killed: Killed = Killed()
    """What of its own a signal has ended."""
    missing: tuple[str, ...] = ()
    """What may be the paths of files that it misses."""


class Carried(NamedTuple):
    """`left-HOST.json` in the work folder: what lay in the working folder of another node."""

    host: str
    files: dict[str, tuple[int, int]]
    """Name -> bytes, and when it was changed last; as many as may be lie in `left/HOST`."""
