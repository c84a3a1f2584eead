"""From what a person names (a path, a copy, an id) to the record that explains it."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from shlex import quote

from deepforge_hpc.errors import LedgerError, UsageError
from deepforge_hpc.ledger.store import Closure, Ledger, Record, short
from deepforge_hpc.paths import LEDGER
from deepforge_hpc.runtime.base.execution import ExecutionInfo
from deepforge_hpc.runtime.base.layout import ExecutionLayout, JobLayout
from deepforge_hpc.runtime.figures.identity import carried
from deepforge_hpc.runtime.state import marker, read, statefile
from deepforge_hpc.runtime.state.marker import Marker
from deepforge_hpc.runtime.state.record_data import RecordedFigure, RecordedOutput
from deepforge_hpc.runtime.storage.fault import INVALID, NOT_PLAIN, PlaceError
from deepforge_hpc.runtime.storage.local import LocalStorage

_ID = re.compile(r"(?:sha256:)?[0-9a-f]{6,64}")
LABEL = re.compile(r"(?P<execution>[^/]+)/(?P<job>[^/\[\]]+)(?:\[(?P<task>\d{1,9})\])?")
"""What records are called: `redshift-0007/train`, `redshift-0007/render[3]`."""
_TASK = re.compile(r"task-(\d{5})")


@dataclass(frozen=True, slots=True, kw_only=True)
class Located:
    """What was asked for, and the record that explains it."""

    ledger: Ledger
    project: Path
    records: tuple[Record, ...]
    """One, or the newest of each job and array task if that is what was named."""
    how: str
    """place | content | closure | figure_id | id"""
    execution: Path | None = None
    """The execution that the path lies in, if that is how it was found."""
    path: Path | None = None
    made: RecordedOutput | RecordedFigure | None = None
    """What the record says of the output, or file of a figure, that the path is, if it is one."""
    sha256: str = ""
    """Digest of the path's content now; empty if it was not read."""
    others: int = 0
    """How many other records made the same content."""
    lost: Mapping[str, LedgerError] = field(default_factory=dict)
    """By id: records of what was named that cannot be had."""

    @property
    def record(self) -> Record:
        """Return the only record, or the newest."""
        return self.records[0]

    @property
    def is_figure(self) -> bool:
        """Tell whether the path is a file of a figure."""
        return isinstance(self.made, RecordedFigure)


def locate(text: str, cwd: Path) -> Located:
    """Return the record for a path, a copy of an output, a label, or the first digits of an id.

    Raises UsageError if there is nothing of that name, LedgerError if nothing explains it.
    """
    path = _tidy(cwd / text)
    execution = execution_above(path)
    if not path.exists():
        with suppress(LedgerError):
            if execution and (gone := _by_place(path, execution, cwd)) and gone.made:
                return gone
        if _ID.fullmatch(text.lower()):
            return _by_id(text.lower(), _ledgers(cwd))
        if located := _by_label(text, _ledgers(cwd)):
            return located
        message = f"{text}: there is no such file, and it is no record id"
        hint = "Give a file, a folder of an execution, EXECUTION/JOB, or a record's id."
        raise UsageError(message, hint)
    if path.parent == path:
        raise UsageError(
            f"{path}: a whole machine, not a result", "Name a file, or a folder of it."
        )
    if (path / LEDGER).is_dir():
        message = f"{path}: a project, not a result"
        raise UsageError(message, "Name an execution (`dfh executions list`), a job or an output.")
    if execution is not None and (located := _by_place(path, execution, cwd)):
        return located
    return _by_content(path, cwd, execution)


def _tidy(path: Path) -> Path:
    """Return a path without `..`, where that is the same file: behind a link it may not be."""
    short_form = Path(os.path.normpath(path))
    try:
        return short_form if short_form.samefile(path) else path
    except OSError:
        return path


