"""Whether the frozen files of an execution still are those that its records name."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from deepforge_hpc.errors import LedgerError
from deepforge_hpc.ledger.store import Ledger, Record, short
from deepforge_hpc.runtime.base.codec import parse
from deepforge_hpc.runtime.base.execution import ExecutionInfo, Manifest
from deepforge_hpc.runtime.base.files import digest, read_own
from deepforge_hpc.runtime.base.layout import ExecutionLayout
from deepforge_hpc.runtime.base.notice import ERROR, INFO, Notice
from deepforge_hpc.runtime.job.guard import differences

_PROJECT = "project/"
_OPERATIONS = (_PROJECT, "library/")
_KEPT = (*_OPERATIONS, "compiled/")
"""Parts of the code of which the ledger keeps the bytes too."""


def check_frozen(
    ledger: Ledger, record: Record, folder: Path | None, project: Path
) -> Iterator[Notice]:
    """Check the files that a record names: those of its execution, and what the ledger keeps.

    All records of an execution share them. `folder` is None if it is gone.
    """
    data = record.data
    if not data.code:
        return  # a kind of record that no execution made
    layout = ExecutionLayout(folder or Path())
    files = {
        "plan": (layout.plan, data.plan),
        "code": (layout.manifest, data.code),
        "pipeline": (layout.pipeline, data.pipeline),
        "site": (layout.site, data.site_file),
    }
    for name, (path, wanted) in files.items():
        if wanted:
            if folder is not None:
                yield from _file(f"{name}_modified", path, wanted, record)
            yield from _blob(ledger, wanted, "blob_damaged", f"{path.name} of {record.execution}")
    if folder is not None:
        yield from _execution(layout, record)
        yield from _code(layout, record)
    manifest = _manifest(ledger, data.code, folder)
    for name, sha256 in manifest.items():
        if name.startswith(_KEPT):
            yield from _blob(ledger, sha256, _kind(name), name)
    yield from _edited(manifest, project)


def broken(kind: str, text: str, subject: object) -> Notice:
    """Return a finding by which a result is not sound."""
    return Notice(kind, text, str(subject), level=ERROR)


def check_script(record: Record, folder: Path) -> Iterator[Notice]:
    """Check the job script, unless the result was taken over and none ran."""
    wanted = record.data.script
    if wanted and record.data.reused_from is None:
        path = ExecutionLayout(folder).script(record.data.job)
        yield from _file("script_modified", path, wanted, record)


def check_packages(ledger: Ledger, record: Record) -> Iterator[Notice]:
    """Check the ledger's list of the packages that a job could import."""
    if wanted := record.data.environment.packages:
        yield from _blob(ledger, wanted, "blob_damaged", f"packages of {record.label}")


def _file(kind: str, path: Path, wanted: str, record: Record) -> Iterator[Notice]:
    try:
        actual = digest(read_own(path))
    except (FileNotFoundError, NotADirectoryError):
        actual = ""
    except ValueError as error:
        actual = str(error)
    except OSError as error:
        text = f"{path.name} of {record.label} was not checked: it cannot be read ({error})"
        yield Notice("frozen_unreadable", text, str(path))
        return
    if actual != wanted:
        state = "was removed" if not actual else "is not the one that ran"
        yield broken(kind, f"{path.name} of {record.label} {state}", path)


def _execution(layout: ExecutionLayout, record: Record) -> Iterator[Notice]:
    """Say of `execution.json`, of which no digest is kept, whether it is one."""
    try:
        ExecutionInfo.read(layout)
    except (OSError, ValueError) as error:
        text = f"execution.json of {record.execution} cannot be read: {error}"
        yield Notice("frozen_unreadable", text, str(layout.execution))


def _code(layout: ExecutionLayout, record: Record) -> Iterator[Notice]:
    try:
        files = _files(read_own(layout.manifest))
    except (OSError, ValueError):
        return
    for name, fault in differences(layout.code, files):
        if fault == "unreadable":
            text = f"frozen code of {record.execution} was not checked: {name} cannot be read"
            yield Notice("frozen_unreadable", text, str(layout.code / name))
            continue
        text = f"the frozen code of {record.execution} was changed: {name} ({fault})"
        yield broken(_kind(name), text, layout.code / name)


def _kind(name: str) -> str:
    return "operation_modified" if name.startswith(_OPERATIONS) else "code_modified"


def _blob(ledger: Ledger, sha256: str, kind: str, what: str) -> Iterator[Notice]:
    if not ledger.has_blobs:
        return
    try:
        content = ledger.blob(sha256)
    except LedgerError as error:
        yield broken(kind, error.message, what)
        return
    if content is None:
        yield Notice("blob_missing", f"the ledger's copy of it, {short(sha256)}, is missing", what)


def _edited(files: dict[str, str], project: Path) -> Iterator[Notice]:
    """Say which files were edited in the project: not the fault of any result.

    The same of all executions that a result comes from, so that it is told once.
    """
    for name, wanted in files.items():
        path = project / name.removeprefix(_PROJECT)
        if name.startswith(_PROJECT) and _differs(path, wanted):
            text = f"{path.name} was edited since: what ran is the frozen version"
            yield Notice("operation_edited", text, str(path), level=INFO)


def _differs(path: Path, wanted: str) -> bool:
    """Tell whether there is another file in the place of a frozen one."""
    try:
        return digest(read_own(path.resolve())) != wanted
    except (OSError, ValueError):
        return path.is_file()


def _manifest(ledger: Ledger, code: str, folder: Path | None) -> dict[str, str]:
    """Return the digests of the code that ran: by the execution's list, else by the ledger's."""
    if folder is not None:
        with suppress(OSError, ValueError):
            content = read_own(ExecutionLayout(folder).manifest)
            if digest(content) == code:
                return _files(content)
    try:
        return _files(ledger.blob(code) or b"")
    except LedgerError:
        return {}


def _files(manifest: bytes) -> dict[str, str]:
    try:
        return parse(Manifest, manifest, is_open=True).files
    except ValueError:
        return {}
