"""The local engine, as a job sees it: it has written what it knows into the execution."""

from __future__ import annotations

from pathlib import Path

from ..base.local_status import read_status
from ..base.native import NativeStatus
from ..base.states import state_of
from .base import QueryResult, Scheduler
from .slurm import dependency, ended_by, wants_memory


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
