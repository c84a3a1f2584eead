"""Write what is submitted down: the intent first, then ids as they come.

The writer holds the lease (`deepforge_hpc.submit.lease`). `runtime.state.journal` reads, and
travels: a job writes nothing here, and the errors of dfh that are raised do not travel.
"""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING

from deepforge_hpc.errors import LedgerError, StorageError
from deepforge_hpc.runtime.base.failure import os_hint
from deepforge_hpc.runtime.state import journal

if TYPE_CHECKING:
    from deepforge_hpc.runtime.base.layout import ExecutionLayout
    from deepforge_hpc.runtime.state.journal import Journal


def read(layout: ExecutionLayout) -> Journal:
    """Return the journal; empty if there is none. LedgerError if anything of it is damaged."""
    found = journal.read(layout)
    if found.fault:
        message = f"{layout.root}/{found.fault}"
        name = shlex.quote(layout.root.name)
        hint = f"The jobs can still be found in the queue by their names: dfh cancel {name}"
        raise LedgerError(message, hint)
    return found


def append(layout: ExecutionLayout, event: journal.Event, *, durable: bool = False) -> None:
    """Write one event; on disk when it returns if `durable`. Only while holding the lease.

    Raises StorageError if the line cannot be written whole; nothing of it stays then.
    """
    from deepforge_hpc.runtime.base.jsonl import append_line

    try:
        append_line(layout.submitted, journal.line_of(event), durable=durable)
    except OSError as error:
        message = f"{layout.submitted}: cannot be written: {error.strerror}"
        raise StorageError(message, os_hint(error)) from error
