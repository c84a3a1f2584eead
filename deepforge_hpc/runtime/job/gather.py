"""The gather job of a mapped operation: the parts of its tasks become one value."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from ..base.failure import JobError
from ..base.files import canonical_json, digest, publish_bytes
from ..formats import FORMATS
from ..formats.base import INDEX, PARTS_SCHEMA
from ..state import marker
from ..state.check import check
from ..state.record import shown_path
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


def collect_parts(context: Context) -> tuple[dict[str, dict[str, Any]], list[dict[str, Any]]]:
    """Link the parts into the work folder; return the entries to publish, and the record's inputs.

    JobError if a part is damaged, or the parts of one output have several formats.
    """
    producer = context.planned(context.job["operation"])
    outputs = context.work / "outputs"
    outputs.mkdir(parents=True)
    entries, inputs = {}, []
    for port in producer["outputs"]:
        name = port["name"]
        parts = [
            _find_part(context, producer["name"], task, name) for task in range(producer["tasks"])
        ]
        _check_formats(context, name, parts)
        entries[name] = _link_parts(outputs / name, parts)
        inputs += [_input_entry(context, producer["name"], name, part) for part in parts]
    return entries, inputs


def _find_part(context: Context, job: str, task: int, name: str) -> _Part:
    folder = context.layout.job(job, task)
    found = marker.read(folder)
    if found is None or name not in found.outputs:
        reason = f"Task {task} of {job} has not published {name}."
        hint = f"dfh resume {context.info['id']} runs what is missing."
        raise JobError(reason, hint, again=True)
    entry = found.outputs[name]
    path = folder.root / entry["path"]
    checked = check(path, entry)
    part = _Part(task, path, entry, found.record, checked.trust)
    if checked.fault:
        shown = part.path.relative_to(context.layout.root)
        hint = f"Make it again: rm {folder.success} && dfh resume {context.info['id']}"
        reason = f"The part {shown} of {job} task {task} {checked.fault}."
        raise JobError(reason, hint, again=True)
    return part


def _check_formats(context: Context, name: str, parts: list[_Part]) -> None:
    found = sorted({part.entry["format"] for part in parts})
    fmt = FORMATS.get(found[0])
    if len(found) > 1 or (fmt is not None and not fmt.can_gather):
        reason = f"The parts of output {name} are of format {', '.join(found)}: no one value."
        hint = f"Give {name} of {context.job['operation']} a format under `types:`, e.g. hdf5."
        raise JobError(reason, hint)


def _link_parts(folder: Path, parts: list[_Part]) -> dict[str, Any]:
    folder.mkdir()
    place = LocalStorage(folder)
    listed, digests, size = [], {}, 0
    for part in parts:
        name = f"part-{part.task:05d}{part.path.suffix}"
        place.link(part.path, name)
        sha256 = part.entry["sha256"]
        listed.append(
            {"file": name, "rows": part.entry["rows"], "sha256": sha256, "size": part.entry["size"]}
        )
        digests[name] = sha256
        size += part.entry["size"]
    rows = [part.entry["rows"] for part in parts]
    total = None if None in rows else sum(rows)
    fmt = parts[0].entry["format"]
    index = canonical_json({"schema": PARTS_SCHEMA, "format": fmt, "parts": listed, "rows": total})
    publish_bytes(folder / INDEX, index)
    digests[INDEX] = digest(index)
    # As the place would say, without reading every part again.
    whole = digest(canonical_json(digests)), size + len(index)
    return {"path": folder.name, "format": fmt, "rows": total, "parts": True, "digest": whole}


def _input_entry(context: Context, job: str, name: str, part: _Part) -> dict[str, Any]:
    entry = part.entry
    return {
        "port": name,
        "sha256": entry["sha256"],
        "size": entry["size"],
        "path": shown_path(context, part.path),
        "format": entry["format"],
        "trust": part.trust,
        "by": {"record": part.record, "job": job, "output": name, "task": part.task},
        "uri": "",
    }
