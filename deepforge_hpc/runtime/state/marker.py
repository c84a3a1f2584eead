"""The success marker of a job: `success.json`, written last, names its verified outputs.

A marker is sound if it is whole, of our schema, and of the plan's key for the job: guard, status,
report, the final job, resume and re-use all ask here.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from ..base.files import parse_object, publish_json, read_own

if TYPE_CHECKING:
    from collections.abc import Callable

    from ..base.layout import JobLayout

SCHEMA = "dfh/success/1"


class Marker(NamedTuple):
    """What a job that succeeded wrote."""

    job: str
    task: int | None
    attempt: int
    """0: no attempt of this execution ran it."""
    plan_key: str
    record: str
    """Id of its record; empty if there is none."""
    outputs: dict[str, dict[str, Any]]
    """Name -> path below the job's folder, format, sha256, size, mtime_ns, rows, parts."""
    reused_from: dict[str, Any] | None = None


class FoundMarker(NamedTuple):
    """The marker of a job, or why there is no sound one."""

    marker: Marker | None
    fault: str = ""
    """The end of a sentence: `has no success marker`."""
    is_unsound: bool = False
    """There is one that must not be believed."""


ABSENT = FoundMarker(None, "has no success marker")


def parse(data: bytes) -> Marker:
    """Return a whole marker; ValueError if it is not one that this version writes."""
    value = parse_object(data)
    if value.get("schema") != SCHEMA:
        message = f"schema {value.get('schema')!r} is not {SCHEMA!r}"
        raise ValueError(message)
    fields: dict[str, Any] = {name: value.get(name) for name in Marker._fields}
    found = Marker(**fields)
    is_whole = (
        isinstance(found.attempt, int)
        and isinstance(found.plan_key, str)
        and isinstance(found.record, str)
        and isinstance(found.outputs, dict)
        and all(map(_is_output, found.outputs.values()))
        and isinstance(found.reused_from, (dict, type(None)))
    )
    if not is_whole:
        message = "not a whole marker"
        raise ValueError(message)
    return found


def _is_output(entry: object) -> bool:
    """Tell whether an entry names a file or folder below `outputs/`, and its digest."""
    if not isinstance(entry, dict):
        return False
    path = entry.get("path")
    texts = (path, entry.get("format"), entry.get("sha256"))
    if not all(isinstance(text, str) for text in texts) or not isinstance(entry.get("size"), int):
        return False
    folder, *rest = str(path).split("/")
    return folder == "outputs" and bool(rest) and not {"", ".", ".."} & set(rest)


def read(folder: JobLayout) -> Marker | None:
    """Return the marker of a job, None if there is none; ValueError or OSError if it is damaged."""
    try:
        return parse(read_own(folder.success))
    except FileNotFoundError:
        return None


def find(folder: JobLayout, plan_key: str) -> FoundMarker:
    """Return the marker of a job if it is sound; `plan_key` is what the plan says."""
    return look(lambda: read_own(folder.success), plan_key)


def look(load: Callable[[], bytes], plan_key: str) -> FoundMarker:
    """Return the marker in the bytes that `load` returns, if it is sound."""
    try:
        found = parse(load())
    except FileNotFoundError:
        return ABSENT
    except (OSError, ValueError) as error:
        return FoundMarker(None, f"has a damaged success marker ({error})", is_unsound=True)
    if found.plan_key != plan_key:
        return FoundMarker(None, "has the success marker of another plan", is_unsound=True)
    return FoundMarker(found)


def write(
    folder: JobLayout,
    *,
    job: str,
    task: int | None,
    attempt: int,
    plan_key: str,
    record: str,
    outputs: dict[str, dict[str, Any]],
    reused_from: dict[str, Any] | None = None,
) -> None:
    """Publish the marker of a job whose outputs and record lie under their final names."""
    marker = Marker(job, task, attempt, plan_key, record, outputs, reused_from)
    publish_json(folder.success, {"schema": SCHEMA, **marker._asdict()})
