"""The gather job of a mapped operation: the parts of its tasks become one value."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from ..base.failure import JobError
from ..base.files import canonical_json, digest, publish_bytes
from ..formats import FORMATS
from ..formats.base import INDEX, PARTS_SCHEMA
from ..rank.messages import Saved
from ..state import marker
from ..state.check import check
from ..state.record import StagedInput
from ..state.record_data import Producer
from ..storage.local import LocalStorage

if TYPE_CHECKING:
    from pathlib import Path

    from ..base.context import Context


class _Part(NamedTuple):
    task: int
    path: Path
    entry: dict[str, Any]
    record: str
    trust: str


def collect_parts(context: Context) -> tuple[dict[str, Saved], list[StagedInput]]:
    """Link the parts into the work folder; return the entries to publish, and the parts.

    JobError if a part is damaged, or the parts of one output have several formats.
    """
    producer = context.plan.job(context.job.operation)
    outputs = context.work / "outputs"
    outputs.mkdir(parents=True)
    entries: dict[str, Saved] = {}
    inputs: list[StagedInput] = []
    for port in producer.outputs:
        name = port.name
        parts = [_find_part(context, producer.name, task, name) for task in range(producer.tasks)]
        _check_formats(context, name, parts)
        entries[name] = _link_parts(outputs / name, parts)
        inputs += [_staged(producer.name, name, part) for part in parts]
    return entries, inputs


def _find_part(context: Context, job: str, task: int, name: str) -> _Part:
    folder = context.layout.job(job, task)
    found = marker.read(folder)
    if found is None or name not in found.outputs:
        reason = f"Task {task} of {job} has not published {name}."
        hint = f"dfh resume {context.info.id} runs what is missing."
        raise JobError(reason, hint, is_retryable=True)
    entry = found.outputs[name]
    path = folder.root / entry["path"]
    checked = check(path, entry)
    part = _Part(task, path, entry, found.record, checked.trust)
    if checked.fault:
        shown = part.path.relative_to(context.layout.root)
        hint = f"Make it again: rm {folder.success} && dfh resume {context.info.id}"
        raise JobError(
            f"The part {shown} of {job} task {task} {checked.fault}.", hint, is_retryable=True
        )
    return part


def _check_formats(context: Context, name: str, parts: list[_Part]) -> None:
    found = sorted({part.entry["format"] for part in parts})
    fmt = FORMATS.get(found[0])
    if len(found) > 1 or (fmt is not None and not fmt.can_gather):
        reason = f"The parts of output {name} are of format {', '.join(found)}: no one value."
        hint = f"Give {name} of {context.job.operation} a format under `types:`, e.g. hdf5."
        raise JobError(reason, hint)


def _link_parts(folder: Path, parts: list[_Part]) -> Saved:
    folder.mkdir()
    place = LocalStorage(folder)
    listed, digests = [], {}
    for part in parts:
        name = f"part-{part.task:05d}{part.path.suffix}"
        place.link(part.path, name)
        sha256 = part.entry["sha256"]
        listed.append(
            {"file": name, "rows": part.entry["rows"], "sha256": sha256, "size": part.entry["size"]}
        )
        digests[name] = sha256
    rows = [part.entry["rows"] for part in parts]
    total = None if None in rows else sum(rows)
    fmt = parts[0].entry["format"]
    index = canonical_json({"schema": PARTS_SCHEMA, "format": fmt, "parts": listed, "rows": total})
    publish_bytes(folder / INDEX, index)
    digests[INDEX] = digest(index)
    # As the place would say, without reading every part again.
    return Saved(folder.name, fmt, total, digest(canonical_json(digests)))


def _staged(job: str, name: str, part: _Part) -> StagedInput:
    return StagedInput(
        port=name,
        format=part.entry["format"],
        path=part.path,
        sha256=part.entry["sha256"],
        size=part.entry["size"],
        trust=part.trust,
        by=Producer(part.record, job, name, part.task),
    )
