"""The one reader of an execution's folder, also of an unfinished, damaged or foreign one.

Only files of the execution are read, and links inside it are not followed.
"""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from ..base.files import digest, parse_object, read_own
from ..base.folder import Folder
from ..base.layout import ExecutionLayout, JobLayout
from . import journal, marker, statefile

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from typing import TypeGuard

    from .journal import Journal
    from .marker import FoundMarker
    from .statefile import Said

Key = tuple[str, "int | None"]
"""Job and task."""

LAYOUT = ExecutionLayout(Path())
"""Names of files and folders, relative to the execution."""
ARRAY, GATHER, FINAL = "array", "gather", "final"
_SUCCESS, _STATE = JobLayout(Path()).success.name, JobLayout(Path()).state.name
_MAX_TASKS = 100_000
_TAIL = 4096


class Planned(NamedTuple):
    """What a reader needs of a job's entry in the plan."""

    name: str
    operation: str
    kind: str
    after: tuple[str, ...]
    indices: tuple[int | None, ...]
    """Of its tasks; (None,) of a job that is no array."""
    plan_key: str
    is_guarded: bool
    """Whether it starts however those end that it waits for."""
    data: dict[str, Any]
    """The entry itself."""


class Unit(NamedTuple):
    """What the files of a job, or of a task of one, say."""

    found: FoundMarker
    said: Said | None = None
    said_fault: str = ""


class Files(NamedTuple):
    """What an execution's folder holds of its plan and its jobs."""

    root: Path
    info: dict[str, Any]
    """`execution.json`; empty if it is missing or damaged."""
    plan: dict[str, Any]
    plan_sha256: str
    jobs: tuple[Planned, ...]
    units: dict[Key, Unit]
    journal: Journal

    @property
    def cluster(self) -> str:
        """Return the cluster that the site names, as `Plan.cluster`."""
        pairs = _items(self.jobs[-1].data, "directives") if self.jobs else []
        named = (pair[1] for pair in pairs if isinstance(pair, list) and pair[:1] == ["clusters"])
        return str(next(named, ""))


def read_files(root: Path) -> Files:
    """Read an execution; OSError if the folder cannot be opened."""
    with Folder.open(root) as folder:
        info = folder.json(LAYOUT.execution.name)
        content, plan = b"", {}
        with suppress(OSError, ValueError, KeyError):
            content = folder.own(LAYOUT.plan.name)
            if is_torn(content):
                content = kept(str(info["ledger"]), str(info["plan_sha256"]))
            plan = parse_object(content)
        jobs = tuple(_planned(entry) for entry in _items(plan, "jobs") if _is_job(entry))
        units = _units(folder, jobs)
        history = journal.load(lambda: folder.own(LAYOUT.submitted.name))
    return Files(root, info, plan, digest(content), jobs, units, history)


def is_torn(content: bytes) -> bool:
    """Tell whether a power cut took what a file held: its name was on the disk, and no more."""
    return not content.strip(b"\0")


def kept(ledger: str, sha256: str) -> bytes:
    """Return the ledger's copy of a frozen file; OSError or ValueError if there is no sound one."""
    name = sha256.removeprefix("sha256:")
    content = read_own(Path(ledger, "blobs", name[:2], name))
    if digest(content) != sha256:
        raise ValueError(f"the ledger's copy of {sha256} was changed")
    return content


def last_metrics(root: Path, job: str, task: int | None) -> dict[str, Any]:
    """Return the last whole line of a job's metrics; empty if there is none."""
    try:
        lines = read_own(ExecutionLayout(root).job(job, task).metrics, tail=_TAIL).split(b"\n")
        # The last part is empty, or a line that is being written.
        return parse_object(lines[-2]) if len(lines) > 1 else {}
    except (OSError, ValueError):
        return {}


def _items(data: dict[str, Any], key: str) -> list[object]:
    value = data.get(key)
    return value if isinstance(value, list) else []


def _is_job(entry: object) -> TypeGuard[dict[str, Any]]:
    """Tell whether a plan's entry can be shown; a name is also a folder's name."""
    name = entry.get("name") if isinstance(entry, dict) else None
    return isinstance(name, str) and name not in {"", ".", ".."} and "/" not in name


def _planned(entry: dict[str, Any]) -> Planned:
    kind, total = str(entry.get("kind", "run")), entry.get("tasks")
    indices: tuple[int | None, ...] = (None,)
    if kind == ARRAY and isinstance(total, int):
        indices = tuple(range(max(1, min(total, _MAX_TASKS))))
    return Planned(
        name=entry["name"],
        operation=str(entry.get("operation") or entry["name"]),
        kind=kind,
        after=tuple(item for item in _items(entry, "after") if isinstance(item, str)),
        indices=indices,
        plan_key=str(entry.get("plan_key") or ""),
        is_guarded=entry.get("dependency") == "afterany",
        data=entry,
    )


def _units(top: Folder, jobs: Iterable[Planned]) -> dict[Key, Unit]:
    with top.folder(LAYOUT.jobs.name) as folder:
        return {key: unit for job in jobs for key, unit in _units_of(folder, job)}


def _units_of(jobs: Folder, job: Planned) -> Iterator[tuple[Key, Unit]]:
    with jobs.folder(job.name) as folder:
        present = folder.names() if job.kind == ARRAY else frozenset()
        for task in job.indices:
            if task is None:
                yield (job.name, task), _unit(folder, job, task)
            elif (name := LAYOUT.job(job.name, task).root.name) in present:
                with folder.folder(name) as part:
                    yield (job.name, task), _unit(part, job, task)
            else:
                yield (job.name, task), Unit(marker.ABSENT)


def _unit(folder: Folder, job: Planned, task: int | None) -> Unit:
    found = marker.look(lambda: folder.own(_SUCCESS), job.name, task, job.plan_key)
    try:
        return Unit(found, statefile.parse(folder.own(_STATE)))
    except FileNotFoundError:
        return Unit(found)
    except (OSError, ValueError) as error:
        return Unit(found, said_fault=str(error))
