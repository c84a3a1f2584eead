"""The final job: says what never ran and why, keeps the accounting, and closes the report."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from ..schedulers import sacct
from ..state.assemble import build
from ..state.closing import write_ends
from ..state.read import read_files

if TYPE_CHECKING:
    from ..base.context import Context
    from ..base.native import NativeStatus
    from ..state.status import ExecutionStatus

_LAST_WORDS_S = 40.0
"""From SIGTERM to SIGKILL it is 30 s by Slurm's default (KillWait), and 10 s on the local site."""
_PAUSE_S = 0.2


def close_execution(context: Context) -> None:
    """Give each job that is over and did not say how it ended a final state.

    What nobody positively calls ended is left alone: accounting that does not answer, or does not
    know a job yet, is not an end.
    """
    files = read_files(context.layout.root)
    attempt = files.journal.attempt(context.attempt)
    if attempt is None:
        return
    if attempt.is_cancelled:
        _await_last_words(context)
    write_ends(_status(context, sacct.ask(context, attempt)))


def _await_last_words(context: Context) -> None:
    """Wait until the jobs that a cancellation interrupts have written their ends.

    What waited for them was dropped at once, so that nothing held this job back. Slurm's accounting
    calls a job ended when the signal is sent.
    """
    deadline = time.monotonic() + _LAST_WORDS_S
    while time.monotonic() < deadline:
        current = _status(context, sacct.ask_local(context))
        if not any(unit.state.is_at_work for job in current.work for unit in job.units):
            return
        time.sleep(_PAUSE_S)


def _status(context: Context, answers: dict[str, NativeStatus] | None) -> ExecutionStatus:
    files = read_files(context.layout.root)
    return build(files, answers, now=time.time(), number=context.attempt)
