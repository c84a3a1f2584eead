"""Look at executions, and act on them: status, cancel, resume, report, list, remove."""

from __future__ import annotations

import os
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from deepforge_hpc.api.find import (
    FoundExecution,
    all_executions,
    is_leftover,
    is_own,
    project_above,
)
from deepforge_hpc.errors import (
    DeepforgeHpcError,
    InvalidInputError,
    LedgerError,
    StorageError,
    UsageError,
)
from deepforge_hpc.model.json_result import JsonResult
from deepforge_hpc.runtime.base.notice import Notice
from deepforge_hpc.runtime.base.text import listed
from deepforge_hpc.submit.project import executions_folders

if TYPE_CHECKING:
    from deepforge_hpc.plugins.scheduler import Scheduler
    from deepforge_hpc.runtime.state.status import ExecutionStatus
    from deepforge_hpc.site.model import SiteSpec
    from deepforge_hpc.submit.orphans import HeldOrphan
    from deepforge_hpc.submit.reports import CancelReport, SubmitReport


@dataclass(frozen=True, slots=True, kw_only=True)
class Summary(JsonResult):
    """One execution in a list."""

    id: str
    state: str
    created: str
    site: str
    name: str
    tags: tuple[str, ...]
    size: int
    """Bytes on disk; a file that is linked twice counts once."""
    files: int
    path: str


def status(found: FoundExecution, *, ask_scheduler: bool = True) -> ExecutionStatus:
    """Return the state of an execution's jobs, by their own files and by the scheduler."""
    from deepforge_hpc.submit.inspect import status as inspect_status

    return inspect_status(found.layout, scheduler_of(found) if ask_scheduler else None)


def other_orphans(found: FoundExecution) -> tuple[HeldOrphan, ...]:
    """Return the other submissions of the same project that broke off and hold jobs."""
    from deepforge_hpc.submit.orphans import held_orphans

    orphans = held_orphans(Path(found.info.project))
    return tuple(orphan for orphan in orphans if orphan.execution != found.id)


def cancel(found: FoundExecution, *, is_closed: bool = True) -> CancelReport:
    """Cancel all jobs of an execution that have not ended, but for the one that closes it."""
    from deepforge_hpc.runtime.base.plan import FINAL_JOB
    from deepforge_hpc.submit import chain
    from deepforge_hpc.submit.frozen import read_info

    try:
        read_info(found.layout)
    except (LedgerError, StorageError):
        _require_original(found)
    report = chain.cancel(found.layout, scheduler_of(found), is_closed=is_closed)
    if FINAL_JOB in report.jobs:
        with suppress(LedgerError, StorageError):  # it is damaged, and cancelled all the same
            status(found)  # it writes down how the jobs ended, which nobody else would now
    return report


def _require_original(found: FoundExecution) -> None:
    """Raise UsageError unless a damaged execution lies where jobs of its token can be its own.

    The file that says where it was created is what is damaged: a copy's jobs are the original's.
    """
    from deepforge_hpc.submit.frozen import read_enough_to_cancel

    project = project_above(found.layout.root)
    token = read_enough_to_cancel(found.layout).token
    others = [other for other in all_executions(project) if other.layout != found.layout]
    original = next((o for o in others if o.info.token == token), None)
    if original or not _is_in_project(found, project):
        what = f"of {original.name}" if original else f"from outside of the executions of {project}"
        message = f"{found.layout.root}: execution.json is damaged, and it is a copy {what}"
        hint = f"dfh cancel {original.name}" if original else "Use the original."
        raise UsageError(message, hint)


def _is_in_project(found: FoundExecution, project: Path) -> bool:
    folder = found.layout.root
    homes = [Path(os.path.realpath(home)) for home in executions_folders(project)]  # a loop is one
    return not folder.is_symlink() and folder.resolve().parent in homes


def resume(found: FoundExecution) -> SubmitReport:
    """Submit again, with the frozen code, what did not succeed."""
    from deepforge_hpc.site.unknown import known
    from deepforge_hpc.submit import chain
    from deepforge_hpc.submit.submitter import RateLimit

    site = site_of(found)
    rate_limit = RateLimit(known(site.submit.rate_per_min) if site else None)
    repeated = _repeated(found)
    report = chain.resume(found.layout, scheduler_of(found), rate_limit=rate_limit)
    return replace(report, warnings=_edited(found) or repeated) if report.submitted else report


def _repeated(found: FoundExecution) -> tuple[Notice, ...]:
    """Return which failure the same frozen code most likely repeats."""
    from deepforge_hpc.runtime.base.advice import PACKAGE, change_step, to_change
    from deepforge_hpc.runtime.state.assemble import build
    from deepforge_hpc.runtime.state.read import read_files

    try:
        end = to_change(build(read_files(found.layout.root), None, now=0).ends())
    except OSError:
        end = None  # what resumes says more
    if end is None:
        return ()
    text = f"{end.job} failed by its own code, which is frozen: most likely it fails again"
    if end.lacks == PACKAGE:
        text = f"{end.job} missed a package, and its frozen plan is one without it: a result goes "
        text += "to this execution alone, a later submission does not reuse it"
    elif end.lacks:
        text = f"{end.job} had too little {end.lacks}, and what it gets is frozen: most likely it "
        text += "fails again"
    step = change_step(end, found.info.submit_command)
    return (Notice("repeated", text, end.job, next=step),)


