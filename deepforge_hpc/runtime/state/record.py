"""Records of the ledger: how one is built, written for good, named and read."""

from __future__ import annotations

import os
import re
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from ..base.codec import encode
from ..base.context import hostname, timestamp
from ..base.files import canonical_json, digest, make_folder, publish_bytes, read_own, sync_folder
from ..base.layout import LedgerLayout
from ..base.plan import OperationSource
from ..base.states import State
from .record_data import (
    AccountingData,
    CountedAt,
    RecordData,
    RecordedEnvironment,
    RecordedFigure,
    RecordedInput,
    RecordedOperation,
    RecordedOutput,
    RecordedReference,
    RecordedScheduler,
    Span,
    parse_record,
)

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from ..base.context import Clock, Context
    from ..base.plan import Job
    from .marker import Output, ReusedFrom
    from .record_data import Producer

RESULT_KEY_SCHEMA = "dfh/result-key/1"
_MODE = 0o444


class StagedInput(NamedTuple):
    """One input port, and the data that it gets."""

    port: str
    format: str
    path: Path
    """Absolute."""
    sha256: str
    size: int
    trust: str
    """content: the digest was checked. stat: size and time were."""
    by: Producer | None
    """The record that produced it; None for external data."""
    uri: str = ""
    parts: bool = False
    """True for a folder of parts that is read as one value."""
    mapped: bool = False
    """True if this task gets its own block of rows."""


class Published(NamedTuple):
    """An output under its final name."""

    name: str
    entry: Output
    """Its entry of the success marker."""
    path: Path
    copies: tuple[Path, ...] = ()
    """Where the pipeline wants it besides."""


def write_record(ledger: Path, data: RecordData | AccountingData) -> str:
    """Write a record durably and return its id; OSError if the ledger cannot take it."""
    said = encode(data)
    content = canonical_json(said)
    identity = digest(content)
    key = said.get("plan_key", "").removeprefix("sha256:")[:8] or "0" * 8
    day = time.strftime("%Y%m%d", time.gmtime())
    folder = LedgerLayout(ledger).loose / _folder_name(said["user"]) / day
    if not ledger.is_dir():
        ledger.mkdir(exist_ok=True)  # but no project: one that was moved would find it in its way
        sync_folder(ledger.parent)
    make_folder(folder)
    path = folder / f"{identity.removeprefix('sha256:')}.{key}.json"
    publish_bytes(path, content, mode=_MODE)
    return identity


def write_blob(ledger: Path, content: bytes) -> str:
    """Keep bytes under their digest, once, and return it."""
    identity = digest(content)
    path = LedgerLayout(ledger).blob(identity)
    try:
        is_kept = read_own(path) == content
    except PermissionError:
        is_kept = True  # another user's, who has closed it: nobody can tell
    except (OSError, ValueError):
        is_kept = False
    if not is_kept:  # one that is damaged is mended: later executions rest on it as well
        make_folder(path.parent)
        publish_bytes(path, content, mode=_MODE)
    return identity


def _folder_name(user: str) -> str:
    return re.sub(r"[^A-Za-z0-9_.-]", "_", user).lstrip(".") or "_"


def index_records(ledger: Path) -> dict[str, Path]:
    """Return the file of every loose record by its id, from the names alone."""
    found = {}
    for folder, _, names in os.walk(LedgerLayout(ledger).loose):
        for name in names:
            if name.endswith(".json") and not name.startswith("."):
                found["sha256:" + name.partition(".")[0]] = Path(folder, name)
    return found


def find_record(ledger: Path, identity: str, plan_key: str) -> RecordData | None:
    """Return a loose record of a job if it is there, and what its id says."""
    key = plan_key.removeprefix("sha256:")[:8]
    name = f"{identity.removeprefix('sha256:')}.{key}.json"
    if not re.fullmatch(r"\w+\.\w+\.json", name):
        return None
    for path in LedgerLayout(ledger).loose.glob(f"*/*/{name}"):
        with suppress(OSError, ValueError):
            content = read_own(path)
            if digest(content) == identity:
                return parse_record(content)
    return None


def end_record(
    context: Context,
    *,
    status: State,
    reason: str = "",
    clock: Clock,
    inputs: Sequence[StagedInput],
    outputs: Sequence[Published] = (),
    figures: tuple[RecordedFigure, ...] = (),
    packages: str | None = None,
) -> RecordData:
    """Return the record of one attempt of a job, however it ended."""
    from ..base.redact import filter_text

    job = context.job
    described = tuple(_input(context, item) for item in inputs)
    return RecordData(
        **_about(context),
        operation=_operation(job),
        plan_key=job.plan_key,
        result_key=_result_key(context, described) if status is State.SUCCEEDED else None,
        script=_script_digest(context),
        inputs=described,
        outputs=tuple(_output(context, item) for item in outputs),
        figures=figures,
        status=status,
        reason=filter_text(reason),
        seed=job.seed,
        world_size=job.launch.world_size,
        environment=_environment(job, packages),
        scheduler=RecordedScheduler(
            name=context.plan.scheduler,
            native_id=context.native_id,
            host=hostname(),
            nodes=context.nodes,
        ),
        time=Span(timestamp(clock.wall), timestamp(), clock.elapsed_s()),
    )


