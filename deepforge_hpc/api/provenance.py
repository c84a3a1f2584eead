"""Explain, trace and verify results by their records."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from deepforge_hpc.api.find import find_execution, read_execution
from deepforge_hpc.errors import LedgerError, UsageError
from deepforge_hpc.ledger import locate as _locate
from deepforge_hpc.ledger import trace as _trace
from deepforge_hpc.ledger import verify as _verify
from deepforge_hpc.runtime.state.check import Checked, look
from deepforge_hpc.submit.project import executions_folders

if TYPE_CHECKING:
    from pathlib import Path
    from re import Match

    from deepforge_hpc.ledger.locate import Subject
    from deepforge_hpc.ledger.store import Record
    from deepforge_hpc.ledger.trace import Trace
    from deepforge_hpc.ledger.verify import Verification
    from deepforge_hpc.runtime.base.layout import ExecutionLayout


@dataclass(frozen=True, slots=True, kw_only=True)
class Explanation:
    """One result, and what made it."""

    subject: Subject
    sha256: str
    """Digest of the output's content now; empty if none was asked for, or it cannot be read."""
    size: int
    """Bytes, as recorded; of all outputs if a job or execution was asked for."""
    state: str
    """unchanged | modified | missing | not checked (it cannot be read, or none was asked for)"""
    ancestors: int
    """Number of records that it was made from."""
    packages: tuple[str, ...] = ()
    """`name==version` of what its operation could import, as far as the ledger keeps it."""

    @property
    def record(self) -> Record:
        """Return the record."""
        return self.subject.record

    def to_dict(self) -> dict[str, Any]:
        """Return JSON data."""
        subject = self.subject
        return {
            "schema": "dfh/explanation/1",
            "path": str(subject.path) if subject.path else None,
            "output": subject.output or None,
            "found_by": subject.how,
            "sha256": self.sha256 or None,
            "state": self.state,
            "size": self.size,
            "ancestors": self.ancestors,
            "packages": list(self.packages),
            "other_records": subject.others,
            "ledger": str(subject.ledger.root),
            "records": [record.to_dict() for record in subject.records],
        }


def explain(text: str, cwd: Path) -> Explanation:
    """Return what made a path, a copy of an output, or what a record's id names."""
    subject = _subject(text, cwd)
    outputs = [
        output
        for record in subject.records
        for output in record.data.outputs
        if not subject.output or output.name == subject.output
    ]
    sha256, state = _now(subject, outputs[0].sha256) if subject.output else ("", "not checked")
    closure = _trace.trace(subject.ledger, subject.records)
    return Explanation(
        subject=subject,
        sha256=sha256,
        size=sum(output.size for output in outputs),
        state=state,
        ancestors=len(closure.records) - len(closure.roots),
        packages=_packages(subject),
    )


def _now(subject: Subject, made: str) -> tuple[str, str]:
    """Return digest and state of an output that was asked for; `made` is what its record says."""
    found = Checked(sha256=subject.sha256, fault="another" if subject.sha256 != made else "")
    if subject.path and not subject.sha256:  # a copy was read when it was looked for
        found = look(subject.path, made)
    if found.is_unread:
        return "", "not checked"
    if found.is_missing:
        return "", "missing"
    return found.sha256, "modified" if found.fault else "unchanged"


def _packages(subject: Subject) -> tuple[str, ...]:
    """Return the packages of the one record; a list that was changed is for `verify` to tell."""
    wanted = subject.record.data.environment.packages
    if len(subject.records) > 1 or not wanted or not subject.ledger.has_blobs:
        return ()
    with suppress(LedgerError):
        content = subject.ledger.blob(wanted) or b""
        return tuple(content.decode("utf-8", "replace").split())
    return ()


def trace(text: str, cwd: Path) -> Trace:
    """Return all records that a result was made from."""
    subject = _subject(text, cwd)
    return _trace.trace(subject.ledger, subject.records, subject.lost)


def verify(text: str, cwd: Path) -> Verification:
    """Check a result, its records, the code that made it, and all that it was made from."""
    subject = _subject(text, cwd)
    return _verify.verify(subject, lambda record: _folder_of(record, subject))


def _subject(text: str, cwd: Path) -> Subject:
    """Return what a path, an execution, EXECUTION/JOB or a record's id names, in this order."""
    if not (cwd / text).exists():
        label = _locate.LABEL.fullmatch(text)
        # What is no execution is a record's id, or nothing; `locate` says which.
        with suppress(UsageError):
            layout = find_execution(label["execution"] if label else text, cwd).layout
            text = str(_folder_of_label(layout, label) if label else layout.root)
    return _locate.locate(text, cwd)


def _folder_of_label(layout: ExecutionLayout, label: Match[str]) -> Path:
    """Return the folder of a job or of an array's task; UsageError if there is no such job."""
    folder = layout.job(label["job"], int(label["task"]) if label["task"] else None).root
    if not folder.is_dir():
        message = f"{layout.root.name} has no job {label['job']}"
        raise UsageError(message)
    return folder


def _folder_of(record: Record, subject: Subject) -> Path | None:
    """Return where a record's execution lies, or None if it is gone.

    Of an execution and its copies it is the one that the subject lies in.
    """
    homes = [home / record.execution for home in executions_folders(subject.project)]
    for folder in (subject.execution, *homes):
        found = read_execution(folder) if folder else None
        if found and found.data.get("uuid") == record.data.uuid:
            return found.layout.root
    return None
