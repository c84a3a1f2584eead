"""Before anything runs: is this the code that was submitted, and did the upstream jobs succeed."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from ..base.codec import parse
from ..base.context import Context
from ..base.execution import Manifest
from ..base.failure import EXIT_UPSTREAM, JobError, not_as_submitted
from ..base.files import digest, read_own
from ..base.layout import LAYOUT, ExecutionLayout
from ..base.plan import JobKind
from ..base.states import State
from ..base.text import listed, title
from ..state import journal, marker


def check_code(layout: ExecutionLayout, expected: str) -> None:
    """Compare every file below `code/` with the manifest; JobError (87) names those that differ."""
    try:
        manifest = read_own(layout.manifest)
        files = parse(Manifest, manifest, is_open=True).files
    except (OSError, ValueError) as error:
        reason = f"code/MANIFEST.json cannot be read: {error}."
        raise not_as_submitted(reason) from error
    if digest(manifest) != expected:
        reason = f"code/MANIFEST.json is not what was submitted: it should have {expected}."
        raise not_as_submitted(reason)
    faults = [f"code/{name} ({fault})" for name, fault in differences(layout.code, files)]
    if faults:
        reason = f"The frozen code was changed after it was submitted: {listed(faults, 6)}."
        raise not_as_submitted(reason)


def differences(code: Path, files: dict[str, str]) -> list[tuple[str, str]]:
    """Return what below `code/` a manifest does not fit: edited, missing, added or unreadable."""
    faults = [
        (name, fault)
        for name, expected in files.items()
        if (fault := _file_fault(code / name, expected))
    ]
    known = {*files, LAYOUT.manifest.name}
    faults += [(name, "added") for name in _names_below(code) if name not in known]
    return faults


def _names_below(folder: Path | str, prefix: str = "") -> Iterator[str]:
    """Yield all that is no folder; a link to a folder is not one: Python would import from it.

    Bytecode is left out: none is read (see `imports`), but runtimes that were files have some.
    """
    with os.scandir(folder) as entries:
        for entry in entries:
            if not entry.is_dir(follow_symlinks=False):
                yield prefix + entry.name
            elif entry.name != "__pycache__":
                yield from _names_below(entry.path, f"{prefix}{entry.name}/")


def _file_fault(path: Path, expected: str) -> str:
    try:
        return "" if digest(read_own(path)) == expected else "edited"
    except (FileNotFoundError, NotADirectoryError):
        return "missing"
    except OSError:
        return "unreadable"
    except ValueError:
        return "edited"


def find_duplicate(context: Context) -> str:
    """Return the id of the job that the submitter knows in the place of this one; empty if none.

    A duplicate submission: sbatch heard a request late that was given up, beside its retry.
    """
    mine = context.native_id.partition("_")[0]
    attempt = journal.read(context.layout).attempt(context.attempt) if mine else None
    known = attempt.ids.get(context.name, mine) if attempt else mine
    return known if known != mine else ""


def check_upstream(context: Context) -> None:
    """Look for the success marker of every job that this one needs; JobError (86) names one."""
    if context.job.kind is JobKind.FINAL:
        return
    for name in context.job.after:
        upstream = context.plan.job(name)
        for task in upstream.indices:
            found = marker.find(context.layout.job(name, task), name, task, upstream.plan_key)
            if found.fault:
                reason = f"{context.title} needs {title(name, task)}, which {found.fault}."
                raise upstream_error(context, reason)


def upstream_error(context: Context, reason: str) -> JobError:
    """Return the error of a job whose upstream jobs have not succeeded."""
    hint = f"See why, and what is next: dfh status {context.info.id}"
    return JobError(
        reason, hint, exit_code=EXIT_UPSTREAM, state=State.UPSTREAM_FAILED, is_retryable=True
    )
