"""The file in which the engine of the site `local` says what became of its jobs.

Both halves of that scheduler read it, and `dfh status` needs nothing else of the one that travels.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from .files import read_json
from .jsonl import read_lines

STATUS = "status.jsonl"
"""A line for each change of a job or task; the last one of an id counts."""
OLD_STATUS = "status.json"
"""Of an earlier version, whose jobs read it: the last word on all, written anew at each change."""


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
