"""The files of an execution that never change: who it is, and what was planned."""

from __future__ import annotations

import os
import re
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from deepforge_hpc.errors import LedgerError, StorageError, UsageError
from deepforge_hpc.runtime.base.codec import SchemaError, ShapeError, encode, parse
from deepforge_hpc.runtime.base.execution import Manifest
from deepforge_hpc.runtime.base.files import digest, publish_bytes, publish_json, read_own
from deepforge_hpc.runtime.state import read
from deepforge_hpc.runtime.state.read import is_torn, kept, read_files

if TYPE_CHECKING:
    from deepforge_hpc.runtime.base.execution import ExecutionInfo
    from deepforge_hpc.runtime.base.layout import ExecutionLayout
    from deepforge_hpc.runtime.base.plan import Plan

_OTHER_VERSION = "Use the version of deepforge-hpc that made it."


def read_info(layout: ExecutionLayout) -> ExecutionInfo:
    """Return `execution.json`; StorageError or LedgerError without it."""
    try:
        return read.read_info(layout)
    except OSError as error:
        from deepforge_hpc.runtime.base.failure import os_hint

        message = f"{layout.root}: not an execution: {error.strerror}: {layout.execution.name}"
        raise StorageError(message, _cancel_hint(layout) or os_hint(error)) from error
    except SchemaError as error:
        message = f"{layout.execution}: not written by this version: {error}"
        raise LedgerError(message, _OTHER_VERSION) from error
    except ValueError as error:
        message = f"{layout.execution}: damaged: {error}"
        hint = "Restore it from a backup, or submit again."
        raise LedgerError(message, _cancel_hint(layout) or hint) from error


def _cancel_hint(layout: ExecutionLayout) -> str:
    """Return what to do about a damaged `execution.json`; empty if nothing was ever submitted."""
    step = (
        f"Without a backup of it nothing goes on there. What was made stays in {layout.jobs}; "
        f"submitting the pipeline again runs it anew. Jobs of it that run: "
        f"dfh cancel {layout.root.name}"
    )
    return step if layout.submitted.exists() else ""


def read_enough_to_cancel(layout: ExecutionLayout) -> ExecutionInfo:
    """Return `execution.json`; if it is damaged, what journal and plan say in its place.

    Raises LedgerError if they do not say by which token the jobs are found.
    """
    try:
        return read_info(layout)
    except (LedgerError, StorageError) as error:
        info = read_files(layout.root, with_jobs=False).info
        if re.fullmatch("[0-9a-f]{8}", info.token) and info.scheduler:
            return info
        hint = "Neither journal nor plan tell its jobs: look for them in the scheduler's queue."
        raise LedgerError(error.message, hint) from error


def read_plan(layout: ExecutionLayout, info: ExecutionInfo) -> Plan:
    """Return the plan, if it is the one that was submitted; LedgerError otherwise."""
    from deepforge_hpc.runtime.base.plan import parse_plan

    try:
        content = read_own(layout.plan)
        if is_torn(content):
            content = kept(info.ledger, info.plan_sha256)
    except (OSError, ValueError) as error:
        message = f"{layout.plan}: {getattr(error, 'strerror', error)}"
        raise StorageError(message, "Restore it from a backup, or submit again.") from error
    check_plan(layout, digest(content), info)
    try:
        return parse_plan(content)
    except ShapeError as error:
        message = f"{layout.plan}: not a plan that this version can read: {error}"
        raise LedgerError(message, _OTHER_VERSION) from error


def check_plan(layout: ExecutionLayout, sha256: str, info: ExecutionInfo) -> None:
    """Raise LedgerError unless the plan is the one that was submitted."""
    if sha256 != info.plan_sha256:
        if not layout.plan.exists():
            message = f"{layout.plan}: No such file or directory"
            raise StorageError(message, "Restore it from a backup, or submit again.")
        message = f"{layout.plan}: edited since it was submitted"
        hint = "Restore it, or submit again: `dfh submit` takes up edits of the pipeline."
        raise LedgerError(message, hint)


