"""Take over results that an earlier execution of the project made under the same plan key.

Only what succeeded and still is what its marker says. Outputs are linked (else copied) into the new
execution, never pointed to, so that either execution can be removed.
"""

from __future__ import annotations

import os
import shutil
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any

from deepforge_hpc.errors import LedgerError
from deepforge_hpc.ledger.store import Ledger, Record
from deepforge_hpc.model.plan import Job, JobKind, Plan
from deepforge_hpc.runtime import marker, statefile
from deepforge_hpc.runtime.context import Context, hostname, timestamp
from deepforge_hpc.runtime.destination import Destination
from deepforge_hpc.runtime.digests import measure
from deepforge_hpc.runtime.files import digest_path, publish_json, read_json
from deepforge_hpc.runtime.formats_base import FormatError
from deepforge_hpc.runtime.layout import ExecutionLayout, JobLayout
from deepforge_hpc.runtime.record import Published, shown_path, write_record
from deepforge_hpc.runtime.states import State
from deepforge_hpc.runtime.transfer import link_or_copy
from deepforge_hpc.submit import own
from deepforge_hpc.submit.project import executions_folders

if TYPE_CHECKING:
    from collections.abc import Iterator

_FULL_CHECK_BYTES = 64 << 20
"""Larger outputs are compared by size and times: they were hashed when they were made."""
_ATTEMPT = 0
"""No attempt of the new execution ran it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Source:
    """A sound result of an earlier execution."""

    record: Record
    folder: JobLayout
    marker: dict[str, Any]

    def to_dict(self) -> dict[str, Any]:
        """Return what marker and record of the new execution say of it."""
        data = self.record.data
        about = {name: data[name] for name in ("execution", "job", "task")}
        return {**about, "record": self.record.id}


def apply(layout: ExecutionLayout, plan: Plan, project: Path) -> dict[str, dict[str, Any]]:
    """Fill a new execution with what can be re-used; return job -> where its result comes from.

    Tasks of an array are re-used one by one, and none is needed where its gather job is. Jobs that
    were re-used have a success marker; `chain.submit` leaves them out.
    """
    reuse = _Reuse(layout, project)
    found: dict[str, dict[str, Any]] = {}
    gathered = {}
    for job in plan.jobs:
        if job.kind is JobKind.GATHER and (source := reuse.take(job, None)):
            found[job.name] = gathered[job.operation] = source
    for job in plan.jobs:
        if job.kind is JobKind.RUN and (source := reuse.take(job, None)):
            found[job.name] = source
        elif job.kind is JobKind.ARRAY and job.operation in gathered:
            found[job.name] = gathered[job.operation]
            reuse.excuse(job, gathered[job.operation])
        elif job.kind is JobKind.ARRAY:
            sources = [reuse.take(job, task) for task in range(job.tasks)]
            if sources[0] is not None and all(sources):
                found[job.name] = sources[0]
    return {job.name: found[job.name] for job in plan.jobs if job.name in found}


class _Reuse:
    """The new execution, and the records that may help it."""

    def __init__(self, layout: ExecutionLayout, project: Path) -> None:
        self._layout = layout
        self._folders = executions_folders(project)
        self._info = read_json(layout.execution)
        self._plan = read_json(layout.plan)
        self._jobs = {job["name"]: job for job in self._plan["jobs"]}
        self._ledger = Ledger(Path(self._info["ledger"]))
        self._by_key = _files_by_key(self._ledger.root)
        self._records: dict[Path, Record | None] = {}

    def take(self, job: Job, task: int | None) -> dict[str, Any] | None:
        """Take over the newest sound result of a job or task; None if there is none."""
        for source in self._sources(job, task):
            try:
                self._adopt(source, job, task)
            except (OSError, FormatError):
                # No room, no rights, or gone in the meantime: then the job runs.
                folder = self._layout.job(job.name, task)
                shutil.rmtree(folder.outputs, ignore_errors=True)
                folder.state.unlink(missing_ok=True)
                continue
            return source.to_dict()
        return None

    def excuse(self, job: Job, source: dict[str, Any]) -> None:
        """Mark the tasks of an array as not needed: their parts are in the gathered value."""
        for task in range(job.tasks):
            folder = self._layout.job(job.name, task)
            folder.root.mkdir(parents=True, exist_ok=True)
            marker.write(
                folder,
                job=job.name,
                task=task,
                attempt=_ATTEMPT,
                plan_key=job.plan_key,
                record=source["record"],
                outputs={},
                reused_from=source,
            )

    def _sources(self, job: Job, task: int | None) -> Iterator[_Source]:
        """Yield the sound results under the job's key, newest first."""
        if not job.plan_key:
            return
        paths = self._by_key.get(job.plan_key.removeprefix("sha256:")[:8], ())
        records = [record for path in paths if (record := self._record(path))]
        fitting = [record for record in records if _fits(record.data, job, task)]
        for record in sorted(fitting, key=_end, reverse=True):
            if (source := self._locate(record)) and _is_sound(source):
                yield source

    def _record(self, path: Path) -> Record | None:
        """Return a sound record; what is damaged is named by `dfh prov verify`, not used."""
        if path not in self._records:
            try:
                self._records[path] = self._ledger.read(path)
            except LedgerError:
                self._records[path] = None
        return self._records[path]

    def _locate(self, record: Record) -> _Source | None:
        """Return the folder that a record tells of, if its marker names the very record."""
        data = record.data
        for folder in self._folders:
            layout = ExecutionLayout(folder / str(data["execution"]))
            try:
                if read_json(layout.execution)["uuid"] != data["uuid"]:
                    continue
            except (OSError, ValueError, KeyError):
                continue
            place = layout.job(str(data["job"]), data["task"])
            found = own.read_marker(place)
            if found is not None and found["record"] == record.id:
                return _Source(record=record, folder=place, marker=found)
        return None

    def _adopt(self, source: _Source, job: Job, task: int | None) -> None:
        """Link the outputs, then write record, destination, state and marker, in this order."""
        folder = self._layout.job(job.name, task)
        folder.outputs.mkdir(parents=True, exist_ok=True)
        outputs = []
        for name, entry in source.marker["outputs"].items():
            target = folder.root / entry["path"]
            _link_all(source.folder.root / entry["path"], target)
            described = {**entry, "mtime_ns": measure(target).mtime_ns}
            outputs.append(Published(name, described, target))
        for name in ("metrics.jsonl", "figures"):
            if (source.folder.root / name).exists():
                _link_all(source.folder.root / name, folder.root / name)
        entry = self._jobs[job.name]
        context = Context(self._layout, self._info, self._plan, entry, task, _ATTEMPT)
        origin = source.to_dict()
        with Destination.prepared(context, outputs) as destination:
            data = _record(context, source, outputs)
            identity = write_record(
                context.ledger, data, user=self._info["user"], plan_key=job.plan_key
            )
            destination.publish(identity)
        state = statefile.build(
            job=job.name,
            task=task,
            attempt=_ATTEMPT,
            state=State.REUSED,
            since=timestamp(),
            native_id="",
            reason=f"Taken from {origin['execution']}.",
        )
        publish_json(folder.state, state, durable=False)
        marker.write(
            folder,
            job=job.name,
            task=task,
            attempt=_ATTEMPT,
            plan_key=job.plan_key,
            record=identity,
            outputs={item.name: item.entry for item in outputs},
            reused_from=origin,
        )


