"""Find executions from what a person calls them."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import TYPE_CHECKING

from deepforge_hpc.errors import StorageError, UsageError
from deepforge_hpc.paths import LEDGER, PROJECT_FILE
from deepforge_hpc.runtime.base.files import read_json
from deepforge_hpc.runtime.base.layout import ExecutionLayout
from deepforge_hpc.submit.project import executions_folders

if TYPE_CHECKING:
    from pathlib import Path

LATEST = "latest"


@dataclass(frozen=True, slots=True, kw_only=True)
class FoundExecution:
    """An execution folder and the content of its `execution.json`."""

    layout: ExecutionLayout
    id: str
    created: str
    """UTC, ISO 8601."""
    data: dict[str, object]

    @property
    def name(self) -> str:
        """Return the name of the folder: the id, unless it is a copy."""
        return self.layout.root.name


def project_above(start: Path) -> Path:
    """Return the nearest folder with `.dfh/`, `dfh.yaml` or `pipeline.yaml`, else `start`."""
    resolved = start.resolve()
    for folder in (resolved, *resolved.parents):
        if (folder / LEDGER).is_dir() or (folder / PROJECT_FILE).is_file():
            return folder
    return resolved


def all_executions(project: Path) -> list[FoundExecution]:
    """Return the executions of a project, newest first; what is no execution is left out."""
    found = []
    for folder in executions_folders(project):
        try:
            names = [entry.name for entry in os.scandir(folder) if not entry.is_symlink()]
        except OSError:
            continue
        found += [item for name in names if (item := read_execution(folder / name))]
    return sorted(found, key=lambda item: (item.created, item.id), reverse=True)


def read_execution(folder: Path) -> FoundExecution | None:
    """Return what `execution.json` of a folder says, or None if it is not an execution."""
    layout = ExecutionLayout(folder)
    try:
        data = read_json(layout.execution)
    except (OSError, ValueError):
        return None
    if not str(data.get("schema", "")).startswith("dfh/execution/"):
        return None
    return FoundExecution(
        layout=layout, id=str(data["id"]), created=str(data.get("created")), data=data
    )


def find_execution(reference: str, cwd: Path) -> FoundExecution:
    """Return the execution that an id, its beginning or number, a path or `latest` means.

    Raises UsageError if none or several fit.
    """
    if os.sep in reference or reference in {".", ".."}:
        return _by_path(cwd / reference)
    project = project_above(cwd)
    known = all_executions(project)
    if reference == LATEST:
        if inside := _enclosing(cwd):
            return inside
        if known:
            return known[0]
        message = f"no execution in {project}"
        raise UsageError(message, "Start one with: dfh submit PIPELINE (or change to its project)")
    fitting = [item for item in known if item.name == reference]
    fitting = fitting or [item for item in known if _fits(reference, item.name)]
    if len(fitting) == 1:
        return fitting[0]
    if fitting:
        names = ", ".join(item.name for item in fitting[:5])
        message = f"{reference}: several executions fit: {names}"
        raise UsageError(message, "Give the whole id.")
    if (cwd / reference / "execution.json").is_file():
        return _by_path(cwd / reference)
    message = f"{reference}: no such execution in {project}"
    names = ", ".join(item.name for item in known[:5])
    raise UsageError(message, f"Known: {names}." if names else "Start one with: dfh submit")


def _fits(reference: str, execution: str) -> bool:
    number = execution.rpartition("-")[2]
    return execution.startswith(reference) or (
        reference.isdecimal() and number.isdecimal() and int(number) == int(reference)
    )


def _by_path(path: Path) -> FoundExecution:
    if found := _enclosing(path):
        return found
    message = f"{path}: not an execution folder"
    if path.is_dir() and (path / "execution.json").exists():
        message = f"{path}/execution.json is damaged"
        raise StorageError(message, "Restore it from a backup; dfh prov still reads the records.")
    raise UsageError(message, "dfh executions list shows those of this project.")


def _enclosing(path: Path) -> FoundExecution | None:
    resolved = path.resolve()
    for folder in (resolved, *resolved.parents):
        if found := read_execution(folder):
            return found
    return None
