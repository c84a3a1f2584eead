"""The success marker of a job: `success.json`, written last, names its verified outputs.

A marker is sound if it is whole, of our schema, of the job and of the plan's key for it: guard,
stage-in, status, report, the final job, resume and reuse all ask here.
"""

# Annotations are types here, which the codec reads.
from collections.abc import Callable
from contextlib import suppress
from typing import NamedTuple

from ..base.codec import ShapeError, encode
from ..base.codec import parse as parse_as
from ..base.files import canonical_json, publish_bytes, read_own
from ..base.layout import OUTPUTS, JobLayout

SCHEMA = "dfh/success/1"


class ReusedFrom(NamedTuple):
    """The job of an earlier execution of which the result was taken over."""

    execution: str
    job: str
    task: int | None
    record: str


class Output(NamedTuple):
    """A published output."""

    path: str
    """Below the job's folder."""
    format: str
    sha256: str
    size: int
    mtime_ns: int
    rows: int | None
    """Where they were counted."""
    parts: bool = False
    """Whether it is a folder with a part of each task; written down where it is."""


class Marker(NamedTuple):
    """What a job that succeeded wrote."""

    job: str
    task: int | None
    attempt: int
    """0: no attempt of this execution ran it."""
    plan_key: str
    record: str
    """Id of its record; empty if there is none."""
    outputs: dict[str, Output]
    reused_from: ReusedFrom | None = None
    schema: str = SCHEMA

    def fault_as(self, job: str, task: int | None, plan_key: str) -> str:
        """Return why it is not the marker of a job, as the end of a sentence; empty if it is."""
        if (self.job, self.task) != (job, task):
            return "has the success marker of another job"
        return "" if self.plan_key == plan_key else "has the success marker of another plan"


class FoundMarker(NamedTuple):
    """The marker of a job, or why there is no sound one."""

    marker: Marker | None
    fault: str = ""
    """The end of a sentence: `has no success marker`."""
    is_unsound: bool = False
    """There is one that must not be believed."""
    is_unread: bool = False
    """There is one, and whoever asks may not read it: that is no damage."""


ABSENT = FoundMarker(None, "has no success marker")


def parse(data: bytes) -> Marker:
    """Return a whole marker; ShapeError if it is not one that this version writes."""
    found = parse_as(Marker, data, is_open=True)
    for name, output in found.outputs.items():
        folder, *rest = output.path.split("/")
        if folder != OUTPUTS or not rest or {"", ".", ".."} & set(rest):
            problem = f"{output.path!r} is not a path below {OUTPUTS}/"
            raise ShapeError(problem, f"outputs.{name}.path")
    return found


def read(folder: JobLayout) -> Marker | None:
    """Return the marker of a job, None if there is none; ValueError or OSError if it is damaged."""
    try:
        return parse(read_own(folder.success))
    except FileNotFoundError:
        return None


def find(folder: JobLayout, job: str, task: int | None, plan_key: str) -> FoundMarker:
    """Return the marker of a job if it is sound; `plan_key` is what the plan says."""
    return look(lambda: read_own(folder.success), job, task, plan_key)


def look(load: Callable[[], bytes], job: str, task: int | None, plan_key: str) -> FoundMarker:
    """Return the marker in the bytes that `load` returns, if it is sound."""
    try:
        found = parse(load())
    except FileNotFoundError:
        return ABSENT
    except PermissionError as error:
        fault = f"has a success marker that cannot be read here ({error.strerror})"
        return FoundMarker(None, fault, is_unsound=True, is_unread=True)
    except (OSError, ValueError) as error:
        return FoundMarker(None, f"has a damaged success marker ({error})", is_unsound=True)
    fault = found.fault_as(job, task, plan_key)
    return FoundMarker(None, fault, is_unsound=True) if fault else FoundMarker(found)


def write(folder: JobLayout, marker: Marker) -> None:
    """Publish the marker of a job whose outputs and record lie under their final names."""
    data = encode(marker)
    for output in data["outputs"].values():
        if not output["parts"]:
            del output["parts"]
    content = canonical_json(data)
    try:
        publish_bytes(folder.success, content)
    except OSError:
        # Under its name everybody believes it, also if its folder's sync failed: so it holds.
        with suppress(OSError, ValueError):
            if read_own(folder.success) == content:
                return
        raise