def _edited(found: FoundExecution) -> tuple[Notice, ...]:
    """Return what was edited since it was frozen: a failure that it mends would come again."""
    from deepforge_hpc.submit.frozen import edited, read_info

    info = read_info(found.layout)
    names = edited(found.layout, info)
    if not names:
        return ()
    text = f"{listed(names, 3)} {'were' if names[1:] else 'was'} edited since: "
    text += "what is resumed is the code as it was frozen"
    return (Notice("code_edited", text, info.id, next=f"{info.submit_command} takes it up"),)


def least_pause_s(found: FoundExecution) -> float:
    """Return how long the site wants one to wait between two looks at the queue; 0: it says not."""
    from deepforge_hpc.site.unknown import known

    site = site_of(found)
    return float(known(site.login.poll_s) or 0) if site else 0.0


def usual_pause_s(found: FoundExecution) -> float:
    """Return how long to wait between two looks, if the user does not say it."""
    return scheduler_of(found).poll_s


def report(found: FoundExecution) -> tuple[Path, str]:
    """Write the report of an execution anew and return its path.

    With why it was not: who may only look has the page that the jobs have written.
    """
    from deepforge_hpc.runtime.base.files import publish_bytes
    from deepforge_hpc.runtime.report.refresh import render_report

    try:
        publish_bytes(found.layout.report, render_report(found.layout.root))
    except OSError as error:
        if isinstance(error, PermissionError) and found.layout.report.is_file():
            return found.layout.report, f"not written anew: {error.strerror}"
        message = f"{found.layout.report}: {error.strerror}"
        raise StorageError(message, f"dfh status {found.name} shows the same.") from error
    return found.layout.report, ""


def executions(cwd: Path) -> tuple[Summary, ...]:
    """Return the executions of the project that a folder lies in, newest first."""
    return tuple(_summary(found) for found in all_executions(project_above(cwd)))


def disk_usage(folder: Path) -> tuple[int, int]:
    """Return bytes on disk and number of files below a folder; links are not followed."""
    size = files = 0
    seen: set[tuple[int, int]] = set()
    for parent, _, names in os.walk(folder):
        for name in names:
            try:
                info = os.lstat(f"{parent}/{name}")
            except OSError:
                continue
            files += 1
            if (info.st_dev, info.st_ino) not in seen:
                seen.add((info.st_dev, info.st_ino))
                size += info.st_blocks * 512
    return size, files


def remove(found: FoundExecution, cwd: Path, *, force: bool = False) -> None:
    """Delete the folder of an execution that has ended; its records stay in the ledger.

    Raises UsageError if a job of it may still run, or if the folder is not one of the project's
    executions. An unknown state counts as running unless `force`.
    """
    folder, project = found.layout.root, project_above(cwd)
    if not _is_in_project(found, project) or not is_own(found, project):
        message = f"{folder}: not in an executions folder of {project}"
        raise UsageError(message, "Only the project's own executions are removed.")
    if live := live_jobs(found, force=force):
        message = f"{found.name} is not over: {', '.join(live)}"
        hint = f"Cancel it first: dfh cancel {found.id}"
        if not live_jobs(found, force=True):
            hint = (
                "Nobody knows how it ended; once you know that nothing of it runs: "
                f"dfh executions rm --force {found.id}"
            )
        raise UsageError(message, hint)
    import shutil

    # Out of the list first: an interrupted removal must not leave what looks like an execution.
    doomed = folder.with_name(f".removed-{found.name}-{os.urandom(4).hex()}")
    try:
        folder.rename(doomed)
        shutil.rmtree(doomed)
    except OSError as error:
        message = f"{error.filename or folder}: {error.strerror}"
        left = f"What is left of it: {doomed}" if doomed.exists() else "Nothing of it was removed."
        raise StorageError(message, left) from error


def live_jobs(found: FoundExecution, *, force: bool = False) -> list[str]:
    """Return the jobs that run, may start, or of which nobody knows (unless `force`)."""
    if is_leftover(found.layout.root):
        return []
    return [
        f"{job.name} ({job.state})"
        for job in status(found).jobs
        if not all(unit.is_over or (force and not unit.state.is_live) for unit in job.units)
    ]


def scheduler_of(found: FoundExecution) -> Scheduler:
    """Return the adapter of the scheduler that an execution was submitted to."""
    from deepforge_hpc.plugins.scheduler import scheduler_named

    return scheduler_named(found.info.scheduler)


def site_of(found: FoundExecution) -> SiteSpec | None:
    """Return the site that an execution was planned for; None if its copy cannot be read."""
    from deepforge_hpc.site.find import frozen_site

    try:
        return frozen_site(found.layout.site)
    except InvalidInputError:
        return None


def _state(found: FoundExecution) -> str:
    """Return the state in one word: a damaged execution must not hide the others."""
    try:
        return str(status(found, ask_scheduler=False).state)
    except DeepforgeHpcError:
        return "damaged"


def _summary(found: FoundExecution) -> Summary:
    size, files = disk_usage(found.layout.root)
    return Summary(
        id=found.name,
        state=_state(found),
        created=found.info.created,
        site=found.info.site,
        name=found.info.name,
        tags=found.info.tags,
        size=size,
        files=files,
        path=str(found.layout.root),
    )
