"""The gather job of a mapped operation: the parts of its tasks become one value."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

from ..base.codec import encode
from ..base.context import Context
from ..base.failure import JobError
from ..base.files import canonical_json, digest, publish_bytes, read_own
from ..base.layout import OUTPUTS
from ..base.plan import Job
from ..base.text import title
from ..formats import FORMATS
from ..formats.parts import INDEX, Part, Parts
from ..rank.messages import Saved
from ..state.marker import Output
from ..state.record import StagedInput, index_records
from ..state.record_data import parse_record
from ..storage.local import LocalStorage
from .stage import take_published, unsound

_Part = tuple["StagedInput", "Output"]


def collect_parts(context: Context) -> tuple[dict[str, Saved], list[StagedInput]]:
    """Link the parts into the work folder; return the entries to publish, and the parts.

    JobError if a part is damaged, or the parts of one output have several formats.
    """
    producer = context.plan.job(context.job.operation)
    outputs = context.work / OUTPUTS
    outputs.mkdir(parents=True)
    entries: dict[str, Saved] = {}
    inputs: list[StagedInput] = []
    for port in producer.outputs:
        name = port.name
        what = f"Output {name} of {producer.name}"
        tasks = range(producer.tasks)
        parts = [take_published(context, producer, task, name, what) for task in tasks]
        _check_rows(context, producer, parts)
        _check_formats(context, name, parts)
        entries[name] = _link_parts(outputs / name, parts)
        inputs += [staged for staged, _ in parts]
    return entries, inputs


def _check_rows(context: Context, producer: Job, parts: list[_Part]) -> None:
    """Refuse rows that a marker says and its record does not: by them other tasks get theirs."""
    records = index_records(context.ledger)
    for task, (staged, made) in enumerate(parts):
        identity = staged.by.record if staged.by else ""
        content = b""
        with suppress(OSError, ValueError, KeyError):  # `dfh prov verify` tells of a lost record
            content = read_own(records[identity])
        if digest(content) != identity:
            continue
        outputs = parse_record(content).outputs
        said = next((one.rows for one in outputs if one.name == staged.port), None)
        if said not in {None, made.rows}:
            reason = (
                f"The success marker of {title(producer.name, task)} says that {staged.port} has "
                f"{made.rows} rows, and its record {said}."
            )
            raise unsound(context, context.layout.job(producer.name, task), reason)


def _check_formats(context: Context, name: str, parts: list[_Part]) -> None:
    found = sorted({made.format for _, made in parts})
    fmt = FORMATS.get(found[0])
    if len(found) > 1 or (fmt is not None and not fmt.can_gather):
        reason = f"The parts of output {name} are of format {', '.join(found)}: no one value."
        hint = f"Give {name} of {context.job.operation} a format under `types:`, e.g. hdf5."
        raise JobError(reason, hint)


def _link_parts(folder: Path, parts: list[_Part]) -> Saved:
    folder.mkdir()
    place = LocalStorage(folder)
    listed, digests = [], {}
    for task, (staged, made) in enumerate(parts):
        name = f"part-{task:05d}{staged.path.suffix}"
        place.link(staged.path, name)
        listed.append(Part(name, made.rows, made.sha256, made.size))
        digests[name] = made.sha256
    rows = [made.rows for _, made in parts]
    total = None if None in rows else sum(count or 0 for count in rows)
    fmt = parts[0][1].format
    index = canonical_json(encode(Parts(fmt, tuple(listed), total)))
    publish_bytes(folder / INDEX, index)
    digests[INDEX] = digest(index)
    # As the place would say, without reading every part again.
    return Saved(folder.name, fmt, total, digest(canonical_json(digests)))