def execution_above(path: Path) -> Path | None:
    """Return the folder of the execution that a path lies in, or None."""
    resolved = path.resolve()
    for folder in (resolved, *resolved.parents):
        layout = ExecutionLayout(folder)
        if layout.execution.is_file() and layout.plan.is_file():
            return folder
    return None


def _by_id(text: str, ledgers: Iterable[Ledger]) -> Located:
    searched = []
    for ledger in ledgers:
        searched.append(str(ledger.root))
        found = ledger.starting_with(text)
        if len(found) > 1:
            message = f"{text}: {len(found)} records begin so"
            raise UsageError(message, "Give more digits: " + ", ".join(p.name[:16] for p in found))
        if found:
            record = ledger.read(found[0])
            return Located(ledger=ledger, project=ledger.root.parent, records=(record,), how="id")
    message = f"{text}: no record of that id in {' or '.join(searched) or 'any project here'}"
    raise LedgerError(message, "Run it inside the project, below the folder that holds .dfh.")


def _by_label(text: str, ledgers: Iterable[Ledger]) -> Located | None:
    """Return the newest records of a job, whether or not its execution is still there."""
    match = LABEL.fullmatch(text)
    if match is None:
        return None
    task = int(match["task"]) if match["task"] else None
    for ledger in ledgers:
        newest: dict[object, Record] = {}
        for record in ledger.find_by_job(match["execution"], match["job"], task):
            newest.setdefault(record.data.task, record)
        if newest:
            records = tuple(newest.values())
            return Located(ledger=ledger, project=ledger.root.parent, records=records, how="id")
    return None


def read_info(execution: Path) -> ExecutionInfo:
    """Return what an execution of any version says it is; LedgerError if it cannot be read."""
    layout = ExecutionLayout(execution)
    try:
        return read.read_info(layout)
    except (OSError, ValueError) as error:
        message = f"{layout.execution}: cannot be read: {error}"
        step = f"The ledger knows its jobs without it: dfh prov show {execution.name}/JOB"
        raise LedgerError(message, step) from error


def _by_place(path: Path, execution: Path, cwd: Path) -> Located | None:
    """Return what is located for a path of an execution; None if its place says nothing."""
    info = read_info(execution)
    job, task, rest = _split(path.resolve().relative_to(execution))
    ledgers = _ledgers(execution, info.ledger, cwd)
    found = _marked(execution, info, job, task, ledgers)
    found = found or _newest(execution, info, job, task, ledgers)
    if found is None:
        if rest and job:
            return None
        raise _no_record(path, execution, ledgers)
    ledger, records = found
    made = None
    if job and rest[:1] in {("outputs",), ("figures",)} and len(rest) > 1:
        made = _made(records, *rest[:2])
        if made is None:
            return None  # a file that no job made is not explained by what it lies beside
        path = ExecutionLayout(execution).job(job, task).root / rest[0] / rest[1]
    return Located(
        ledger=ledger,
        project=ledger.root.parent,
        records=records,
        how="place",
        execution=execution,
        path=path,
        made=made,
        lost={} if made else _lost(execution, info, job, ledger, records),
    )


def _no_record(path: Path, execution: Path, ledgers: Sequence[Ledger]) -> LedgerError:
    layout = ExecutionLayout(execution)
    became = "succeeded" if next(layout.marked(), None) else statefile.has_ended(layout) and "ended"
    if not became:
        message = f"{path}: no record yet" + _damaged(ledgers)
        hint = (
            f"A job writes its record when it ends: dfh status {quote(str(execution))} shows how."
        )
        return LedgerError(message, hint)
    where = " or ".join(str(ledger.root) for ledger in ledgers) or "any ledger above it"
    message = f"{path}: no record of it in {where}, though jobs of it {became}{_damaged(ledgers)}"
    hint = "Was execution.json edited, or it moved while they ran, or copied without .dfh?"
    return LedgerError(message, hint)


_Found = tuple[Ledger, tuple[Record, ...]]


