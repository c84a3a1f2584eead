"""Write down the ends of jobs that could not do so themselves, and remove what they left.

Nothing is touched of a job that nobody positively called ended.
"""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from ..base.context import timestamp
from ..base.files import remove
from ..base.layout import ExecutionLayout
from . import statefile

if TYPE_CHECKING:
    from ..base.layout import JobLayout
    from .status import ExecutionStatus, UnitStatus


def write_ends(current: ExecutionStatus) -> None:
    """Write the state of each job or task that is over and whose end stands in no file yet.

    The caller sees to it that nobody else does: a state file has one writer. A folder that cannot
    be written is left as it is, and who asks next says the same again.
    """
    layout = ExecutionLayout(Path(current.path))
    for job in current.work:
        for unit in job.units:
            if unit.is_over:
                folder = layout.job(job.name, unit.task)
                _sweep(folder)
                if not unit.is_written:
                    with suppress(OSError):
                        folder.root.mkdir(parents=True, exist_ok=True)
                        statefile.publish(folder, _end(job.name, unit))


def _end(job: str, unit: UnitStatus) -> statefile.Said:
    now = timestamp()
    return statefile.Said(
        state=unit.state,
        attempt=unit.attempt,
        job=job,
        task=unit.task,
        since=now,
        started=unit.started or None,
        first=unit.first,
        ended=unit.ended or (None if unit.started else now),  # it ended when nobody looked
        host=unit.host,
        native_id=unit.native_id,
        reason=unit.reason,
        hint=unit.hint,
        error=unit.error,
        again=unit.is_retryable,
        lacks=unit.lacks,
    )


def _sweep(folder: JobLayout) -> None:
    """Remove the work folders of its attempts; one by hand (0) is a person's."""
    with suppress(OSError):
        for entry in os.scandir(folder.root):
            number = entry.name.removeprefix(".work-")
            if number != entry.name and number.isdigit() and number != "0":
                remove(folder.root / entry.name)
