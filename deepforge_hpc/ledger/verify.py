"""Whether a result still is what its records say: records, edges, outputs, code, operation."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from shlex import quote
from typing import Any

from deepforge_hpc.errors import LedgerError
from deepforge_hpc.ledger.frozen import broken, check_frozen, check_packages, check_script
from deepforge_hpc.ledger.locate import Located
from deepforge_hpc.ledger.store import (
    Closure,
    Ledger,
    MissingRecordError,
    Record,
    UnreadRecordError,
    short,
)
from deepforge_hpc.ledger.trace import Trace, trace
from deepforge_hpc.model.json_result import JsonResult
from deepforge_hpc.runtime.base.files import digest
from deepforge_hpc.runtime.base.layout import ExecutionLayout, JobLayout
from deepforge_hpc.runtime.base.notice import INFO, Notice
from deepforge_hpc.runtime.base.states import State
from deepforge_hpc.runtime.base.text import count
from deepforge_hpc.runtime.figures.identity import carried
from deepforge_hpc.runtime.state import marker
from deepforge_hpc.runtime.state.check import Comparison, look
from deepforge_hpc.runtime.state.record_data import RecordedFigure, RecordedInput, RecordedOutput
from deepforge_hpc.runtime.storage.local import LocalStorage

_ABSENT = {"output_gone", "output_missing", "output_unreadable"}
_UNREAD = {
    "output_unreadable",
    "figure_unreadable",
    "marker_unreadable",
    "record_unreadable",
    "frozen_unreadable",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Verification(JsonResult, schema="dfh/verify/2"):
    """What was checked and what was found."""

    roots: tuple[str, ...]
    records: int
    outputs: int
    figures: int
    """Files of them: of what was asked for, not of what that was made from."""
    executions: int
    """Of which the frozen code was compared; `outputs` too are those that are still there."""
    findings: tuple[Notice, ...]

    @property
    def is_sound(self) -> bool:
        """Tell whether no error was found."""
        return not any(finding.level == "error" for finding in self.findings)

    @property
    def is_checked(self) -> bool:
        """Tell whether all that is there and was made or frozen here could be read."""
        return not any(finding.kind in _UNREAD for finding in self.findings)

    def to_dict(self) -> dict[str, Any]:
        is_ok = self.is_sound and self.is_checked
        return {"schema": self.schema, "ok": is_ok, **JsonResult.to_dict(self)}


def verify(located: Located, locate: Callable[[Record], Path | None]) -> Verification:
    """Check what was located, and all that it was made from.

    `locate` returns the folder of a record's execution, or None if it is gone.
    """
    closure = trace(located.ledger, located.records, located.lost)
    findings = [*_records(closure), *_copy(located)]
    held = "" if located.execution else located.sha256
    is_here = located.ledger.has_blobs
    if not is_here and not located.lost:
        text = "the project that made it is not here: only the copy and its records were compared"
        findings.append(Notice("project_elsewhere", text, str(located.path)))
    gone: Counter[str] = Counter()
    frozen, figures = set(), 0
    for record in closure.records.values():
        findings += _edges(closure, record)
        if not is_here:
            continue
        folder = locate(record)
        is_root = record.id in closure.roots
        is_asked = is_root and not located.is_figure
        outputs = [*_outputs(record, located.project, folder, is_asked=is_asked, held=held)]
        if folder is None and record.data.code:  # told at once of all that it had
            lost = [found for found in outputs if found.kind == "output_gone"]
            gone[record.execution] += len(lost)
            outputs = [found for found in outputs if found not in lost]
        findings += outputs
        if is_root and folder is not None:
            figures += len(record.data.figures)
            findings += _figures(record, folder, located)
        if is_asked:
            findings += _copies(record, located)
        findings += _external(record, located.project)
        findings += check_packages(located.ledger, record)
        if folder is not None:
            findings += _marker(located.ledger, record, folder)
            findings += check_script(record, folder)
        key = (folder or record.execution, record.data.plan, record.data.code)
        if key not in frozen:
            frozen.add(key)
            findings += check_frozen(located.ledger, record, folder, located.project)
    made = sum(len(record.data.outputs) for record in closure.records.values()) - gone.total()
    made -= sum(finding.kind in _ABSENT for finding in findings)
    findings += [_gone(execution, number) for execution, number in gone.items()]
    ledger = located.ledger
    over = ledger.passed_over()
    findings += [one for one in over if ledger.id_of(Path(one.subject)) not in closure.problems]
    return Verification(
        roots=closure.roots,
        records=len(closure.records),
        outputs=made if is_here else int(not located.is_figure),
        figures=figures,
        executions=sum(isinstance(place, Path) for place, _, _ in frozen),
        findings=tuple(dict.fromkeys(findings)),
    )


def job_layout(record: Record, folder: Path) -> JobLayout:
    """Return the folder of the job or array task that a record is of."""
    _, job, task = record.place
    return ExecutionLayout(folder).job(job, task)


def _copy(located: Located) -> Iterator[Notice]:
    """Compare an artifact outside of its execution with the record that its closure names."""
    made = located.made
    if made and not located.execution and located.path and located.sha256 != made.sha256:
        what = "figure" if located.is_figure else "output"
        name = f"this copy of {what} {made.name} of {located.record.label}"
        text = f"{name} {_change(made.sha256, Comparison(sha256=located.sha256))}"
        yield broken(f"{what}_modified", text, located.path)


def _gone(execution: str, outputs: int) -> Notice:
    also = f", nor {count(outputs, 'output')}" if outputs else ""
    text = f"the folder of {execution} is gone: its frozen code was not compared{also}"
    return Notice("code_gone", text, execution)


def _records(closure: Trace) -> Iterator[Notice]:
    for record_id, error in closure.problems.items():
        if isinstance(error, UnreadRecordError):
            text = f"{error.message}, so it was not checked"
            yield Notice("record_unreadable", text, record_id, next=error.hint)
            continue
        is_missing = isinstance(error, MissingRecordError)
        kind = "record_missing" if is_missing else "record_damaged"
        yield broken(kind, error.message, record_id)


def _edges(closure: Trace, record: Record) -> Iterator[Notice]:
    """An input must be what the record that it names says it made."""
    for item in record.data.inputs:
        by = item.by
        maker = closure.records.get(by.record) if by else None
        if by is None or maker is None:
            continue
        made = [o for o in maker.data.outputs if o.name == by.output]
        if not any(o.sha256 == item.sha256 and item.format in ("", o.format) for o in made):
            read = f"{record.label} read {short(item.sha256)} ({item.format}) as {item.port}"
            yield broken(
                "edge_broken", f"{read}, not what {maker.label} made as {by.output}", record.id
            )


def _outputs(
    record: Record, project: Path, folder: Path | None, *, is_asked: bool, held: str
) -> Iterator[Notice]:
    """Compare outputs with their record; what was asked for must be there, or a copy be held."""
    for output in record.data.outputs:
        path = Path(output.path)
        # An execution may have moved, alone or with its project.
        path = job_layout(record, folder).outputs / path.name if folder else project / path
        is_needed = is_asked and output.sha256 != held
        yield from _compared("output", output, record, path, is_needed=is_needed)


def _figures(record: Record, folder: Path, located: Located) -> Iterator[Notice]:
    """Compare figures with their record; that which was asked for must be there."""
    for figure in record.data.figures:
        path = job_layout(record, folder).figures / Path(figure.name).name
        is_needed = path == located.path
        for found in _compared("figure", figure, record, path, is_needed=is_needed):
            later = [said for said in carried(path) if said.place == record.place]
            if any(said.attempt > record.data.attempt for said in later):
                text = f"figure {figure.name} of {record.label} is not there any more: "
                text += "a later attempt has drawn another"
                yield Notice("figure_gone", text, str(path))
            else:
                yield found


def _copies(record: Record, located: Located) -> Iterator[Notice]:
    """Compare what `outputs.NAME.to` laid elsewhere: it is no part of the execution."""
    for output in record.data.outputs:
        for path in (located.project / place for place in output.copies):
            found = look(path, output.sha256, most(output))
            if not found.fault or path == located.path:  # what was asked for is compared itself
                continue
            name = f"the copy of output {output.name} of {record.label}"
            if found.is_unread:
                kind, text = "copy_unreadable", f"was not checked: it {found.fault}"
            elif found.is_missing:
                kind, text = "copy_gone", "is not there any more"
            elif other := _maker(located.ledger, path):
                text = f"{name} is now what {other.label} made, which wrote to the same place"
                yield Notice("copy_replaced", text, str(path), level=INFO)
                continue
            else:
                kind, text = "copy_modified", _change(output.sha256, found)
            yield Notice(kind, f"{name} {text}", str(path))


_OF_NOTHING = digest(b"")


def most(made: RecordedOutput | RecordedFigure | RecordedInput) -> int | None:
    """Return how many bytes are read at most; None where the record does not say its size."""
    return made.size if made.size or made.sha256 == _OF_NOTHING else None


def _maker(ledger: Ledger, path: Path) -> Record | None:
    """Return the record that a copy's closure names, if it made what lies there now."""
    with suppress(LedgerError):
        said = Closure(path.with_name(f"{path.name}.prov")).data
        record = ledger.get(said.record)
        made = [item for item in record.data.outputs if item.sha256 == said.artifact]
        if made and not look(path, made[0].sha256, most(made[0])).fault:
            return record
    return None


