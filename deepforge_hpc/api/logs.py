"""What jobs printed: which file, and its last lines."""

from __future__ import annotations

import os
import re
import stat
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from deepforge_hpc.errors import StorageError, UsageError
from deepforge_hpc.model.json_result import JsonResult
from deepforge_hpc.runtime.base.layout import ExecutionLayout
from deepforge_hpc.runtime.base.text import listed

if TYPE_CHECKING:
    from deepforge_hpc.api.find import FoundExecution
    from deepforge_hpc.runtime.state.marker import ReusedFrom

_NAME = re.compile(r"out\.(\d+)(?:\.(\d+))?\.log")
_RANK_NAME = re.compile(r"out\.(\d+)\.rank-(\d+)\.log")
_BLOCK = 1 << 16
_MOST = 8 << 20


@dataclass(frozen=True, slots=True, kw_only=True)
class LogFile(JsonResult, schema="dfh/logs/1"):
    """One log file, and the end of it."""

    execution: str
    job: str
    task: int | None
    attempt: int
    rank: int | None
    path: str
    lines: tuple[str, ...]
    offset: int
    """Bytes of the file that were read; reading goes on from there."""
    is_whole: bool
    """False if earlier lines were left out."""


def made_in(found: FoundExecution, job: str, task: int | None) -> tuple[ReusedFrom | None, bool]:
    """Return which job of which execution made what a job reuses, and whether its log is there.

    Through all that reused it in between. None if the job reuses nothing.
    """
    from deepforge_hpc.api.find import project_above
    from deepforge_hpc.runtime.state import marker
    from deepforge_hpc.submit.project import executions_folders

    project = project_above(found.layout.root)
    folders = dict.fromkeys((found.layout.root.parent, *executions_folders(project)))
    layout: ExecutionLayout | None = found.layout
    last: ReusedFrom | None = None
    seen: set[tuple[str, str, int | None]] = set()
    while layout is not None:
        if last is not None and available(layout, job, task=task):
            return last, True
        try:
            said = marker.read(layout.job(job, task))
        except (OSError, ValueError):
            said = None
        if said is None or said.reused_from is None or said.reused_from[:3] in seen:
            break
        last = said.reused_from
        seen.add(last[:3])
        if "/" in last.execution:
            break
        job, task = last.job, last.task
        below = (ExecutionLayout(folder / last.execution) for folder in folders)
        layout = next((one for one in below if one.root.is_dir()), None)
    return last, False


def read_log(
    layout: ExecutionLayout,
    job: str,
    *,
    task: int | None = None,
    attempt: int | None = None,
    rank: int | None = None,
    lines: int = 100,
) -> LogFile:
    """Return the last lines of a job's newest (or the given) attempt; UsageError without a log."""
    known = available(layout, job, task=task, rank=rank)
    if attempt is None and known:
        attempt = max(known)
    if attempt is None or attempt not in known:
        name = job if task is None else f"{job}[{task}]"
        of = "" if rank is None else f" of rank {rank}"
        which = "" if attempt is None else f" of attempt {attempt}"
        message = f"{layout.root.name}: {name} has no log{of}{which}"
        hint = f"It has not started: dfh status {layout.root.name} tells why."
        if rank is not None and available(layout, job, task=task):
            ranks = listed(sorted(map(str, _of_ranks(layout, job, task))), 9)
            hint = f"Ranks with a log of their own: {ranks or 'none'}."
        if known:
            hint = f"There is attempt {', '.join(str(number) for number in sorted(known))}."
        raise UsageError(message, hint)
    content, offset, is_whole = tail(known[attempt], lines)
    return LogFile(
        execution=layout.root.name,
        job=job,
        task=task,
        attempt=attempt,
        rank=rank,
        path=str(known[attempt]),
        lines=tuple(content),
        offset=offset,
        is_whole=is_whole,
    )


def available(
    layout: ExecutionLayout, job: str, *, task: int | None = None, rank: int | None = None
) -> dict[int, Path]:
    """Return the log files of a job by attempt."""
    if rank is None:
        return by_task(layout, job).get(task, {})
    return _of_ranks(layout, job, task).get(rank, {})


def _of_ranks(
    layout: ExecutionLayout, job: str, task: int | None
) -> dict[int | None, dict[int, Path]]:
    return _by_number(layout.job(job, task).root, _RANK_NAME)


def by_task(layout: ExecutionLayout, job: str) -> dict[int | None, dict[int, Path]]:
    """Return the log files of a job by array task (None if it is no array) and attempt."""
    return _by_number(layout.jobs / job, _NAME)


def _by_number(folder: Path, pattern: re.Pattern[str]) -> dict[int | None, dict[int, Path]]:
    found: dict[int | None, dict[int, Path]] = {}
    with suppress(OSError):
        for path in folder.iterdir():
            if match := pattern.fullmatch(path.name):
                number = int(match[2]) if match[2] else None
                found.setdefault(number, {})[int(match[1])] = path
    return found


def tail(path: Path, lines: int) -> tuple[list[str], int, bool]:
    """Return the last lines of a file, the offset behind them, and whether that is all of it."""
    with os.fdopen(_open(path), "rb") as stream:
        end = stream.seek(0, os.SEEK_END)
        start = end
        parts: list[bytes] = []
        breaks = 0
        # A progress bar may never have broken its line: so not more than a screen can show.
        while start > 0 and breaks <= lines and end - start < _MOST:
            size = min(_BLOCK, start)
            start -= size
            stream.seek(start)
            parts.append(stream.read(size))
            breaks += parts[-1].count(b"\n")
    content = b"".join(reversed(parts))
    found = content.decode(errors="replace").split("\n")
    if found and not found[-1]:
        found.pop()
    return found[-lines:], end, start == 0 and len(found) <= lines


def read_on(path: Path, offset: int, *, is_complete: bool = False) -> tuple[str, int]:
    """Return the lines that were written to a file behind an offset, and the offset behind them.

    A line without an end waits for it, unless the file `is_complete`.
    """
    with os.fdopen(_open(path), "rb") as stream:
        stream.seek(offset)
        content = stream.read()
    whole = content if is_complete else content[: content.rfind(b"\n") + 1]
    return whole.decode(errors="replace"), offset + len(whole)


def _open(path: Path) -> int:
    """Open a regular file only: a planted link or pipe is refused, and cannot hold us up."""
    try:
        handle = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as error:
        raise StorageError(f"{path}: {error.strerror}") from error
    if not stat.S_ISREG(os.fstat(handle).st_mode):
        os.close(handle)
        raise StorageError(f"{path}: not a regular file")
    return handle
