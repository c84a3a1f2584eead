"""The metrics of a run in forms that other programs read: CSV, and TensorBoard's event files."""

from __future__ import annotations

import math
import os
import shutil
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from deepforge_hpc.errors import StorageError, UsageError
from deepforge_hpc.model.json_result import JsonResult
from deepforge_hpc.runtime.base.folder import Folder
from deepforge_hpc.runtime.base.jsonl import LINES_LIMIT
from deepforge_hpc.runtime.base.layout import LAYOUT
from deepforge_hpc.runtime.base.metrics import Point, points
from deepforge_hpc.runtime.base.text import listed
from deepforge_hpc.runtime.base.times import parse_time
from deepforge_hpc.runtime.state.read import read_files

if TYPE_CHECKING:
    from deepforge_hpc.api.find import FoundExecution
    from deepforge_hpc.runtime.state.journal import Journal

FORMS = ("csv", "tensorboard")
_METRICS = LAYOUT.job("").metrics.name
_EVENTS = "events.out.tfevents."
_COLUMNS = ("run", "metric", "step", "time", "value")


@dataclass(frozen=True, slots=True, kw_only=True)
class ExportedMetrics(JsonResult, schema="dfh/metrics-export/1"):
    """What was written, and where."""

    execution: str
    form: str
    path: str
    """Empty where it was to be shown alone."""
    runs: dict[str, int]
    """Numbers that were written of each job, or of each task as `JOB/task-00000`."""
    is_whole: bool
    """False if a file of metrics is so large that its beginning was left out."""
    text: str = ""


Runs = Mapping[str, list[Point]]


def export(
    found: FoundExecution, job: str, form: str, output: Path | None, *, force: bool = False
) -> ExportedMetrics:
    """Write the metrics of an execution, or of one job, as CSV or for TensorBoard.

    CSV has a line for each number: run, metric, step, time (UTC, ISO 8601), value. Without steps, a
    metric's numbers are counted from 0. TensorBoard gets a folder for each run. What an earlier
    attempt logged from the step on with which a later one went on is left out.
    """
    write = _writer(form)
    runs, is_whole = read_runs(found, job)
    if not runs:
        raise _nothing(found, job)
    done = ExportedMetrics(
        execution=found.id,
        form=form,
        path="",
        runs={run: len(values) for run, values in runs.items()},
        is_whole=is_whole,
    )
    return write(done, runs, output, force)


def _nothing(found: FoundExecution, job: str) -> UsageError:
    of = f"/{job}" if job else ""
    hint = "Code of an operation logs them: deepforge_hpc.job.log(step, loss=...)"
    return UsageError(f"{found.id}{of} has logged no metrics", hint)


def read_runs(found: FoundExecution, job: str = "") -> tuple[dict[str, list[Point]], bool]:
    """Return the points of each job and task, and whether that is all; UsageError for no job."""
    files = read_files(found.layout.root, with_jobs=False)
    names = [item.name for item in files.jobs]
    if job and job not in names:
        raise UsageError(f"{found.id}: there is no job {job!r}", f"Its jobs: {listed(names, 9)}.")
    runs: dict[str, list[Point]] = {}
    is_whole = True
    with Folder.open(found.layout.root) as top, top.folder(LAYOUT.jobs.name) as jobs:
        for name, task in ((item.name, task) for item in files.jobs for task in item.indices):
            if job not in {"", name}:
                continue
            folder = LAYOUT.job(name, task).root.relative_to(LAYOUT.jobs)
            data, size = _read(jobs, folder)
            is_whole = is_whole and size <= LINES_LIMIT
            lines = data.split(b"\n")
            starts = _starts(files.journal, name, task)
            if values := going_on(points(lines[size > LINES_LIMIT :]), starts):
                runs[str(folder)] = values
    return runs, is_whole


def _read(jobs: Folder, folder: Path) -> tuple[bytes, int]:
    with jobs.folder(folder.parts[0]) as first:
        if len(folder.parts) == 1:
            return first.tail(_METRICS, LINES_LIMIT)
        with first.folder(folder.parts[1]) as second:
            return second.tail(_METRICS, LINES_LIMIT)


def _starts(journal: Journal, job: str, task: int | None) -> list[float]:
    """Return when attempts after the first were submitted: what they logged is later."""
    times = [
        parse_time(item.at)
        for item in journal.attempts[1:]
        if job in item.jobs and item.has_task(job, task)
    ]
    return [time.timestamp() for time in times if time is not None]


