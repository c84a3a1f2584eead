"""What a job writes of its state."""

from __future__ import annotations

import os
from typing import Any

from ..base.context import Context, hostname, timestamp
from ..base.states import State
from ..state import statefile


class StateWriter:
    """Writes the state of one attempt; by hand it writes nothing."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self._started: str | None = None
        self._first = ""

    def write(self, state: State, **fields: Any) -> None:
        """Publish a state; a final one is made durable. OSError if the folder cannot be written.

        `fields`: reason, hint, error, exit_code, again.
        """
        context = self._context
        if context.by_hand or (state.is_final and not state.is_success and self._is_closed()):
            return
        now = timestamp()
        if state is State.RUNNING:
            self._started = now
            if context.attempt > 1 and (before := statefile.read(context.folder)):
                self._first = before.first or before.started or ""
        said = statefile.Said(
            state=state,
            attempt=context.attempt,
            job=context.name,
            task=context.task,
            since=now,
            started=self._started,
            ended=now if state.is_final else None,
            host=hostname(),
            pid=os.getpid(),
            native_id=context.native_id,
            first=self._first,
            **fields,
        )
        context.folder.root.mkdir(parents=True, exist_ok=True)
        statefile.publish(context.folder, said, durable=state.is_final)

    def _is_closed(self) -> bool:
        """Tell whether somebody else, who knew the scheduler's word, has told the end."""
        said = statefile.read(self._context.folder)
        if said is None or said.attempt != self._context.attempt:
            return False
        return said.state.is_final and said.exit_code is None
