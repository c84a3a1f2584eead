"""What the submitter wrote down: the intent before the first submission, then ids as they come.

`submitted.jsonl` has one writer, the holder of the lease (`deepforge_hpc.submit.lease`). A line is
one `os.write`; a torn last line (the writer was killed, the disk was full) is as good as none.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from deepforge_hpc.errors import LedgerError, StorageError
from deepforge_hpc.runtime.base.files import read_bytes

if TYPE_CHECKING:
    from collections.abc import Mapping

    from deepforge_hpc.runtime.base.layout import ExecutionLayout


@dataclass(frozen=True, slots=True, kw_only=True)
class Attempt:
    """One intent, and how far its submission came."""

    number: int
    jobs: tuple[str, ...]
    """Names of the jobs it submits, in topological order."""
    tasks: Mapping[str, tuple[int, ...]] = field(default_factory=dict)
    """Array tasks to run, for arrays of which not all are run."""
    at: str = ""
    ids: Mapping[str, str] = field(default_factory=dict)
    """Job name to native id, as far as they came."""
    is_released: bool = False
    is_cancelled: bool = False
    """The user cancelled it, or the scheduler refused a part of it."""
    refused: str = ""
    """Why the scheduler took only a part (nothing of it ran), else empty."""

    @property
    def is_held(self) -> bool:
        """Tell whether the submission stopped half-way and nobody has cleaned up."""
        return not self.is_released and not self.is_cancelled


@dataclass(frozen=True, slots=True, kw_only=True)
class Journal:
    """All attempts of an execution, oldest first."""

    attempts: tuple[Attempt, ...] = ()

    @property
    def last(self) -> Attempt | None:
        """Return the latest attempt, or None if nothing was ever submitted."""
        return self.attempts[-1] if self.attempts else None


def read(layout: ExecutionLayout) -> Journal:
    """Return the journal; empty if there is none. LedgerError if a line within it is damaged."""
    try:
        text = read_bytes(layout.submitted)
    except FileNotFoundError:
        return Journal()
    attempts: dict[int, dict[str, Any]] = {}
    number = 0
    try:
        for number, line in enumerate(text.split(b"\n")[:-1], 1):  # noqa: B007 - told on an error
            _apply(attempts, json.loads(line))
    except (ValueError, KeyError, TypeError) as error:
        message = f"{layout.submitted}:{number}: a damaged line: {error!r}"
        hint = "The jobs can still be found in the queue by their names: `dfh cancel`."
        raise LedgerError(message, hint) from error
    return Journal(attempts=tuple(Attempt(**attempts[key]) for key in sorted(attempts)))


def _apply(attempts: dict[int, dict[str, Any]], event: dict[str, Any]) -> None:
    number = int(event["attempt"])
    match event["event"]:
        case "intent":
            attempts[number] = {
                "number": number,
                "jobs": tuple(event["jobs"]),
                "tasks": {job: tuple(tasks) for job, tasks in event["tasks"].items()},
                "at": event["at"],
                "ids": {},
            }
        case "job":
            attempts[number]["ids"][event["job"]] = event["native_id"]
        case "released":
            attempts[number]["is_released"] = True
        case "cancel":
            attempts[number]["is_cancelled"] = True
            attempts[number]["refused"] = event.get("refused", "")
        case _:
            # A later version's event: what it means to that version is not ours to guess.
            return


class Writer:
    """Appends events; use it only while holding the lease."""

    def __init__(self, layout: ExecutionLayout) -> None:
        self._path = layout.submitted

    def append(self, event: str, attempt: int, *, durable: bool = False, **values: object) -> None:
        """Write one event; on disk when it returns if `durable`.

        Raises StorageError if the line cannot be written whole; nothing of it stays then.
        """
        from deepforge_hpc.runtime.base.jsonl import append_line

        try:
            append_line(self._path, {"event": event, "attempt": attempt, **values}, durable=durable)
        except OSError as error:
            message = f"{self._path}: cannot be written: {error.strerror}"
            raise StorageError(message, "Free some space or quota, then try again.") from error
