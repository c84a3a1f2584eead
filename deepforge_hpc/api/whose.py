"""Whose the project is in which one stands, and whose an execution: what lies there acts as one."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from deepforge_hpc.errors import UsageError
from deepforge_hpc.paths import EXECUTIONS, LEDGER, PROJECT_FILE

if TYPE_CHECKING:
    from pathlib import Path

    from deepforge_hpc.api.find import FoundExecution

_ACTS = (LEDGER, PROJECT_FILE, EXECUTIONS, "pipeline.yaml", "site-configs")
"""What of a folder acts as who stands in it and names nothing."""


def require_project(project: Path, what: str = "its executions are not acted on") -> None:
    """Raise UsageError if a project is another user's, and not trusted by name.

    To stand in it names nothing: one gets there by a `cd`.
    """
    if any(os.path.lexists(project / name) for name in _ACTS):
        _require((project / LEDGER, project / PROJECT_FILE, project), what, project)


def require_here(cwd: Path, what: str) -> None:
    """Raise UsageError if what a command without a pipeline's path takes is another user's.

    Their project above one's own folder is not: there one's own folder is the project.
    """
    from deepforge_hpc.paths import project_root, user_folder
    from deepforge_hpc.pipeline.settings import load_user_settings

    require_project(project_root(cwd, load_user_settings(user_folder()).trust)[0], what)


def required(found: FoundExecution) -> FoundExecution:
    """Return an execution; UsageError if another user made it in a folder that several share."""
    layout = found.layout
    files = (layout.root, layout.execution, layout.plan)
    _require(files, "it is not acted on", layout.root.parent)
    return found


def _require(paths: tuple[Path, ...], what: str, folder: Path) -> None:
    from deepforge_hpc.paths import is_trusted, trust_hint, user_folder
    from deepforge_hpc.pipeline.settings import load_user_settings
    from deepforge_hpc.processes import owner_name

    trusted = load_user_settings(user_folder()).trust
    for path in paths:
        if os.path.lexists(path) and not is_trusted(path, None, trusted):
            message = f"{path} belongs to {owner_name(path)}: {what}"
            raise UsageError(message, f"Name one by its path; or {trust_hint(folder)}")