def reuse_record(
    context: Context, old: RecordData, origin: ReusedFrom, outputs: Sequence[Published]
) -> RecordData:
    """Return the record of a result under its new name: what made it stays what it was."""
    now, taken = timestamp(), {item.name: _output(context, item) for item in outputs}
    return old._replace(
        **_about(context),
        plan_key=context.job.plan_key,
        operation=old.operation._replace(name=context.job.operation),
        outputs=tuple(
            item._replace(path=taken[item.name].path, copies=taken[item.name].copies)
            for item in old.outputs
        ),
        reason=f"Taken from {old.execution}.",
        scheduler=RecordedScheduler(host=hostname()),
        time=Span(start=now, end=now),
        reused_from=origin,
    )


def accounting_record(
    context: Context, jobs: Sequence[Mapping[str, object]], raw: str, clock: str
) -> AccountingData:
    """Return the record of what the scheduler counted; `raw`: digest of its very words."""
    info = context.info
    return AccountingData(
        execution=info.id,
        uuid=info.uuid,
        attempt=context.attempt,
        user=info.user,
        dfh=info.version,
        clock=clock,
        jobs=tuple(map(dict, jobs)),
        raw=raw,
        time=CountedAt(timestamp()),
    )


def _about(context: Context) -> dict[str, Any]:
    """Return the fields that say whose record it is."""
    info = context.info
    return {
        "kind": "end",
        "execution": info.id,
        "uuid": info.uuid,
        "job": context.name,
        "task": context.task,
        "attempt": context.attempt,
        "plan": info.plan_sha256,
        "code": info.code_sha256,
        "pipeline": info.pipeline_sha256,
        "site": info.site,
        "site_file": info.site_sha256,
        "user": info.user,
        "tags": info.tags,
        "dfh": info.version,
    }


def _environment(job: Job, packages: str | None) -> RecordedEnvironment:
    from ..base.redact import describe_environment

    return RecordedEnvironment(
        python=sys.executable,
        version=sys.version.split()[0],
        modules=tuple(filter(None, os.environ.get("LOADEDMODULES", "").split(":"))),
        packages=packages,
        declared=encode(job.environment),
        vars=describe_environment(os.environ),
    )


def _operation(job: Job) -> RecordedOperation:
    from ..base.redact import filter_value

    source = job.source or _NO_SOURCE._replace(object=job.kind.value)
    return RecordedOperation(
        name=job.operation,
        object=source.object,
        source=source.sha256,
        module=source.module,
        attributes=filter_value(dict(job.attributes)),
        defaults=filter_value(dict(job.defaults)),
        computed=filter_value(dict(job.computed)),
        references=tuple(
            RecordedReference(item.name, item.sha256, item.source) for item in job.references
        ),
    )


_NO_SOURCE = OperationSource(module="", object="", kind="")


def _input(context: Context, item: StagedInput) -> RecordedInput:
    from ..base.redact import filter_uri

    return RecordedInput(
        port=item.port,
        sha256=item.sha256,
        size=item.size,
        path=_shown_path(context, item.path),
        format=item.format,
        trust=item.trust,
        by=item.by,
        uri=filter_uri(item.uri),
    )


def _output(context: Context, item: Published) -> RecordedOutput:
    return RecordedOutput(
        name=item.name,
        sha256=item.entry.sha256,
        size=item.entry.size,
        path=_shown_path(context, item.path),
        format=item.entry.format,
        copies=tuple(_shown_path(context, path) for path in item.copies),
        rows=item.entry.rows,
        parts=item.entry.parts,
    )


def _shown_path(context: Context, path: Path) -> str:
    """Return a path relative to the project if it lies inside, else absolute."""
    with suppress(ValueError):
        return path.relative_to(context.info.project).as_posix()
    return str(path)


def _result_key(context: Context, inputs: tuple[RecordedInput, ...]) -> str:
    """Return the key under which equal code on equal data gives equal results.

    Like the plan key, with the content of the inputs in place of the keys of their producers.
    """
    job, launch = context.job, context.job.launch
    source = job.source or _NO_SOURCE
    content = {
        "schema": RESULT_KEY_SCHEMA,
        "kind": job.kind.value,
        "source": source.sha256,
        "object": source.object,
        "attributes": job.attributes,
        "references": sorted((item.name, item.sha256) for item in job.references),
        "inputs": sorted((item.port, item.sha256) for item in inputs),
        "outputs": [(item.name, item.type) for item in job.outputs],
        "seed": job.seed,
        "environment": encode(job.environment),
        "task": context.task,
        "tasks": job.tasks,
    }
    if launch.world_size > 1:
        content["ranks"] = [launch.name, launch.world_size]
    return digest(canonical_json(content))


def _script_digest(context: Context) -> str:
    try:
        return digest(read_own(context.layout.script(context.name)))
    except (OSError, ValueError):
        return ""
