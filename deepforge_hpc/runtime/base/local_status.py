"""The file in which the engine of the site `local` says what became of its jobs.

Both halves of that scheduler read it, and `dfh status` needs nothing else of the one that travels.
"""

# Annotations are types here, which the codec reads.
from pathlib import Path
from typing import Any, NamedTuple

from .codec import decode, encode
from .files import read_json
from .jsonl import read_lines
from .native import FAILED, WAITS, NativeStatus
from .states import State

FOLDER = "local"
"""Of an execution: what the engine keeps there."""
STATUS = "status.jsonl"
"""A line for each change of a job or task; the last one of an id counts."""
OLD_STATUS = "status.json"
"""Of an earlier version, whose jobs read it: the last word on all, written anew at each change."""


class LocalStatus(NamedTuple):
    """What the engine says of a job or task; what is empty of it is left out."""

    state: State
    raw: str
    """As Slurm calls it."""
    explanation: str = ""
    reason: str = ""
    pid: int = 0
    start_time: str = ""
    started: float = 0.0
    """Unix time, as is `ended`."""
    ended: float = 0.0
    exit: str = ""
    """`<exit code>:<signal>`, as Slurm writes it."""
    verdict: str = ""
    """How it will have ended once its process has."""

    def to_dict(self) -> dict[str, Any]:
        """Return JSON data."""
        return {name: value for name, value in encode(self).items() if value}

    def native(self, native_id: str, name: str = "") -> NativeStatus:
        """Return it as any scheduler would say it."""
        return NativeStatus(
            native_id=native_id,
            state=self.state,
            raw_state=self.raw,
            raw_reason=self.reason,
            explanation=self.explanation,
            name=name,
            exit_code=self.exit,
            wants_memory=self.raw == "FAILED" and self.exit.endswith(":9"),
            ended_by=_ENDED_BY.get(self.raw, ""),
            dependency=_DEPENDENCY.get(self.reason, ""),
            ended=_iso(self.ended) if self.ended else "",
        )


def _iso(seconds: float) -> str:
    from datetime import datetime, timezone

    return datetime.fromtimestamp(seconds, timezone.utc).isoformat(timespec="milliseconds")


_ENDED_BY = {"CANCELLED": "scheduler", "TIMEOUT": "limit", "NODE_FAIL": "node"}
_DEPENDENCY = {"Dependency": WAITS, "DependencyNeverSatisfied": FAILED}


class _OldStatus(NamedTuple):
    jobs: dict[str, LocalStatus]


def read_status(folder: Path) -> dict[str, LocalStatus]:
    """Return the engine's last word on each id.

    OSError if there is none; ValueError or KeyError if it is damaged.
    """
    try:
        lines = {str(line["id"]): line for line in read_lines(folder / STATUS)}
    except FileNotFoundError:
        return decode(_OldStatus, read_json(folder / OLD_STATUS), is_open=True).jobs
    return decode(dict[str, LocalStatus], lines, is_open=True)
