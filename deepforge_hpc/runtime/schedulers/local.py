"""The local engine, as a job sees it: it has written what it knows into the execution."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ..base.files import read_json
from ..base.jsonl import read_lines
from ..base.native import NativeStatus
from ..base.states import state_of
from .base import QueryResult, Scheduler
from .slurm import dependency, ended_by, wants_memory

if TYPE_CHECKING:
    from pathlib import Path

STATUS = "status.jsonl"
"""A line for each change of a job or task; the last one of an id counts."""
OLD_STATUS = "status.json"
"""Of an earlier version, whose jobs read it: the last word on all, written anew at each change."""


class Local(Scheduler):
    """Sends SIGKILL ten seconds after SIGTERM; speaks of ends in Slurm's words."""

    def query(self, root: Path, ids: set[str]) -> QueryResult:  # noqa: ARG002 - contract
        """Return what the engine published."""
        return QueryResult(self.look(root))

    def look(self, root: Path) -> dict[str, NativeStatus] | None:
        """Return what the engine published."""
        try:
            jobs = read_status(root / "local")
            return {native: _status(native, entry) for native, entry in jobs.items()}
        except (OSError, ValueError, KeyError, TypeError, AttributeError):
            return None


def read_status(folder: Path) -> dict[str, dict[str, Any]]:
    """Return the engine's last word on each id, without what is empty of it.

    OSError if there is none; ValueError, KeyError or TypeError if it is damaged.
    """
    try:
        found = {str(entry["id"]): entry for entry in read_lines(folder / STATUS)}
    except FileNotFoundError:
        found = dict(read_json(folder / OLD_STATUS)["jobs"])
    for native, entry in found.items():
        _check(native, entry)
    return found


_TEXTS = ("state", "raw", "reason", "explanation", "exit", "start_time")


def _check(native: str, entry: dict[str, Any]) -> None:
    """Raise ValueError for an entry that no engine wrote."""
    is_sound = isinstance(entry, dict) and {"state", "raw"} <= entry.keys()
    if not is_sound or not all(isinstance(entry.get(name, ""), str) for name in _TEXTS):
        raise ValueError(f"{native}: {entry!r:.60} is not what an engine writes")


def _status(native: str, entry: dict[str, str]) -> NativeStatus:
    raw, code = entry["raw"], entry.get("exit", "")
    return NativeStatus(
        native_id=native,
        state=state_of(entry["state"]),
        raw_state=raw,
        raw_reason=entry.get("reason", ""),
        explanation=entry.get("explanation", ""),
        exit_code=code,
        wants_memory=wants_memory(raw, code),
        ended_by=ended_by(raw),
        dependency=dependency(entry.get("reason", "")),
    )