def _marked(
    execution: Path, info: ExecutionInfo, job: str, task: int | None, ledgers: Sequence[Ledger]
) -> _Found | None:
    """Return the record that a job's success marker names; LedgerError if it cannot be had."""
    folder = ExecutionLayout(execution).job(job, task)
    said = _marker(folder) if job else None
    if said is None or not said.record:
        return None
    path, wanted = folder.success, said.record
    holders = [ledger for ledger in ledgers if ledger.starting_with(wanted)]
    if not holders:
        message = f"{path}: names record {short(wanted)}, which no ledger here holds"
        raise LedgerError(message, "Was the execution copied without its project's .dfh?")
    record = holders[0].get(wanted)
    # The tasks of an array whose gathered value was taken over have no outputs and no record.
    if said.outputs and record.place != (info.uuid, job, task):
        message = f"{path}: was changed: it names record {short(wanted)}, of {record.label}"
        raise LedgerError(message, "Restore it from a backup of the execution.")
    return holders[0], (record,)


def _newest(
    execution: Path, info: ExecutionInfo, job: str, task: int | None, ledgers: Sequence[Ledger]
) -> _Found | None:
    """Return the record of each job and task: what its marker names, else of the last attempt."""
    for ledger in ledgers:
        newest: dict[tuple[object, object], Record] = {}
        named: dict[tuple[object, object], str] = {}
        for record in ledger.find_by_job(info.id, job or None, task):
            if record.data.uuid != info.uuid:
                continue
            unit = (record.data.job, record.data.task)
            if unit not in newest:
                said = _marker(ExecutionLayout(execution).job(*unit))
                named[unit] = said.record if said else ""
                newest[unit] = record
            elif record.id == named[unit]:
                newest[unit] = record
        if newest:
            return ledger, tuple(newest.values())
    return None


def _lost(
    execution: Path, info: ExecutionInfo, job: str, ledger: Ledger, records: Sequence[Record]
) -> dict[str, LedgerError]:
    """Return the records of an execution or job that should be there and cannot be had.

    Those are what the success markers name, and what was damaged but still shows whose it is.
    """
    held = {record.id for record in records}
    lost = {}
    for folder in ExecutionLayout(execution).marked(job or "*"):
        said = _marker(folder)
        wanted = said.record if said else ""
        if wanted and wanted not in held:
            try:
                ledger.get(wanted)
            except LedgerError as error:
                lost[wanted] = error
    return lost if job else {**ledger.damaged(containing=str(info.uuid)), **lost}


def _damaged(ledgers: Iterable[Ledger]) -> str:
    return "".join(f"; {text}" for ledger in ledgers for text in ledger.faults())


def _by_content(path: Path, cwd: Path, execution: Path | None) -> Located:
    place, name = LocalStorage.at(path)
    try:
        sha256 = place.digest(name)
    except PlaceError as error:
        if error.kind not in {NOT_PLAIN, INVALID}:
            raise
        raise LedgerError(str(error), "Name a file, or a folder of files.") from error
    ledgers = _ledgers(path, "", cwd)
    beside = path.with_name(f"{path.name}.prov")
    closure = Closure(beside, [*ledgers]) if beside.is_file() else None
    if closure is not None:
        ledgers.append(closure)
    for ledger in ledgers:
        if found := ledger.find_by_content(sha256):
            record = found[0]
            if isinstance(record.data.made(sha256), RecordedFigure):
                # Of the attempt that drew it; later ones, and who took it over, only have it too.
                # The oldest of one number: the clock of a machine may be wrong.
                found.reverse()
                record = min(found, key=lambda r: (r.data.reused_from is not None, r.data.attempt))
            return _artifact(ledger, record, path, sha256, sha256, others=len(found) - 1)
    if closure is not None:
        said = closure.data
        holder = next(ledger for ledger in ledgers if ledger.starting_with(said.record))
        return _artifact(holder, holder.get(said.record), path, said.artifact, sha256)
    if located := _by_figure_id(path, Path(place.where(name)), sha256, ledgers):
        return located
    where = " or ".join(str(ledger.root) for ledger in ledgers) or "a project around it"
    message = f"{path}: no record in {where} made this content ({short(sha256)})"
    message += _damaged(ledgers)
    hint = "Was the file edited after it was made, or is it from another project?"
    if execution is not None:
        hint = "Name an output, a job's folder or the execution itself."
    raise LedgerError(message, hint)