def _files_by_key(ledger: Path) -> dict[str, list[Path]]:
    """Return the record files by the first 8 digits of their plan key, from the names alone."""
    found: dict[str, list[Path]] = {}
    for folder, _, names in os.walk(ledger / "loose"):
        for name in names:
            parts = name.split(".")
            if len(parts) == 3 and parts[2] == "json":
                found.setdefault(parts[1], []).append(Path(folder, name))
    return found


def _fits(data: dict[str, Any], job: Job, task: int | None) -> bool:
    return (
        data.get("kind") == "end"
        and data.get("status") == "succeeded"
        and data.get("plan_key") == job.plan_key
        and data.get("task") == task
        and {"execution", "uuid", "job", "operation"} <= data.keys()
    )


def _end(record: Record) -> str:
    return str((record.data.get("time") or {}).get("end") or "")


def _is_sound(source: _Source) -> bool:
    """Tell whether every output still is what the marker and the record say."""
    recorded = {output.get("name"): output.get("sha256") for output in source.record.outputs}
    entries = source.marker["outputs"]
    if set(recorded) != set(entries):
        return False
    for name, entry in entries.items():
        relative = PurePosixPath(str(entry.get("path")))
        if relative.is_absolute() or ".." in relative.parts or relative.parts[:1] != ("outputs",):
            return False
        try:
            good = recorded[name] == entry["sha256"] and _holds(
                source.folder.root / relative, entry
            )
        except (OSError, ValueError, KeyError):
            return False
        if not good:
            return False
    return True


def _holds(path: Path, entry: dict[str, Any]) -> bool:
    if path.is_symlink():
        return False
    found = measure(path)
    if found.size != entry["size"]:
        return False
    if found.size <= _FULL_CHECK_BYTES:
        return digest_path(path)[0] == str(entry["sha256"])
    return found.mtime_ns == entry.get("mtime_ns")


def _link_all(source: Path, target: Path) -> None:
    """Give a file, or all files of a folder, a second name below the new execution."""
    if source.is_symlink():
        message = f"{source} is a link"
        raise FormatError(message)
    if source.is_file():
        target.parent.mkdir(parents=True, exist_ok=True)
        link_or_copy(source, target)
        return
    target.mkdir(parents=True, exist_ok=True)
    for entry in source.iterdir():
        _link_all(entry, target / entry.name)


def _record(context: Context, source: _Source, outputs: list[Published]) -> dict[str, Any]:
    """Return the record of the result under its new name: what made it stays what it was."""
    old = source.record.data
    places = {item.name: shown_path(context, item.path) for item in outputs}
    now = timestamp()
    return {
        **old,
        "execution": context.info["id"],
        "uuid": context.info["uuid"],
        "job": context.name,
        "task": context.task,
        "attempt": _ATTEMPT,
        "operation": {**old["operation"], "name": context.job["operation"]},
        "plan": context.info["plan_sha256"],
        "code": context.info["code_sha256"],
        "pipeline": context.info["pipeline_sha256"],
        "site": context.info["site"],
        "site_file": context.info["site_sha256"],
        "outputs": [{**entry, "path": places[entry["name"]]} for entry in old["outputs"]],
        "reason": f"Taken from {old['execution']}.",
        "scheduler": {"name": "", "native_id": "", "host": hostname(), "nodes": ""},
        "time": {"start": now, "end": now, "monotonic_s": 0.0},
        "user": context.info["user"],
        "tags": list(context.info.get("tags", [])),
        "dfh": context.info["version"],
        "reused_from": source.to_dict(),
    }
