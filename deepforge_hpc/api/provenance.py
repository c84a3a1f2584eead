"""Explain, trace and verify results by their records."""

from __future__ import annotations

import os
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from deepforge_hpc.api.find import find_execution, read_execution
from deepforge_hpc.errors import LedgerError, UsageError
from deepforge_hpc.ledger import locate as _locate
from deepforge_hpc.ledger import trace as _trace
from deepforge_hpc.ledger import verify as _verify
from deepforge_hpc.runtime.base.layout import ExecutionLayout
from deepforge_hpc.runtime.state.check import Comparison, look
from deepforge_hpc.submit.project import executions_folders

if TYPE_CHECKING:
    from re import Match

    from deepforge_hpc.ledger.locate import Located
    from deepforge_hpc.ledger.store import Record
    from deepforge_hpc.ledger.trace import Trace
    from deepforge_hpc.ledger.verify import Verification
    from deepforge_hpc.runtime.state.record_data import RecordedFigure, RecordedOutput


@dataclass(frozen=True, slots=True, kw_only=True)
class Explanation:
    """One result, and what made it."""

    located: Located
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
        return self.located.record

    def to_dict(self) -> dict[str, Any]:
        """Return JSON data."""
        located = self.located
        return {
            "schema": "dfh/explanation/1",
            "path": str(located.path) if located.path else None,
            "output": located.made.name if located.made and not located.is_figure else None,
            "figure": located.made.name if located.made and located.is_figure else None,
            "found_by": located.how,
            "sha256": self.sha256 or None,
            "state": self.state,
            "size": self.size,
            "ancestors": self.ancestors,
            "packages": list(self.packages),
            "other_records": located.others,
            "ledger": str(located.ledger.root),
            "records": [record.to_dict() for record in located.records],
        }


def explain(text: str, cwd: Path) -> Explanation:
    """Return what made a path, a copy of an output, or what a record's id names."""
    located = _located(text, cwd)
    outputs = [output for record in located.records for output in record.data.outputs]
    made = [located.made] if located.made else outputs
    sha256, state = _now(located, located.made) if located.made else ("", "not checked")
    closure = _trace.trace(located.ledger, located.records)
    return Explanation(
        located=located,
        sha256=sha256,
        size=sum(item.size for item in made),
        state=state,
        ancestors=len(closure.records) - len(closure.roots),
        packages=_packages(located),
    )


def _now(located: Located, made: RecordedOutput | RecordedFigure) -> tuple[str, str]:
    """Return digest and state of what was asked for; `made` is what its record says."""
    is_other = located.sha256 != made.sha256
    found = Comparison(sha256=located.sha256, fault="another" if is_other else "")
    if located.path and not located.sha256:  # a copy was read when it was looked for
        found = look(located.path, made.sha256, made.size or None)
    if found.is_unread:
        return "", "not checked"
    if found.is_missing:
        return "", "missing"
    return found.sha256, "modified" if found.fault else "unchanged"


def _packages(located: Located) -> tuple[str, ...]:
    """Return the packages of the one record; a list that was changed is for `verify` to tell."""
    wanted = located.record.data.environment.packages
    if len(located.records) > 1 or not wanted or not located.ledger.has_blobs:
        return ()
    with suppress(LedgerError):
        content = located.ledger.blob(wanted) or b""
        return tuple(content.decode("utf-8", "replace").split())
    return ()


def trace(text: str, cwd: Path) -> Trace:
    """Return all records that a result was made from."""
    located = _located(text, cwd)
    return _trace.trace(located.ledger, located.records, located.lost)


def verify(text: str, cwd: Path) -> Verification:
    """Check a result, its records, the code that made it, and all that it was made from."""
    located = _located(text, cwd)
    return _verify.verify(located, lambda record: _folder_of(record, located))


def _located(text: str, cwd: Path) -> Located:
    """Return what a path, an execution, EXECUTION/JOB or a record's id names, in this order."""
    if not (cwd / text).exists():
        label = _locate.LABEL.fullmatch(text)
        if label is None and os.sep in text:
            return _locate.locate(text, cwd)  # a file that is gone, or none
        # What is no execution is a record's id, or nothing; `locate` says which.
        with suppress(UsageError):
            layout = find_execution(label["execution"] if label else text, cwd).layout
            if label is None:
                text = str(layout.root)
            else:
                with suppress(LedgerError):  # it is damaged: the ledger alone knows its jobs
                    _locate.read_info(layout.root)
                    text = str(_folder_of_label(layout, label))
    return _locate.locate(text, cwd)


def _folder_of_label(layout: ExecutionLayout, label: Match[str]) -> Path:
    """Return the folder of a job or of an array's task; UsageError if there is no such job."""
    folder = layout.job(label["job"], int(label["task"]) if label["task"] else None).root
    if not folder.is_dir():
        raise UsageError(f"{layout.root.name} has no job {label['job']}")
    return folder


def _folder_of(record: Record, located: Located) -> Path | None:
    """Return where a record's execution lies, or None if it is gone.

    Of an execution and its copies it is the one that what was named lies in.
    """
    homes = [home / record.execution for home in executions_folders(located.project)]
    for folder in (located.execution, *homes):
        found = read_execution(folder) if folder else None
        if found and found.info.uuid == record.data.uuid:
            return found.layout.root
    # One whose own file cannot be read is compared by all else: `check_frozen` says so.
    lost = (home for home in homes if ExecutionLayout(home).execution.exists())
    return next((home for home in lost if not read_execution(home)), None)
