"""The one reader of an execution's folder, also of an unfinished, damaged or foreign one.

Only files of the execution are read, and links inside it are not followed.
"""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from ..base.codec import parse
from ..base.execution import ExecutionInfo
from ..base.files import digest, parse_object, read_own
from ..base.folder import Folder
from ..base.layout import LAYOUT, ExecutionLayout, JobLayout, LedgerLayout
from ..base.outline import Outline, PlannedJob, parse_outline
from ..base.plan import JobKind
from . import journal, marker, statefile

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from .journal import Journal
    from .marker import FoundMarker
    from .statefile import Said

Key = tuple[str, "int | None"]
"""Job and task."""

_SUCCESS, _STATE = JobLayout(Path()).success.name, JobLayout(Path()).state.name
_METRICS = JobLayout(Path()).metrics.name
_TAIL = 4096


class Unit(NamedTuple):
    """What the files of a job, or of a task of one, say."""

    found: FoundMarker
    said: Said | None = None
    said_fault: str = ""


class Files(NamedTuple):
    """What an execution's folder holds of its plan and its jobs."""

    root: Path
    info: ExecutionInfo
    """Of `execution.json`; where that is damaged, what the other files tell in its place."""
    plan: Outline
    plan_sha256: str
    units: dict[Key, Unit]
    journal: Journal
    damaged: tuple[str, ...] = ()
    """Names of those of its first two files that are missing or damaged."""

    @property
    def jobs(self) -> tuple[PlannedJob, ...]:
        """Return the jobs of its plan; none where that is damaged."""
        return self.plan.jobs


def read_files(root: Path, *, with_jobs: bool = True) -> Files:
    """Read an execution, or its first files alone; OSError if the folder cannot be opened."""
    with Folder.open(root) as folder:
        history = journal.load(lambda: folder.own(LAYOUT.submitted.name))
        info = plan = None
        content = b""
        with suppress(OSError, ValueError):
            info = _info(folder.own(LAYOUT.execution.name), lambda: history)
        with suppress(OSError, ValueError):
            content = folder.own(LAYOUT.plan.name)
            if info and is_torn(content):
                content = kept(info.ledger, info.plan_sha256)
            plan = parse_outline(content)
        units = _units(folder, plan.jobs) if plan and with_jobs else {}
    found = {LAYOUT.execution.name: info, LAYOUT.plan.name: plan}
    damaged = tuple(name for name, value in found.items() if value is None)
    plan = plan or Outline()
    return Files(
        root, info or _stand_in(root, plan, history), plan, digest(content), units, history, damaged
    )


def read_info(layout: ExecutionLayout) -> ExecutionInfo:
    """Return `execution.json`, or the journal's copy of one that a power cut has emptied.

    OSError or ValueError if it cannot be read, and nobody says what it was.
    """
    return _info(read_own(layout.execution), lambda: journal.read(layout))


def _info(content: bytes, history: Callable[[], Journal]) -> ExecutionInfo:
    if is_torn(content) and (info := history().execution):
        return info
    return parse(ExecutionInfo, content, is_open=True)


def _stand_in(root: Path, plan: Outline, history: Journal) -> ExecutionInfo:
    token = history.last.token if history.last else ""
    return ExecutionInfo.stand_in(
        id=root.name,
        uuid=token,
        pipeline=plan.pipeline,
        site=plan.site,
        scheduler=plan.scheduler,
        home=os.path.realpath(root),
    )


def is_torn(content: bytes) -> bool:
    """Tell whether a power cut took what a file held: its name was on the disk, and no more."""
    return not content.strip(b"\0")


def kept(ledger: str, sha256: str) -> bytes:
    """Return the ledger's copy of a frozen file; OSError or ValueError if there is no sound one."""
    content = read_own(LedgerLayout(Path(ledger)).blob(sha256))
    if digest(content) != sha256:
        raise ValueError(f"the ledger's copy of {sha256} was changed")
    return content


def last_metrics(root: Path, folder: str) -> dict[str, Any]:
    """Return the last whole line of the metrics in a job's folder; empty if there is none."""
    try:
        lines = read_own(f"{root}/{folder}/{_METRICS}", tail=_TAIL).split(b"\n")
        # The last part is empty, or a line that is being written.
        return parse_object(lines[-2]) if len(lines) > 1 else {}
    except (OSError, ValueError):
        return {}


def _units(top: Folder, jobs: Iterable[PlannedJob]) -> dict[Key, Unit]:
    with top.folder(LAYOUT.jobs.name) as folder:
        return {key: unit for job in jobs for key, unit in _units_of(folder, job)}


def _units_of(jobs: Folder, job: PlannedJob) -> Iterator[tuple[Key, Unit]]:
    with jobs.folder(job.name) as folder:
        present = folder.names() if job.kind is JobKind.ARRAY else frozenset()
        for task in job.indices:
            if task is None:
                yield (job.name, task), _unit(folder, job, task)
            elif (name := LAYOUT.job(job.name, task).root.name) in present:
                with folder.folder(name) as part:
                    yield (job.name, task), _unit(part, job, task)
            else:
                yield (job.name, task), Unit(marker.ABSENT)


def _unit(folder: Folder, job: PlannedJob, task: int | None) -> Unit:
    found = marker.look(lambda: folder.own(_SUCCESS), job.name, task, job.plan_key)
    try:
        return Unit(found, statefile.parse(folder.own(_STATE)))
    except FileNotFoundError:
        return Unit(found)
    except (OSError, ValueError) as error:
        return Unit(found, said_fault=str(error))
