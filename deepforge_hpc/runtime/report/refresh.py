"""The report of an execution: one HTML file that its own jobs keep up to date."""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from ..base.files import publish_bytes
from ..base.layout import ExecutionLayout

if TYPE_CHECKING:
    from ..state.status import ExecutionStatus
    from .looks import Operation

_MIN_INTERVAL_S = 15.0
_PICTURE_BYTES = 700 << 10
_LOG_BYTES = 120 << 10
_MAX_CARDS = 24
"""Of an execution that is too large for a part of the page for each operation."""


def render_report(execution_root: Path) -> bytes:
    """Return the page; OSError if the folder cannot be opened.

    Only files of the execution are read, links inside it are not followed, and what is missing or
    damaged is left out.
    """
    # Imported here: a job that finds the page fresh enough needs nothing of it.
    from .details import Budget, read_details
    from .looks import operations
    from .page import render_page

    execution = read_status(execution_root)
    groups = operations(execution.work)
    budget = Budget(pictures=_PICTURE_BYTES, logs=_LOG_BYTES)
    chosen = _with_cards(groups)
    found = {
        # The last operations first: their figures are the results, and the page may fill up.
        group.name: [read_details(execution_root, job, budget) for job in group.jobs]
        for group in reversed(chosen)
    }
    return render_page(execution, groups, {group.name: found[group.name] for group in chosen})


def read_status(root: Path) -> ExecutionStatus:
    """Return the status by the execution's own files; OSError if the folder cannot be opened."""
    from ..state.assemble import build
    from ..state.read import read_files

    return build(read_files(root), None, now=time.time())


def _with_cards(groups: Sequence[Operation]) -> list[Operation]:
    """Return the operations that get a part of their own; of very many, those to look at."""
    from .looks import URGENT
    from .overview import MAX_CARDS

    if len(groups) <= MAX_CARDS:
        return list(groups)
    return [group for state in URGENT for group in groups if group.state is state][:_MAX_CARDS]


def refresh(execution_root: Path, *, force: bool = False) -> bool:
    """Write `report.html` if it is older than max(15 s, a tenth of a second for each job).

    Returns whether it was written. A full or read-only file system is not an error here.
    """
    layout = ExecutionLayout(execution_root)
    if not force and not _claim(layout):
        return False
    with suppress(OSError):
        publish_bytes(layout.report, render_report(execution_root), durable=False)
        return True
    return False


def _claim(layout: ExecutionLayout) -> bool:
    """Tell whether it is time; if so, hold off the other jobs by touching the file."""
    try:
        age = time.time() - layout.report.stat().st_mtime
        jobs = len(os.listdir(layout.jobs))  # noqa: PTH208 - a count needs no paths
    except FileNotFoundError:
        return True
    except OSError:
        return False
    if 0 <= age < max(_MIN_INTERVAL_S, jobs / 10):
        return False
    with suppress(OSError):
        os.utime(layout.report)
    return True
