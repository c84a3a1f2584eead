"""Who may act on the jobs of an execution: others than who submitted them may look."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from deepforge_hpc.errors import DeepforgeHpcError, SchedulerError
from deepforge_hpc.processes import user_name
from deepforge_hpc.runtime.state import journal
from deepforge_hpc.submit.inspect import status

if TYPE_CHECKING:
    from deepforge_hpc.submit.submitter import Submitter


def check_user(submitter: Submitter, verb: str) -> None:
    """Raise SchedulerError if another user's jobs are not known to be over.

    A queue may hide them, so what cannot be seen counts as theirs. Root may cancel any.
    """
    info, history = submitter.info, journal.read(submitter.layout)
    user = history.user or (info.user if history.last or history.fault or history.is_lost else "")
    if user in {"", user_name()} or (verb == "cancel" and os.geteuid() == 0):
        return
    if history.is_lost or not _is_over(submitter):
        message = f"{info.id} was submitted by {user}: until it is over, only {user} can {verb} it"
        from shlex import quote

        home = quote(info.home)
        hint = f"Ask {user}: dfh {verb} {home}. You can look at it: dfh status {home}"
        raise SchedulerError(message, hint)


def _is_over(submitter: Submitter) -> bool:
    try:
        return status(submitter.layout, submitter.scheduler).is_closed
    except DeepforgeHpcError:  # of a damaged one nobody knows
        return False
