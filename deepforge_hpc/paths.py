"""Where the package's own data, the user's settings and a project's root are."""

from __future__ import annotations

import os
from pathlib import Path

_PACKAGE = Path(__file__).parent
LEDGER = ".dfh"
PROJECT_FILE = "dfh.yaml"
EXECUTIONS = "executions"
"""Default folder of a project's executions."""


def data_folder(name: str) -> Path:
    """Return the folder `site-configs` or `job-templates` of this installation.

    A wheel holds them as `deepforge_hpc/_data/NAME`; an editable install has none of it, and reads
    the repository's own.
    """
    packaged = _PACKAGE / "_data" / name
    return packaged if packaged.is_dir() else _PACKAGE.parent / name


def user_folder() -> Path:
    """Return `~/.config/deepforge-hpc`, or what XDG_CONFIG_HOME makes of it."""
    base = os.environ.get("XDG_CONFIG_HOME")
    return (Path(base) if base else Path.home() / ".config") / "deepforge-hpc"


def project_root(pipeline: Path) -> Path:
    """Return the nearest folder above a pipeline file with `.dfh/` or `dfh.yaml`, else its own."""
    start = pipeline.resolve().parent
    for folder in (start, *start.parents):
        if (folder / LEDGER).is_dir() or (folder / PROJECT_FILE).is_file():
            return folder
    return start
