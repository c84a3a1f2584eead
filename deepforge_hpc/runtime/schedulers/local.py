"""The local engine, as a job sees it: it has written what it knows into the execution."""

from __future__ import annotations

from pathlib import Path

from ..base.local_status import FOLDER, read_status
from ..base.native import NativeStatus
from .base import QueryResult, Scheduler


class Local(Scheduler):
    """Sends SIGKILL ten seconds after SIGTERM; speaks of ends in Slurm's words."""

    def query(self, root: Path, ids: set[str]) -> QueryResult:
        return QueryResult(self.look(root))

    def look(self, root: Path) -> dict[str, NativeStatus] | None:
        """Return what the engine published."""
        try:
            jobs = read_status(root / FOLDER)
        except (OSError, ValueError, KeyError):
            return None
        return {name: reported.native(name) for name, reported in jobs.items()}