def edited(layout: ExecutionLayout, info: ExecutionInfo) -> list[str]:
    """Return the files of the project that are not as they were frozen, and are still there."""
    from deepforge_hpc.files.project import ProjectError, read_bounded

    frozen = {info.pipeline_file: info.pipeline_sha256}
    with suppress(OSError, ValueError):
        for name, sha256 in _manifest(layout).files.items():
            if name.startswith("project/"):
                frozen[name.removeprefix("project/")] = sha256
    found = []
    for name, sha256 in frozen.items():
        with suppress(OSError, ValueError, ProjectError):
            if digest(read_bounded(Path(info.project, name), name)) != sha256:
                found.append(name)
    return found


def restore(layout: ExecutionLayout, info: ExecutionInfo) -> None:
    """Put copies, the ledger's for the most, in place of frozen files that a power cut emptied."""
    if _is_torn(layout.execution):
        publish_json(layout.execution, encode(info))
    first = {layout.plan: info.plan_sha256, layout.manifest: info.code_sha256}
    first.update({layout.pipeline: info.pipeline_sha256, layout.site: info.site_sha256})
    for path, sha256 in first.items():
        _restore(path, info.ledger, sha256)
    with suppress(OSError, ValueError):
        for name, sha256 in _manifest(layout).files.items():
            _restore(layout.code / name, info.ledger, sha256)
            if _is_torn(layout.code / name):
                _restore_runtime(layout.code, name, sha256)
    if torn := {path for path in layout.jobs.glob(f"*/{layout.script('').name}") if _is_torn(path)}:
        from deepforge_hpc.render.script import render_scripts  # the ledger keeps the plan alone

        for job, script in render_scripts(read_plan(layout, info)).items():
            if (path := layout.script(job)) in torn:
                publish_bytes(path, script.encode(), mode=0o755)


def _manifest(layout: ExecutionLayout) -> Manifest:
    return parse(Manifest, read_own(layout.manifest), is_open=True)


def _restore(path: Path, ledger: str, sha256: str) -> None:
    with suppress(OSError, ValueError):  # then the comparison with its digest tells
        if _is_torn(path):
            publish_bytes(path, kept(ledger, sha256), mode=0o444)


def _restore_runtime(code: Path, name: str, sha256: str) -> None:
    """Write the runtime anew; the ledger keeps no copy, so only the same version can."""
    from deepforge_hpc.submit.runtime_zip import RUNTIME_ZIP, runtime_zip

    if name == RUNTIME_ZIP and (made := runtime_zip()).sha256 == sha256:
        publish_bytes(code / name, made.data, mode=0o444)


def _is_torn(path: Path) -> bool:
    try:
        return is_torn(read_own(path))
    except (OSError, ValueError):
        return False


def check_code(layout: ExecutionLayout, info: ExecutionInfo) -> None:
    """Raise LedgerError if the frozen code is not what was submitted: every job would refuse it."""
    from deepforge_hpc.runtime.base.failure import JobError
    from deepforge_hpc.runtime.job import guard

    try:
        guard.check_code(layout, info.code_sha256)
    except JobError as error:
        raise LedgerError(f"{layout.root}: {error.reason}".rstrip("."), error.hint) from error


def is_at_home(layout: ExecutionLayout, info: ExecutionInfo) -> bool:
    """Tell whether the folder lies where the execution was created."""
    return os.path.realpath(layout.root) == info.home


def moved_project(layout: ExecutionLayout, info: ExecutionInfo) -> Path | None:
    """Return the folder to which an execution's whole project was moved; None if it was not."""
    root, below = os.path.realpath(layout.root), os.path.relpath(info.home, info.project)
    if root == info.home or os.path.lexists(info.project) or not root.endswith(f"/{below}"):
        return None
    project = Path(root.removesuffix(below))
    return project if (project / info.pipeline_file).is_file() else None


def check_home(layout: ExecutionLayout, info: ExecutionInfo, verb: str) -> None:
    """Raise UsageError for a copied or moved execution: its jobs know the old place."""
    if not is_at_home(layout, info):
        message = (
            f"{layout.root} is a copy: execution {info.id} was created at {info.home}. "
            f"A copy can be read, not {verb}"
        )
        hint = f"Use the original: {info.home}"
        if not os.path.lexists(info.home):
            hint = "The original is gone: move it back there, or submit the pipeline again."
        raise UsageError(message, hint)