def _artifact(
    ledger: Ledger, record: Record, path: Path, made: str, sha256: str, others: int = 0
) -> Located:
    """Return what is located for a copy of what the record made with the digest `made`."""
    found = record.data.made(made)
    if found is None:
        message = f"{path}.prov: record {short(record.id)} did not make {short(made)}"
        raise LedgerError(message, "Copy it again from beside the original.")
    return Located(
        ledger=ledger,
        project=ledger.root.parent,
        records=(record,),
        how="content" if made == sha256 else "closure",
        path=path,
        made=found,
        sha256=sha256,
        others=others,
        lost=ledger.lost(),
    )


def _by_figure_id(path: Path, real: Path, sha256: str, ledgers: Sequence[Ledger]) -> Located | None:
    """Return what is located by the id in a figure that no record has; None if it carries none."""
    ids = carried(real)
    if not ids:
        return None
    if len(ids) > 1:
        message = f"{path}: carries the ids of {len(ids)} figures, such as {ids[0]}"
        raise LedgerError(message, "Ask of each figure by itself.")
    said, is_known = ids[0], False
    for ledger in ledgers:
        for record in ledger.records(containing=said.uuid):
            is_known = True
            named = [item for item in record.data.figures if item.name == said.file]
            if named and (record.place, record.data.attempt) == (said.place, said.attempt):
                return Located(
                    ledger=ledger,
                    project=ledger.root.parent,
                    records=(record,),
                    how="figure_id",
                    path=path,
                    made=named[0],
                    sha256=sha256,
                )
    by = f"{path}: its id says {said.file} of {said.label}, attempt {said.attempt}"
    if is_known:
        message = f"{by}, which no record names" + _damaged(ledgers)
        raise LedgerError(message, "A job writes its record when it ends; one run by hand, none.")
    message = f"{by}, but no project here knows that execution (uuid {said.uuid})"
    raise LedgerError(message, "Run it in the project of that execution, where its .dfh is.")


def _split(path: Path) -> tuple[str, int | None, tuple[str, ...]]:
    """Return job, task and the rest of a path below an execution."""
    parts = path.parts
    if parts[:1] != ("jobs",):
        return "", None, parts
    job = parts[1] if len(parts) > 1 else ""
    match = _TASK.fullmatch(parts[2]) if len(parts) > 2 else None
    return job, int(match[1]) if match else None, parts[3 if match else 2 :]


def _made(
    records: Sequence[Record], folder: str, file: str
) -> RecordedOutput | RecordedFigure | None:
    """Return what a job's one record says of a file in its folder `outputs` or `figures`."""
    if len(records) > 1:
        return None
    data = records[0].data
    if folder == "figures":
        return next((figure for figure in data.figures if figure.name == file), None)
    return next((output for output in data.outputs if Path(output.path).name == file), None)


def _ledgers(start: Path, named: str | Path = "", cwd: Path | None = None) -> list[Ledger]:
    """Return the ledgers above a path, the one that is named, and those above `cwd`."""
    found: dict[Path, None] = {}
    for origin in (start, cwd):
        if origin is not None:
            resolved = origin.resolve()
            for folder in (resolved, *resolved.parents):
                if (folder / LEDGER).is_dir():
                    found[folder / LEDGER] = None
        if origin is start and named and Path(named).is_dir():
            found[Path(named).resolve()] = None
    return [Ledger(root) for root in found]


def _marker(folder: JobLayout) -> Marker | None:
    """Return a job's success marker; None for a damaged one, which `dfh prov verify` names."""
    try:
        return marker.read(folder)
    except (OSError, ValueError):
        return None
