"""Whether a result still is what its records say: records, edges, outputs, code, operation."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from deepforge_hpc.errors import LedgerError
from deepforge_hpc.ledger.store import short
from deepforge_hpc.ledger.trace import Trace, trace
from deepforge_hpc.runtime.files import digest_file, digest_path
from deepforge_hpc.runtime.layout import ExecutionLayout

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from deepforge_hpc.ledger.store import Ledger, Record

VERIFY_SCHEMA = "dfh/verify/1"


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """Something that does not hold, or that a reader should know."""

    kind: str
    """record_missing record_damaged edge_broken output_modified output_missing plan_modified
    code_modified operation_modified blob_damaged (errors); output_gone input_modified
    input_declared code_gone (warnings); operation_edited (information)."""
    level: str
    """error | warning | info; only an error makes the verification fail."""
    subject: str
    """Path or record."""
    message: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Verification:
    """What was checked and what was found."""

    roots: tuple[str, ...]
    records: int
    outputs: int
    executions: int
    findings: tuple[Finding, ...]

    @property
    def is_sound(self) -> bool:
        """Tell whether no error was found."""
        return not any(finding.level == "error" for finding in self.findings)

    def to_dict(self) -> dict[str, Any]:
        """Return JSON data."""
        return {"schema": VERIFY_SCHEMA, "ok": self.is_sound, **asdict(self)}


def verify(
    ledger: Ledger,
    roots: Sequence[Record],
    *,
    project: Path,
    locate: Callable[[Record], Path | None],
    present: str = "",
    lost: Mapping[str, LedgerError] | None = None,
) -> Verification:
    """Check records and all that they were made from.

    `locate` returns the folder of a record's execution, or None if it is gone. `present` is the
    digest of a copy that the caller holds: its original may be gone. `lost`: by id, records that
    were asked for and cannot be had.
    """
    closure = trace(ledger, roots, lost)
    findings = [*_records(closure)]
    outputs = 0
    frozen: dict[tuple[str, str, str], Path | None] = {}
    for item in closure.records.values():
        findings.extend(_edges(closure, item))
        folder = locate(item)
        outputs += len(item.outputs)
        held = {present} if item.id in closure.roots else None
        findings.extend(_outputs(item, project, folder, held))
        findings.extend(_external(item, project))
        findings.extend(_blobs(ledger, item))
        key = (item.execution, str(item.data.get("plan")), str(item.data.get("code")))
        if key not in frozen:
            frozen[key] = folder
            findings.extend(_frozen(item, folder))
        findings.extend(_operation(ledger, item, project, folder))
    return Verification(
        roots=closure.roots,
        records=len(closure.records),
        outputs=outputs,
        executions=len(frozen),
        findings=tuple(dict.fromkeys(findings)),
    )


def output_path(record: Record, output: dict[str, Any], project: Path, folder: Path | None) -> Path:
    """Return where an output lies, or lay: its execution may have moved with its project."""
    path = Path(str(output.get("path", "")))
    parts = path.parts
    if folder is not None and "jobs" in parts:
        # The last `jobs`: nothing below an execution's own one has that name by our doing,
        # but a folder above may.
        for position in (i for i, part in enumerate(parts) if part == "jobs"):
            candidate = folder.joinpath(*parts[position:])
            if parts[position - 1 : position] == (record.execution,) and candidate.exists():
                return candidate
    return path if path.is_absolute() else project / path


def _records(closure: Trace) -> Iterator[Finding]:
    for record_id, error in closure.problems.items():
        missing = type(error).__name__ == "MissingRecordError"
        yield Finding(
            kind="record_missing" if missing else "record_damaged",
            level="error",
            subject=record_id,
            message=error.message,
        )


def _edges(closure: Trace, record: Record) -> Iterator[Finding]:
    """An input must be what the record that it names says it made."""
    for item in record.inputs:
        by = item.get("by") or {}
        producer = closure.records.get(str(by.get("record")))
        if producer is None:
            continue
        made = [o.get("sha256") for o in producer.outputs if o.get("name") == by.get("output")]
        if item.get("sha256") not in made:
            yield Finding(
                kind="edge_broken",
                level="error",
                subject=record.id,
                message=f"{record.label} read {short(str(item.get('sha256')))} as"
                f" {item.get('port')}, not what {producer.label} made as {by.get('output')}",
            )


def _outputs(
    record: Record, project: Path, folder: Path | None, held: set[str] | None
) -> Iterator[Finding]:
    """Compare outputs with their record; `held` is None for a record that was not asked for."""
    for output in record.outputs:
        path = output_path(record, output, project, folder)
        wanted = str(output.get("sha256"))
        try:
            actual = digest_path(path)[0] if path.exists() else ""
        except (OSError, ValueError) as error:
            actual = f"unreadable ({error})"
        if actual == wanted:
            continue
        name = f"output {output.get('name')} of {record.label}"
        if not actual:
            is_needed = held is not None and wanted not in held
            yield Finding(
                kind="output_missing" if is_needed else "output_gone",
                level="error" if is_needed else "warning",
                subject=str(path),
                message=f"{name} is not there any more; its record tells how to make it again",
            )
        else:
            yield Finding(
                kind="output_modified",
                level="error",
                subject=str(path),
                message=f"{name} was changed: recorded {short(wanted)}, now {short(actual)}",
            )


def _external(record: Record, project: Path) -> Iterator[Finding]:
    for item in record.inputs:
        if (item.get("by") or {}).get("record") or not item.get("uri"):
            continue
        subject = str(item.get("uri"))
        name = f"input {item.get('port')} of {record.label}"
        if item.get("trust") == "declared" or not item.get("sha256"):
            yield Finding(
                kind="input_declared",
                level="warning",
                subject=subject,
                message=f"{name} was trusted as declared, its content was not read",
            )
            continue
        path = project / str(item.get("path") or subject)
        try:
            modified = path.exists() and digest_path(path)[0] != item["sha256"]
        except (OSError, ValueError):
            modified = True
        if modified:
            yield Finding(
                kind="input_modified",
                level="warning",
                subject=str(path),
                message=f"{name} was changed since: the result was made from"
                f" {short(str(item['sha256']))}",
            )


def _blobs(ledger: Ledger, record: Record) -> Iterator[Finding]:
    for name in ("plan", "code"):
        yield from _blob(ledger, str(record.data.get(name)), "blob_damaged", name)


def _blob(ledger: Ledger, sha256: str, kind: str, subject: str) -> Iterator[Finding]:
    try:
        ledger.blob(sha256)
    except LedgerError as error:
        yield Finding(kind=kind, level="error", subject=subject, message=error.message)


def _frozen(record: Record, folder: Path | None) -> Iterator[Finding]:
    """The execution's plan and frozen code must be those that the record names."""
    if folder is None:
        yield Finding(
            kind="code_gone",
            level="warning",
            subject=record.execution,
            message=f"the folder of {record.execution} is gone: its frozen code was not compared",
        )
        return
    layout = ExecutionLayout(folder)
    for kind, path, wanted in (
        ("plan_modified", layout.plan, record.data.get("plan")),
        ("code_modified", layout.manifest, record.data.get("code")),
    ):
        if not path.is_file() or digest_file(path) != wanted:
            yield Finding(
                kind=kind,
                level="error",
                subject=str(path),
                message=f"{path.name} of {record.execution} is not the one that ran",
            )
    for name, wanted in manifest_files(layout.manifest).items():
        path = layout.code / name
        if path.is_file() and digest_file(path) == wanted:
            continue
        is_operation = name.startswith(("project/", "library/"))
        yield Finding(
            kind="operation_modified" if is_operation else "code_modified",
            level="error",
            subject=str(path),
            message=f"frozen code of {record.execution} was "
            + ("changed" if path.exists() else "removed"),
        )


