"""What a job shows beside its state: metrics, figures and the end of its logs."""

from __future__ import annotations

import base64
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from ..base.codec import parse
from ..base.epochs import EpochSplit, epoch_split, is_about_running
from ..base.folder import Folder
from ..base.layout import LAYOUT
from ..base.metrics import Series, parse_metrics
from ..base.states import State
from ..base.text import clean_lines, plain
from ..base.times import parse_time
from ..figures.index import INDEX, FigureEntry, FigureIndex
from ..state.status import JobStatus, UnitStatus
from .looks import URGENT

if TYPE_CHECKING:
    from datetime import datetime

_LOG_LINES = 40
_LOG_BYTES = 64 << 10
_METRICS_BYTES = 8 << 20
_SVG_BYTES = 200 << 10
_PNG_BYTES = 400 << 10
_POINTS = 300
_MAX_TASKS = 3
_MAX_FIGURES = 40


class Picture(NamedTuple):
    """A captured figure."""

    title: str
    path: str
    """PNG, relative to the execution."""
    data: str
    """JSON, relative to the execution; empty if there is none."""
    updated: datetime | None
    source: str = ""
    """`data:` address, or empty: too large for what is left of the page."""


class LogTail(NamedTuple):
    """The end of a log."""

    task: int | None
    path: str
    """Relative to the execution."""
    lines: tuple[str, ...]
    size: int


class Details(NamedTuple):
    """Of one job."""

    metrics: tuple[Series, ...] = ()
    """Without those that `splits` is made of."""
    splits: tuple[EpochSplit, ...] = ()
    """Of the last epoch of each task that tells."""
    pictures: tuple[Picture, ...] = ()
    more_pictures: int = 0
    logs: tuple[LogTail, ...] = ()
    more_tasks: int = 0


class Budget:
    """How many bytes of figures and logs the page has left."""

    def __init__(self, pictures: int, logs: int) -> None:
        self.pictures = pictures
        self.logs = logs


def read_details(root: Path, job: JobStatus, budget: Budget) -> Details:
    """Read what a job shows; of a job array, the tasks that matter most."""
    tasks = sorted(job.units, key=_rank)[:_MAX_TASKS]
    metrics: list[Series] = []
    splits: list[EpochSplit] = []
    pictures: list[Picture] = []
    logs: list[LogTail] = []
    more = 0
    with (
        Folder.open(root) as top,
        top.folder(LAYOUT.jobs.name) as jobs,
        jobs.folder(job.name) as folder,
    ):
        for task in tasks:
            log = _read_log(folder, job.name, task, budget)
            logs += [] if log is None else [log]
            if task.task is None:
                found = _read_task(folder, task, budget)
            else:
                with folder.folder(task.folder.rpartition("/")[2]) as part:
                    found = _read_task(part, task, budget)
            metrics += found.metrics
            splits += found.splits
            pictures += found.pictures
            more += found.more_pictures
    return Details(
        metrics=tuple(metrics),
        splits=tuple(splits),
        pictures=tuple(pictures),
        more_pictures=more,
        logs=tuple(logs),
        more_tasks=len(job.units) - len(tasks),
    )


def _rank(task: UnitStatus) -> tuple[int, int]:
    """Sort what failed before what runs before the rest."""
    attention = URGENT.index(task.state) if task.state in URGENT else len(URGENT)
    return attention, task.task or 0


def _read_task(folder: Folder, task: UnitStatus, budget: Budget) -> Details:
    job = LAYOUT.job("")
    data, size = folder.tail(job.metrics.name, _METRICS_BYTES)
    lines = data.split(b"\n")
    begin = task.started_at if task.attempt > 1 else None
    since = begin.timestamp() - 1 if begin else 0.0
    series = parse_metrics(lines[1:] if size > len(data) else lines, _POINTS, since)
    where = "" if task.task is None else f" (task {task.task})"
    split = epoch_split({item.name: item.last for item in series})
    series = [
        item._replace(name=plain(item.name, 60) + where)
        for item in series
        if not is_about_running(item.name)
    ]
    pictures, more = _read_pictures(folder, task, budget)
    return Details(
        metrics=tuple(series),
        splits=(split,) if split else (),
        pictures=tuple(pictures),
        more_pictures=more,
    )


def _read_log(folder: Folder, job: str, task: UnitStatus, budget: Budget) -> LogTail | None:
    """Return the end of a log; None if nothing ran in this execution, or the page is full."""
    if task.state in {State.REUSED, State.PLANNED} or not task.attempt:
        return None
    path = LAYOUT.log(job, task.attempt, task.task)
    data, size = folder.tail(path.name, _LOG_BYTES)
    lines = clean_lines(data, _LOG_LINES)
    if not any(lines) or budget.logs <= 0:
        return None
    budget.logs -= sum(map(len, lines))
    return LogTail(task=task.task, path=path.as_posix(), lines=tuple(lines), size=size)


def _read_pictures(folder: Folder, task: UnitStatus, budget: Budget) -> tuple[list[Picture], int]:
    """Return the newest figures, in their own order, and the number of those left out."""
    name = LAYOUT.job("").figures.name
    with folder.folder(name) as figures:
        found: tuple[FigureEntry, ...] = ()
        with suppress(OSError, ValueError):
            found = parse(FigureIndex, figures.own(INDEX), is_open=True).figures
        newest = sorted(found, key=lambda item: item.updated, reverse=True)
        shown = {id(item) for item in newest[:_MAX_FIGURES]}
        sources = {id(item): _source(figures, item, budget) for item in newest if id(item) in shown}
        pictures = []
        for item in found:
            png = item.file("png")
            if id(item) not in shown or not png or figures.size(png) is None:
                continue
            data = item.file("data")
            folder_path = f"{task.folder}/{name}"
            pictures.append(
                Picture(
                    title=plain(item.title or f"Figure {item.id}", 120)
                    + ("" if task.task is None else f" (task {task.task})"),
                    path=f"{folder_path}/{png}",
                    data=f"{folder_path}/{data}" if data else "",
                    updated=parse_time(item.updated),
                    source=sources[id(item)],
                )
            )
    return pictures, len(found) - len(pictures)


def _source(folder: Folder, item: FigureEntry, budget: Budget) -> str:
    """Return a figure as a `data:` address: sharp as SVG, unless that is much larger."""
    svg = folder.read(item.file("svg"), min(_SVG_BYTES, budget.pictures)) or b""
    png = folder.read(item.file("png"), min(_PNG_BYTES, budget.pictures)) or b""
    if svg.lstrip()[:5] in {b"<?xml", b"<svg ", b"<svg>"} and len(svg) < 3 * (len(png) or len(svg)):
        kind, data = "svg+xml", svg
    elif png.startswith(b"\x89PNG\r\n\x1a\n"):
        kind, data = "png", png
    else:
        return ""
    budget.pictures -= len(data)
    return f"data:image/{kind};base64,{base64.b64encode(data).decode()}"
