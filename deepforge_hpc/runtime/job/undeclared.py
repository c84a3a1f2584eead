"""A file that a job misses and the project has: most often it was not declared."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

from ..base.context import Context
from ..rank.messages import RankError


def undeclared(context: Context, error: RankError) -> str:
    """Return what to do about a file of the project that the job was not given; empty if none."""
    name = _in_project(context, error)
    source = context.job.source
    how = "name it under `inputs:`, or under `code:` and open it from beside __file__"
    if error.type == "ModuleNotFoundError":
        how = "name it under `code:`"
    elif source is not None and source.kind == "command":
        how = f'write "{{code}}/{name}" in the command, which freezes it'
    if not name:
        return ""
    return (
        f"{name} is in the project, and a job sees what it is given: {how}, then: "
        f"{context.info.submit_command}"
    )


def _in_project(context: Context, error: RankError) -> str:
    """Return the first that there is, from the project's folder on; empty if there is none."""
    # People start their code from any of these.
    project = Path(context.info.project)
    for name in error.missing:
        for beside in ("x", context.info.pipeline_file, error.file):
            with suppress(OSError, ValueError):
                path = (project / beside).parent / name
                shown = os.path.relpath(path, project)
                if path.exists() and not shown.startswith("../") and shown != ".":
                    return shown
    return ""
