"""Sound results of earlier executions: what a new one need not run again.

They are found by plan key; and what `dfh resume` saved in formats that its plan did not name, by
the key of the values.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from deepforge_hpc.errors import LedgerError
from deepforge_hpc.ledger.store import Ledger, Record
from deepforge_hpc.paths import LEDGER
from deepforge_hpc.runtime.base.layout import ExecutionLayout, JobLayout
from deepforge_hpc.runtime.base.plan import Job
from deepforge_hpc.runtime.base.states import State
from deepforge_hpc.runtime.formats import FORMATS
from deepforge_hpc.runtime.state import marker
from deepforge_hpc.runtime.state.check import check
from deepforge_hpc.runtime.state.marker import Marker, ReusedFrom
from deepforge_hpc.runtime.state.read import read_info
from deepforge_hpc.runtime.state.record import index_records
from deepforge_hpc.runtime.state.record_data import RecordData
from deepforge_hpc.submit.earlier import EarlierExecutions
from deepforge_hpc.submit.project import executions_folders


@dataclass(frozen=True, slots=True, kw_only=True)
class EarlierResult:
    """A sound result of an earlier execution."""

    record: Record
    folder: JobLayout
    marker: Marker

    @property
    def reused_from(self) -> ReusedFrom:
        """Return what marker and record of the new execution say of it."""
        data = self.record.data
        return ReusedFrom(data.execution, data.job, data.task, self.record.id)


class Results:
    """The results of earlier executions, by the records that tell of them."""

    def __init__(self, earlier: EarlierExecutions) -> None:
        project = earlier.project
        self._earlier = earlier
        self._folders = executions_folders(project)
        self._ledger = Ledger(project / LEDGER)
        self._by_key = _files_by_key(self._ledger.root)
        self._records: dict[Path, Record | None] = {}

    def sound(self, job: Job, task: int | None) -> Iterator[EarlierResult]:
        """Yield the sound results of a job, newest first; those under its own key before others."""
        yield from self._under(job.plan_key, task)
        planned = {port.name: port.type for port in job.outputs}
        for before in self._alike.get(job.value_key, ()) if job.value_key else ():
            if before.plan_key == job.plan_key:
                continue
            then = {port.name: port.type for port in before.outputs}
            for earlier in self._under(before.plan_key, task):
                made = {name: entry.format for name, entry in earlier.marker.outputs.items()}
                if all(planned[name] in (then[name], made.get(name)) for name in planned):
                    yield earlier

    @cached_property
    def _alike(self) -> Mapping[str, Sequence[Job]]:
        """Value key -> the jobs that had it, one for each plan key."""
        jobs = (job for _, plan in self._earlier for job in plan.jobs if job.value_key)
        found: dict[str, list[Job]] = {}
        for job in {job.plan_key: job for job in jobs}.values():
            found.setdefault(job.value_key, []).append(job)
        return found

    def _under(self, key: str, task: int | None) -> Iterator[EarlierResult]:
        """Yield the sound results under a key, newest first."""
        if not key:
            return
        paths = self._by_key.get(key.removeprefix("sha256:")[:8], ())
        records = [record for path in paths if (record := self._record(path))]
        fitting = [record for record in records if _fits(record.data, key, task)]
        for record in sorted(fitting, key=lambda record: record.data.time.end, reverse=True):
            if (earlier := self._locate(record)) and _is_sound(earlier):
                yield earlier

    def _record(self, path: Path) -> Record | None:
        """Return a sound record; what is damaged is named by `dfh prov verify`, not used."""
        if path not in self._records:
            try:
                self._records[path] = self._ledger.read(path)
            except LedgerError:
                self._records[path] = None
        return self._records[path]

    def _locate(self, record: Record) -> EarlierResult | None:
        """Return the folder that a record tells of, if its marker names the very record."""
        data = record.data
        for folder in self._folders:
            layout = ExecutionLayout(folder / data.execution)
            try:
                if read_info(layout).uuid != data.uuid:
                    continue
            except (OSError, ValueError):
                continue
            place = layout.job(data.job, data.task)
            found = marker.find(place, data.job, data.task, data.plan_key).marker
            if found is None or found.record != record.id:
                continue
            risky = [place.root / made.path for made in found.outputs.values() if runs_code(made)]
            if not risky or self._earlier.trusts(layout.root, place.root, *risky):
                return EarlierResult(record=record, folder=place, marker=found)
        return None


def runs_code(made: marker.Output) -> bool:
    """Tell whether to read an output may run code of whoever made it."""
    return made.format in FORMATS and FORMATS[made.format].runs_code


def _files_by_key(ledger: Path) -> dict[str, list[Path]]:
    """Return the record files by the first 8 digits of their plan key, from the names alone."""
    found: dict[str, list[Path]] = {}
    for path in index_records(ledger).values():
        found.setdefault(path.name.split(".")[1], []).append(path)
    return found


def _fits(data: RecordData, key: str, task: int | None) -> bool:
    made = (data.kind, data.status, data.plan_key, data.task)
    return made == ("end", State.SUCCEEDED, key, task) and bool(data.execution and data.job)


def _is_sound(earlier: EarlierResult) -> bool:
    """Tell whether every output still is what the marker and the record say."""
    entries = earlier.marker.outputs
    root = earlier.folder.root
    try:
        return earlier.record.data.says(entries) and not any(
            check(root / entry.path, entry).fault for entry in entries.values()
        )
    except OSError:
        return False