def _operation(
    ledger: Ledger, record: Record, project: Path, folder: Path | None
) -> Iterator[Finding]:
    """The stored source must be sound; a newer source in the project is only information."""
    module = str(record.operation.get("module") or "")
    if not module:
        return
    wanted = _manifest(ledger, record, folder).get(module)
    if wanted is None:
        return
    yield from _blob(ledger, wanted, "operation_modified", module)
    present = project / module.removeprefix("project/")
    if not module.startswith("project/") or not present.is_file():
        return
    if digest_file(present) != wanted:
        yield Finding(
            kind="operation_edited",
            level="info",
            subject=str(present),
            message=f"operation {record.operation.get('name')} was edited since {record.execution};"
            " this result was made by the frozen version",
        )


def _manifest(ledger: Ledger, record: Record, folder: Path | None) -> dict[str, str]:
    if folder is not None:
        path = ExecutionLayout(folder).manifest
        if path.is_file() and digest_file(path) == record.data.get("code"):
            return manifest_files(path)
    try:
        content = ledger.blob(str(record.data.get("code")))
    except LedgerError:
        return {}
    return _files(content) if content else {}


def manifest_files(path: Path) -> dict[str, str]:
    """Return the digests of a manifest by path below `code/`; empty if it cannot be read."""
    try:
        return _files(path.read_bytes())
    except OSError:
        return {}


def _files(content: bytes) -> dict[str, str]:
    try:
        files = json.loads(content)["files"]
    except (ValueError, KeyError, TypeError):
        return {}
    return {str(k): str(v) for k, v in files.items()} if isinstance(files, dict) else {}
