"""`state.json`: what a job does now.

One writer: the job itself, and for one that can write nothing any more, who closes the execution.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any, NamedTuple

from ..base.files import parse_object, publish_json, read_own
from ..base.states import State

if TYPE_CHECKING:
    from ..base.context import Context
    from ..base.layout import JobLayout

SCHEMA = "dfh/state/1"


class Said(NamedTuple):
    """What a job last said of itself."""

    state: State
    attempt: int
    job: str = ""
    task: int | None = None
    since: str = ""
    started: str = ""
    """ISO 8601, as are the others; empty if it has not."""
    ended: str = ""
    host: str = ""
    pid: int = 0
    native_id: str = ""
    reason: str = ""
    hint: str = ""
    error: dict[str, Any] | None = None
    exit_code: int | None = None
    is_retryable: bool = True
    """False for a failure that running the same frozen code again would only repeat."""


def parse(data: bytes) -> Said:
    """Return a sound state; ValueError if it is torn, or in words of a later version."""
    value = parse_object(data)
    if value.get("schema") != SCHEMA:
        message = f"schema {value.get('schema')!r} is not {SCHEMA!r}"
        raise ValueError(message)
    state, attempt, task = State(value.get("state")), value.get("attempt"), value.get("task")
    if not isinstance(attempt, int):
        message = "it names no attempt"
        raise ValueError(message)
    error, code, pid = value.get("error"), value.get("exit_code"), value.get("pid")
    texts = ("job", "since", "started", "ended", "host", "native_id", "reason", "hint")
    return Said(
        state=state,
        attempt=attempt,
        task=task if isinstance(task, int) else None,
        pid=pid if isinstance(pid, int) else 0,
        error=error if isinstance(error, dict) else None,
        exit_code=code if isinstance(code, int) else None,
        is_retryable=bool(value.get("again")),
        **{name: str(value.get(name) or "") for name in texts},
    )


def read(folder: JobLayout) -> Said | None:
    """Return what a job said; None if it has said nothing that this version can read."""
    try:
        return parse(read_own(folder.state))
    except (OSError, ValueError):
        return None


def publish(folder: JobLayout, said: Said, *, durable: bool = True) -> None:
    """Write a state so that no reader ever sees a part of it."""
    publish_json(folder.state, to_dict(said), durable=durable)


def to_dict(said: Said) -> dict[str, Any]:
    """Return JSON data."""
    data = said._asdict()
    data["again"] = data.pop("is_retryable")
    times = {"started": said.started or None, "ended": said.ended or None}
    return {"schema": SCHEMA, **data, **times}


class StateFile:
    """Writes the state of one attempt; by hand it writes nothing."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self._started = ""

    def write(self, state: State, **fields: Any) -> None:
        """Publish a state; a final one is made durable. OSError if the folder cannot be written.

        `fields`: reason, hint, error, exit_code, is_retryable.
        """
        from ..base.context import hostname, timestamp

        context = self._context
        if context.by_hand or (state.is_final and not state.is_success and self._is_closed()):
            return
        now = timestamp()
        if state is State.RUNNING:
            self._started = now
        said = Said(
            state=state,
            attempt=context.attempt,
            job=context.name,
            task=context.task,
            since=now,
            started=self._started,
            ended=now if state.is_final else "",
            host=hostname(),
            pid=os.getpid(),
            native_id=context.native_id,
            **fields,
        )
        context.folder.root.mkdir(parents=True, exist_ok=True)
        publish(context.folder, said, durable=state.is_final)

    def _is_closed(self) -> bool:
        """Tell whether somebody else, who knew the scheduler's word, has told the end."""
        said = read(self._context.folder)
        if said is None or said.attempt != self._context.attempt:
            return False
        return said.state.is_final and said.exit_code is None
