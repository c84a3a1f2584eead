"""How much of a quota is used, as the file system's own command tells it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from deepforge_hpc.doctor.finding import error, ok, warn
from deepforge_hpc.probe.values import count
from deepforge_hpc.runtime.base.notice import Notice
from deepforge_hpc.runtime.base.text import size

_NEARLY = 0.9
_COLUMNS = 8
MAKE_ROOM = "remove old executions (dfh executions prune --keep N), or ask your centre for more"


@dataclass(frozen=True, slots=True, kw_only=True)
class Usage:
    """What one has, and may have, on one file system; None: no limit."""

    size: int
    """Bytes."""
    most_size: int | None
    files: int
    most_files: int | None


def quota_argv(folder: Path, kind: str, user: str) -> tuple[str, ...]:
    """Return the words that ask for one's quota on a file system of a kind."""
    if kind == "lustre":
        return ("lfs", "quota", "-q", "-u", user, str(folder))
    return ("quota", "-w", "-p", "-f", str(folder))


def parse_quota(text: str) -> Usage | None:
    """Return what `quota -p` or `lfs quota` printed; None if it is no quota.

    Both: file system (on a line of its own if it is long), then twice used, soft, hard, grace.
    """
    fields = text.rpartition("grace\n")[2].split()[1 : 1 + _COLUMNS]
    numbers = [count(field.strip("*[]")) for field in fields]
    if len(fields) < _COLUMNS or numbers[0] is None or numbers[4] is None:
        return None
    most_kib = numbers[2] or numbers[1]
    return Usage(
        size=numbers[0] << 10,
        most_size=most_kib << 10 if most_kib else None,
        files=numbers[4],
        most_files=numbers[6] or numbers[5] or None,
    )


def check_usage(folder: Path, usage: Usage) -> Iterator[Notice]:
    """Hold what is used against the quota."""
    room, files = size(usage.size), f"{usage.files} files"
    parts = [(usage.size, usage.most_size), (usage.files, usage.most_files)]
    share = max((used / most for used, most in parts if most), default=0.0)
    if usage.most_size:
        room += f" of {size(usage.most_size)}"
    if usage.most_files:
        files = f"{usage.files} of {usage.most_files} files"
    message = f"{folder}: {room} and {files} are used"
    if share >= 1:
        yield error("quota", f"{message}: no more may be written", MAKE_ROOM)
    elif share >= _NEARLY:
        yield warn("quota", message, MAKE_ROOM)
    else:
        yield ok("quota", message)