def going_on(found: Iterable[Point], starts: Iterable[float]) -> list[Point]:
    """Return points as one course, though attempts that began at `starts` did steps once more.

    An attempt goes on from a checkpoint: what the ones before it logged of a metric, from the step
    on with which it begins, it logs again. Within an attempt nothing is left out.
    """
    kept: list[Point] = []
    rest = list(found)
    for start in [*sorted(starts), math.inf]:
        is_before = [point.time is None or point.time < start for point in rest]
        now = [point for point, before in zip(rest, is_before, strict=True) if before]
        rest = [point for point, before in zip(rest, is_before, strict=True) if not before]
        first: dict[str, float] = {}
        for point in now:
            if point.step is not None:
                first[point.name] = min(point.step, first.get(point.name, math.inf))
        kept = [p for p in kept if p.step is None or p.step < first.get(p.name, math.inf)] + now
    return kept


def stepped(found: Iterable[Point]) -> Iterator[tuple[Point, float]]:
    """Yield points with their steps: their own, else how many of the metric were before."""
    counts: dict[str, int] = {}
    for point in found:
        number = counts.get(point.name, 0)
        counts[point.name] = number + 1
        yield point, float(number) if point.step is None else point.step


_Write = Callable[[ExportedMetrics, Runs, "Path | None", bool], ExportedMetrics]


def _writer(form: str) -> _Write:
    if form == "csv":
        return _write_csv
    try:
        from deepforge_hpc.api import events  # noqa: F401 - it has to be at hand before the work
    except ImportError as error:
        hint = "pip install 'deepforge-hpc[tensorboard]'; --to csv needs nothing"
        raise UsageError(f"the package tensorboard is not at hand ({error})", hint) from error
    return _write_events


def _write_csv(
    done: ExportedMetrics, runs: Runs, output: Path | None, force: bool
) -> ExportedMetrics:
    import csv
    import io

    from deepforge_hpc.api.arch import write_file

    text = io.StringIO()
    rows = csv.writer(text, lineterminator="\n")
    rows.writerow(_COLUMNS)
    for run, values in runs.items():
        for point, step in stepped(values):
            rows.writerow((run, _cell(point.name), f"{step:.15g}", _time(point), point.value))
    written = write_file(text.getvalue(), output, force=force)
    return replace(done, path=written.path, text=written.text)


def _cell(text: str) -> str:
    """Return a name that no spreadsheet takes for a formula: code of the job chose it."""
    return f"'{text}" if text[:1] in set("=+-@\t\r") else text


def _time(point: Point) -> str:
    from datetime import datetime, timezone

    try:
        time = datetime.fromtimestamp(point.time or 0.0, timezone.utc)
    except (ValueError, OverflowError, OSError):
        return ""
    return "" if point.time is None else time.isoformat(timespec="milliseconds")


def _write_events(
    done: ExportedMetrics, runs: Runs, output: Path | None, force: bool
) -> ExportedMetrics:
    from deepforge_hpc.api.events import write_events

    target = output or Path("tensorboard", done.execution)
    if os.path.lexists(target) and not (force and holds_event_files_alone(target)):
        hint = "Give another folder with -o" + ("." if force else ", or --force.")
        what = "holds other files than event files" if force else "is there already"
        raise UsageError(f"{target} {what}", hint)
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        made = Path(tempfile.mkdtemp(prefix=f".{target.name}.", dir=target.parent))
        try:
            for number, (run, values) in enumerate(runs.items()):
                folder = made / run
                folder.mkdir(parents=True)
                write_events(folder, f"{_EVENTS}{number:010d}.dfh", stepped(values))
            made.chmod(0o755)
            if target.is_dir():
                shutil.rmtree(target)
            made.rename(target)
        finally:
            shutil.rmtree(made, ignore_errors=True)
    except OSError as error:
        raise StorageError(f"{target}: {error.strerror}", "Give another folder with -o.") from error
    return replace(done, path=str(target))


def holds_event_files_alone(folder: Path) -> bool:
    """Tell whether a folder holds event files alone, so that it may be replaced."""
    if folder.is_symlink() or not folder.is_dir():
        return False
    names = [name for _, _, files in os.walk(folder) for name in files]
    return all(name.startswith(_EVENTS) for name in names)