def _compared(
    what: str, made: RecordedOutput | RecordedFigure, record: Record, path: Path, *, is_needed: bool
) -> Iterator[Notice]:
    found = look(path, made.sha256, most(made))
    name = f"{what} {made.name} of {record.label}"
    if found.is_unread:
        yield Notice(f"{what}_unreadable", f"{name} was not checked: it {found.fault}", str(path))
    elif found.is_missing:
        show = f"dfh prov show {quote(record.label)} tells how it was made"
        text = f"{name} is not there any more: {show}"
        missing = broken(f"{what}_missing", text, path)
        yield missing if is_needed else Notice(f"{what}_gone", text, str(path))
    elif found.fault:
        yield broken(f"{what}_modified", f"{name} {_change(made.sha256, found)}", path)


def _change(made: str, found: Comparison) -> str:
    """Return what became of it, as the end of a sentence; of what was not read, its fault."""
    now = short(found.sha256)
    return f"was changed: recorded {short(made)}, now {now}" if now else found.fault


def _marker(ledger: Ledger, record: Record, folder: Path) -> Iterator[Notice]:
    """The success marker must say what a record of the same job says: jobs and reuse trust it."""
    if record.data.status is not State.SUCCEEDED:
        return
    place = job_layout(record, folder)
    try:
        found = marker.read(place)
        if found is None:
            text = f"{record.label} has no success marker: `dfh resume` would run it again"
            yield Notice("marker_missing", text, str(place.success))
            return
        # A later attempt may have made the job's result anew.
        named = record if found.record == record.id else ledger.get(found.record)
    except UnreadRecordError:
        return  # it is told itself
    except OSError as error:
        text = f"the success marker of {record.label} was not checked: it cannot be read ({error})"
        yield Notice("marker_unreadable", text, str(place.success))
        return
    except (ValueError, LedgerError) as error:
        fault = str(error)
    else:
        _, job, task = named.place
        is_its = named.place == record.place and not found.fault_as(job, task, named.data.plan_key)
        is_its = is_its and found.attempt == named.data.attempt
        is_its = is_its and found.reused_from == named.data.reused_from
        if is_its and named.data.says(found.outputs):
            return
        fault = f"it does not agree with record {short(named.id)} of {named.label}"
    text = f"the success marker of {record.label} does not hold: {fault}"
    yield broken("marker_modified", text, place.success)


def _external(record: Record, project: Path) -> Iterator[Notice]:
    for item in record.data.inputs:
        if item.by or not item.uri:
            continue
        name = f"input {item.port} of {record.label}"
        if item.trust == "declared" or not item.sha256:
            text = f"{name} was trusted as declared, its content was not read"
            yield Notice("input_declared", text, item.uri)
            continue
        path = project / (item.path or item.uri)
        place, below = LocalStorage.at(path)  # a link that a person named leads to it
        found = look(Path(place.where(below)), item.sha256, most(item))
        made = f"the result was made from {short(item.sha256)}"
        if found.is_unread:
            yield Notice("input_unreadable", f"{name} was not checked: it {found.fault}", str(path))
        elif found.is_missing:
            yield Notice("input_gone", f"{name} is not there any more: {made}", str(path))
        elif found.fault:
            yield Notice("input_modified", f"{name} was changed since: {made}", str(path))
