"""`state.json`: what a job does now. One writer, the job itself."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from ..base.context import hostname, timestamp
from ..base.files import publish_json
from ..base.states import State

if TYPE_CHECKING:
    from ..base.context import Context

SCHEMA = "dfh/state/1"


class StateFile:
    """Writes the state of one attempt; by hand it writes nothing."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self._started: str | None = None

    def write(
        self,
        state: State,
        *,
        reason: str = "",
        hint: str = "",
        error: dict[str, Any] | None = None,
        exit_code: int | None = None,
        again: bool = True,
    ) -> None:
        """Publish a state; a final one is made durable. OSError if the folder cannot be written."""
        context = self._context
        if context.by_hand:
            return
        now = timestamp()
        if state is State.RUNNING:
            self._started = now
        data = build(
            job=context.name,
            task=context.task,
            attempt=context.attempt,
            state=state,
            since=now,
            started=self._started,
            ended=now if state.is_final else None,
            reason=reason,
            hint=hint,
            error=error,
            exit_code=exit_code,
            again=again,
        )
        context.folder.root.mkdir(parents=True, exist_ok=True)
        publish_json(context.folder.state, data, durable=state.is_final)


def build(*, state: State, **fields: Any) -> dict[str, Any]:
    """Return a whole state from those of its fields that are known."""
    return {
        "schema": SCHEMA,
        "state": state.value,
        "started": None,
        "ended": None,
        "host": hostname(),
        "pid": os.getpid(),
        "native_id": native_id(),
        "reason": "",
        "hint": "",
        "error": None,
        "exit_code": None,
        "again": True,
        **fields,
    }


def native_id() -> str:
    """Return the scheduler's id of this job or array task; empty by hand."""
    environ = os.environ
    if environ.get("DFH_NATIVE_ID"):
        return environ["DFH_NATIVE_ID"]
    array = environ.get("SLURM_ARRAY_JOB_ID")
    if array:
        return f"{array}_{environ.get('SLURM_ARRAY_TASK_ID', '')}"
    return environ.get("SLURM_JOB_ID", "")
