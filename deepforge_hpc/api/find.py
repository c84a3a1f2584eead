"""Find executions from what a person calls them."""

from __future__ import annotations

import os
import time
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timezone
from typing import TYPE_CHECKING

from deepforge_hpc.errors import UsageError
from deepforge_hpc.paths import LEDGER, PROJECT_FILE
from deepforge_hpc.runtime.base.execution import ExecutionInfo
from deepforge_hpc.runtime.base.layout import LAYOUT, ExecutionLayout
from deepforge_hpc.runtime.base.text import listed
from deepforge_hpc.runtime.state.read import read_files, read_info
from deepforge_hpc.submit.project import executions_folders, number_of

if TYPE_CHECKING:
    from pathlib import Path

LATEST = "latest"


@dataclass(frozen=True, slots=True, kw_only=True)
class FoundExecution:
    """An execution folder and the content of its `execution.json`."""

    layout: ExecutionLayout
    info: ExecutionInfo
    """What journal and plan tell, if `execution.json` is damaged."""

    @property
    def id(self) -> str:
        """Return its id."""
        return self.info.id

    @property
    def name(self) -> str:
        """Return the name of the folder: the id, unless it is a copy."""
        return self.layout.root.name


def project_above(start: Path) -> Path:
    """Return the nearest folder with `.dfh/` or `dfh.yaml`, else `start`."""
    return _project_of(start.resolve())


def _project_of(real: Path) -> Path:
    return next(filter(_is_project, (real, *real.parents)), real)


def _is_project(folder: Path) -> bool:
    return (folder / LEDGER).is_dir() or (folder / PROJECT_FILE).is_file()


def all_executions(project: Path) -> list[FoundExecution]:
    """Return the executions of a project, newest first; what is no execution is left out.

    One whose `execution.json` is damaged is among them: its jobs may run. Those of another project
    that has the same folder for its executions are not.
    """
    folders = [path for path in _folders(project) if not path.name.startswith(".")]
    found = [item for path in folders if (item := read_execution(path) or _damaged(path))]
    own = [item for item in found if not _is_of_another(item, project)]
    return sorted(own, key=lambda item: (item.info.created, item.id), reverse=True)


def is_own(found: FoundExecution, project: Path) -> bool:
    """Tell whether an execution is surely of a project, so that it may be removed.

    What `.dfh/executions.json` says counts for little: another project's folder may stand there.
    What cannot say whose it is counts as the project's if an execution beside it is.
    """
    root = found.layout.root.resolve()
    if _is_of_another(found, project):
        return False
    if root.is_relative_to(project):
        return True
    if found.info.project:
        return _named(found) == str(project)
    others = (other for other in all_executions(project) if other.info.project)
    beside = (other for other in others if other.layout.root.resolve().parent == root.parent)
    return any(is_own(other, project) for other in beside)


def _is_of_another(found: FoundExecution, project: Path) -> bool:
    """Tell whether another project's; those of a project that is gone may be this one's, moved.

    Below this project may lie another: the nearest counts. Where an execution lies says whose it is
    before what it says itself, for a copy of a project says what the original's did; but for one
    that lies where the project that it names has its executions.
    """
    if found.info.project == str(project):  # as nearly all do: no link needs to be followed
        return False
    root, named = found.layout.root.resolve(), _named(found)
    if named == str(project):
        return False
    is_real = bool(named) and os.path.isdir(os.path.join(named, LEDGER))  # noqa: PTH112, PTH118 - any text
    if not root.is_relative_to(project):
        return is_real
    below = root.parents[: -len(project.parents) - 1]
    return any(map(_is_project, below)) or (is_real and _has_there(root, named))


def _has_there(root: Path, project: str) -> bool:
    """Tell whether a project says that its executions lie where one lies."""
    homes = executions_folders(root.joinpath(project))
    return str(root.parent) in map(os.path.realpath, homes)


def _named(found: FoundExecution) -> str:
    """Return the project that an execution names, without links; empty if it can be none."""
    text = found.info.project
    return os.path.realpath(text) if text and text.isprintable() else ""


def leftovers(project: Path) -> list[FoundExecution]:
    """Return what submissions and removals left that were killed; nothing of it ever ran."""
    return [
        FoundExecution(layout=ExecutionLayout(path), info=ExecutionInfo.stand_in(id=path.name))
        for path in _folders(project)
        if is_leftover(path)
    ]


def is_leftover(folder: Path) -> bool:
    """Tell whether a folder is no execution yet, or none any more, and nobody is at work on it."""
    from deepforge_hpc.submit.lease import SUBMITTING, may_be_held

    try:
        names = set(os.listdir(folder))  # noqa: PTH208 - names are all that is wanted
        age_s = time.time() - folder.stat().st_mtime
    except OSError:
        return False
    if age_s <= _AT_WORK_S:
        return False
    if folder.name.startswith(".removed-"):
        return True
    written = {name for name in names if not name.startswith(SUBMITTING)}
    is_begun = number_of(folder.name)[1] > 0 and written <= _WRITTEN_FIRST
    return is_begun and not may_be_held(folder / SUBMITTING)


