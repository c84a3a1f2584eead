"""Give verified outputs their final names, then say so: files, record, marker, in this order."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

from ..base.codec import decode
from ..base.context import Clock, Context
from ..base.failure import JobError
from ..base.files import read_json
from ..base.layout import OUTPUTS, SAVED
from ..base.states import State
from ..figures.index import recorded
from ..formats import FORMATS
from ..formats.base import FormatError
from ..rank.messages import Saved
from ..state import marker
from ..state.record import Published, StagedInput, end_record, write_record
from ..storage.base import verify
from ..storage.local import LocalStorage
from .destination import Destination

_LONG_BYTES = 64 << 20
"""What there is more of takes so long to read that a kill meanwhile is likely enough."""


def publish_job(
    context: Context,
    *,
    entries: dict[str, Saved],
    inputs: list[StagedInput],
    packages: str | None,
    clock: Clock,
    reason: str = "",
) -> None:
    """Publish the outputs in the work folder; afterwards the job has succeeded.

    `packages`: digest of the list that the ledger keeps; `reason`: for the record. JobError if an
    output is not whole; OSError if a file system refuses. Nothing counts before the marker, which
    is written last.
    """
    source = _set_aside(context, entries)
    for name, entry in entries.items():
        _verify(context, name, entry, source)
    if entries:
        context.folder.outputs.mkdir(parents=True, exist_ok=True)
    # Before the first gets its name: so all lie in one place for as long as that takes.
    digests = {
        name: entry.digest or verify(source / entry.path, "") for name, entry in entries.items()
    }
    outputs = [
        _place(context, name, entry, source, digests[name]) for name, entry in entries.items()
    ]
    if any(item.to and item.job == context.name for item in context.plan.outputs):
        from .rescue import note_made

        note_made(context, entries, outputs)
    with Destination.prepared(context, outputs) as destination:
        record = end_record(
            context,
            status=State.SUCCEEDED,
            reason=reason,
            clock=clock,
            inputs=inputs,
            outputs=destination.outputs,
            figures=recorded(context.folder.figures),
            packages=packages,
        )
        identity = write_record(context.ledger, record)
        destination.publish(identity)
    found = {item.name: item.entry for item in outputs}
    key, number = context.job.plan_key, context.attempt
    marker.write(
        context.folder, marker.Marker(context.name, context.task, number, key, identity, found)
    )


def read_entries(context: Context) -> dict[str, Saved]:
    """Return what rank 0 saved; JobError if it ended before it was done."""
    try:
        return decode(dict[str, Saved], read_json(context.work / SAVED))
    except FileNotFoundError as error:
        reason = "The operation ended the process (os._exit) before it returned its outputs."
        raise JobError(reason, "Return the outputs; the runtime ends the process.") from error


def _set_aside(context: Context, entries: dict[str, Saved]) -> Path:
    """Return where the outputs lie; what takes long to read is kept beside the job meanwhile."""
    source = context.work / OUTPUTS
    unread = [source / entry.path for entry in entries.values() if not entry.digest]
    if not any(path.is_dir() for path in unread):
        with suppress(OSError):
            if sum(path.lstat().st_size for path in unread) < _LONG_BYTES:
                return source
    from .rescue import set_aside

    return set_aside(context, entries)


def _verify(context: Context, name: str, entry: Saved, source: Path) -> None:
    fmt, path = FORMATS.get(entry.format), source / entry.path
    try:
        path.stat()
        if fmt is not None and not entry.digest:
            fmt.verify(path)
    except (FormatError, FileNotFoundError) as error:
        from .rescue import drop

        drop(context)
        reason = f"Output {name} is not whole: {error}."
        file = next((port.file for port in context.job.outputs if port.name == name), "")
        hint = (
            f"The program has written {file} so: what it writes has to be {entry.format}."
            if file
            else "Did the operation change the file after it returned?"
        )
        raise JobError(reason, hint) from error


def _place(context: Context, name: str, entry: Saved, source: Path, sha256: str) -> Published:
    """Give one output its final name and return its entry of the marker.

    What lies there was left by an attempt that died before its marker: nobody may use it.
    """
    place = LocalStorage(context.folder.outputs)
    found = place.adopt(source / entry.path, entry.path, sha256=sha256)
    described = marker.Output(
        path=f"{OUTPUTS}/{entry.path}",
        format=entry.format,
        sha256=found.sha256,
        size=found.size,
        mtime_ns=found.mtime_ns,
        rows=entry.rows,
        parts=bool(entry.digest),
    )
    return Published(name, described, place.path_of(entry.path))
