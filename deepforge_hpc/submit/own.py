"""What a job says of itself: its state file, its success marker, its metrics. Cheap reads."""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING, Any

from deepforge_hpc.runtime.base.states import State

if TYPE_CHECKING:
    from pathlib import Path

    from deepforge_hpc.runtime.base.layout import JobLayout

_TAIL = 4096


def read_state(folder: JobLayout) -> dict[str, Any] | None:
    """Return a sound `state.json`, else None."""
    data = _object(_read(folder.state))
    if data is None or not isinstance(data.get("attempt"), int):
        return None
    try:
        State(data.get("state"))
    except ValueError:
        # A later version's state: this one cannot say what it means.
        return None
    return data


def read_marker(folder: JobLayout) -> dict[str, Any] | None:
    """Return a sound `success.json`, else None: what is damaged is no success."""
    data = _object(_read(folder.success))
    whole = data is not None and isinstance(data.get("outputs"), dict) and "record" in data
    return data if whole else None


def last_metrics(folder: JobLayout) -> dict[str, Any]:
    """Return the last whole line of `metrics.jsonl`; empty if there is none."""
    lines = _read(folder.metrics, tail=_TAIL).split(b"\n")
    # The last part is empty, or a line that is being written.
    return (_object(lines[-2]) or {}) if len(lines) > 1 else {}


def _read(path: Path, tail: int = 0) -> bytes:
    """Return a file's bytes (or its end); empty if there is none. One call of open, no stat."""
    try:
        handle = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK)
    except OSError:
        return b""
    try:
        if tail:
            end = os.lseek(handle, 0, os.SEEK_END)
            os.lseek(handle, max(0, end - tail), os.SEEK_SET)
        parts = []
        while part := os.read(handle, 1 << 16):
            parts.append(part)
        return b"".join(parts)
    except OSError:
        return b""
    finally:
        os.close(handle)


def _object(data: bytes) -> dict[str, Any] | None:
    try:
        value = json.loads(data) if data else None
    except ValueError:
        return None
    return value if isinstance(value, dict) else None