_WRITTEN_FIRST = {
    *(LAYOUT.code.name, LAYOUT.plan.name, LAYOUT.pipeline.name, LAYOUT.site.name, LAYOUT.jobs.name)
}
"""Before `execution.json` makes a folder an execution."""
_AT_WORK_S = 3600.0
"""In which whoever makes a folder has its lease, whatever they then wait for."""


def _folders(project: Path) -> list[Path]:
    found = []
    for home in executions_folders(project):
        with suppress(OSError), os.scandir(home) as entries:
            found += [home / entry.name for entry in entries if not entry.is_symlink()]
    return found


def read_execution(folder: Path) -> FoundExecution | None:
    """Return what `execution.json` of a folder says, or None if it is not an execution."""
    layout = ExecutionLayout(folder)
    try:
        info = read_info(layout)
    except (OSError, ValueError):
        return None
    return FoundExecution(layout=layout, info=info)


def _damaged(folder: Path) -> FoundExecution | None:
    """Return an execution of which `execution.json` cannot be read; None if it is none."""
    layout = ExecutionLayout(folder)
    if not any(os.path.lexists(path) for path in (layout.execution, layout.submitted)):
        return None  # a submission was killed before it made one
    info = ExecutionInfo.stand_in(id=folder.name)
    with suppress(OSError):
        info = read_files(folder, with_jobs=False).info
        made = datetime.fromtimestamp(layout.plan.stat().st_mtime, timezone.utc)
        info = info._replace(created=made.isoformat())
    return FoundExecution(layout=layout, info=info)


def find_execution(reference: str, cwd: Path, *, acts: bool = False) -> FoundExecution:
    """Return the execution that an id, its beginning or number, a path or `latest` means.

    Raises UsageError if none or several fit. Whoever `acts` names by its path what is another
    user's, or trusts it: what is planted there would run as the caller.
    """
    if os.sep in reference or reference in {".", ".."}:
        found = _by_path(cwd / reference)
        is_named = found.layout.root == (cwd / reference).resolve()
        return found if is_named or not acts else _acted_on(found)
    here = cwd.resolve()
    project = _project_of(here)
    if acts:
        from deepforge_hpc.api import whose

        whose.require_project(project)
    known = all_executions(project)
    if reference == LATEST:
        if inside := _enclosing(here):
            return _acted_on(inside) if acts else inside
        if known:
            return _acted_on(known[0]) if acts else known[0]
        message = f"no execution in {project}"
        raise UsageError(message, "Start one with: dfh submit PIPELINE (or change to its project)")
    fitting = [item for item in known if item.name == reference]
    fitting = fitting or [item for item in known if _fits(reference, item.name)]
    if len(fitting) == 1:
        return _acted_on(fitting[0]) if acts else fitting[0]
    if fitting:
        names = listed(item.name for item in fitting)
        message = f"{reference}: several executions fit: {names}"
        raise UsageError(message, "Give the whole id.")
    if ExecutionLayout(cwd / reference).execution.is_file():
        found = _by_path(cwd / reference)
        return _acted_on(found) if acts else found
    message = f"{reference}: no such execution in {project}"
    names = listed(item.name for item in known)
    if known and reference and (known[0].layout.jobs / reference).is_dir():
        hint = f"It is a job of {known[0].id}: dfh logs {known[0].id} {reference}"
        raise UsageError(message, hint)
    raise UsageError(message, f"Known: {names}." if names else "Start one with: dfh submit")


def _acted_on(found: FoundExecution) -> FoundExecution:
    from deepforge_hpc.api import whose

    return whose.required(found)


def split_job(reference: str, cwd: Path) -> tuple[str, str]:
    """Return the execution of EXECUTION/JOB, and the job; of a path, the job that it lies in."""
    path = cwd / reference
    if os.sep not in reference or path.exists():
        real = path.resolve()
        known = _enclosing(real) if os.sep in reference else None
        below = real.parts[len(known.layout.root.parts) :] if known else ()
        return reference, below[1] if below[:1] == ("jobs",) and len(below) > 1 else ""
    execution, _, job = reference.rstrip(os.sep).rpartition(os.sep)
    return execution, job


def _fits(reference: str, execution: str) -> bool:
    number = number_of(execution)[1]
    return execution.startswith(reference) or reference.lstrip("0") == str(number)


def _by_path(path: Path) -> FoundExecution:
    real = path.resolve()
    if found := _enclosing(real) or _damaged(real):
        return found
    message = f"{path}: not an execution folder"
    raise UsageError(message, "dfh executions list shows those of this project.")


def _enclosing(real: Path) -> FoundExecution | None:
    """Return the execution in which a real path lies; what lies above its project is none of it."""
    for folder in (real, *real.parents):
        if found := read_execution(folder):
            return found
        if _is_project(folder):
            break
    return None
