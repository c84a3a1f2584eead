"""Create the folder of an execution: all that its jobs will read, frozen."""

from __future__ import annotations

import errno
import os
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from deepforge_hpc import __version__
from deepforge_hpc.errors import StorageError
from deepforge_hpc.paths import LEDGER
from deepforge_hpc.processes import write_for_owner
from deepforge_hpc.runtime.base.codec import encode
from deepforge_hpc.runtime.base.execution import ExecutionInfo, Manifest
from deepforge_hpc.runtime.base.files import (
    canonical_json,
    digest,
    make_folder,
    publish_json,
    sync_folder,
    sync_path,
)
from deepforge_hpc.runtime.base.layout import LAYOUT, ExecutionLayout
from deepforge_hpc.runtime.state.record import write_blob
from deepforge_hpc.submit import destinations, project
from deepforge_hpc.submit.lease import SUBMITTING, lease
from deepforge_hpc.submit.runtime_zip import RUNTIME_ZIP, runtime_zip

if TYPE_CHECKING:
    from datetime import datetime

    from deepforge_hpc.pipeline.load import Loaded
    from deepforge_hpc.pipeline.snapshot import CodeFile, Snapshot
    from deepforge_hpc.runtime.base.plan import Plan


def create(  # noqa: PLR0913 - each a fact of its own, by keyword
    loaded: Loaded,
    plan: Plan,
    scripts: Mapping[str, str],
    *,
    name: str = "",
    note: str = "",
    tags: Sequence[str] = (),
    options: Sequence[str] = (),
    now: datetime,
    user: str,
    uuid: str,
    fill: Callable[[ExecutionLayout, ExecutionInfo], None] = lambda *_: None,
) -> ExecutionLayout:
    """Make `<pipeline>-NNNN` with everything frozen in it, and return its layout.

    `uuid` is 32 hex digits, `now` has a time zone; `fill` lays into it what earlier executions
    made. `execution.json` is written last: a folder without it is none. Whatever fails, nothing of
    it stays; raises StorageError if a file system refuses, UsageError if a live execution writes
    to the same `outputs.to`.
    """
    root = _make_folder(loaded, plan.pipeline, uuid)
    layout = ExecutionLayout(root)
    created = now.isoformat(timespec="milliseconds")
    plan_bytes, manifest = plan_file(plan), manifest_bytes(loaded.snapshot)
    info = describe(
        loaded, plan, root, plan_sha256=digest(plan_bytes), code_sha256=digest(manifest), uuid=uuid,
        created=created, user=user, name=name, note=note, tags=tuple(tags), options=tuple(options)
    )  # fmt: skip
    try:
        with lease(root / SUBMITTING, f"{info.id} is being made"):
            _write_files(layout, _files(loaded, scripts, plan_bytes, manifest))
            # All of the code but the runtime, which is named by its version.
            kept = [file.data for file in loaded.snapshot.files.values()]
            kept += [plan_bytes, manifest, loaded.pipeline_bytes, loaded.site_bytes]
            for data in kept:
                write_blob(Path(info.ledger), data)
            destinations.check(info, plan)
            fill(layout, info)
            sync_path(root)  # what `execution.json` promises outlives a power cut
            publish_json(layout.execution, encode(info))
        sync_folder(root.parent)
        project.note_number(Path(info.ledger), plan.pipeline, project.number_of(root.name)[1])
    except BaseException as error:
        shutil.rmtree(root, ignore_errors=True)
        if isinstance(error, OSError):
            raise _refused(error, root) from error
        raise
    return layout


def describe(loaded: Loaded, plan: Plan, root: Path, **given: Any) -> ExecutionInfo:
    """Return what `execution.json` of the folder says; `given`: its other fields."""
    return ExecutionInfo(
        id=root.name,
        pipeline=plan.pipeline,
        pipeline_file=os.path.relpath(loaded.path, loaded.project),
        site=plan.site,
        scheduler=plan.scheduler,
        project=str(loaded.project),
        home=str(root),
        ledger=str(loaded.project / LEDGER),
        version=__version__,
        pipeline_sha256=digest(loaded.pipeline_bytes),
        site_sha256=digest(loaded.site_bytes),
        **given,
    )


def plan_file(plan: Plan) -> bytes:
    """Return the bytes of `plan.json`; their digest names the plan."""
    return canonical_json(plan.to_dict())


def manifest_bytes(snapshot: Snapshot) -> bytes:
    """Return the bytes of `code/MANIFEST.json`; their digest names the code."""
    files = {path: file.sha256 for path, file in _code(snapshot).items()}
    return canonical_json(encode(Manifest(files)))


def _code(snapshot: Snapshot) -> dict[str, CodeFile]:
    return {**snapshot.files, RUNTIME_ZIP: runtime_zip()}


def next_folder(loaded: Loaded, pipeline: str) -> Path:
    """Return the folder, `<pipeline>-NNNN`, of the next execution if nobody is faster.

    Its number is higher than any that the project ever gave to one of the pipeline's.
    """
    folders = {*project.executions_folders(loaded.project), loaded.executions}
    taken = [number for folder in folders for number in project.numbered(folder, pipeline)]
    taken = [number for number in taken if number < project.LAST_NUMBER]
    number = max([project.last_number(loaded.project / LEDGER, pipeline), *taken]) + 1
    return Path(os.path.realpath(loaded.executions)) / project.name_of(pipeline, number)


def _make_folder(loaded: Loaded, pipeline: str, uuid: str) -> Path:
    """Claim the next number by mkdir, which of two submitters only one can do."""
    folder = Path(os.path.realpath(loaded.executions))
    try:
        ledger = loaded.project / LEDGER
        write_for_owner(ledger if ledger.is_dir() else loaded.project)
        make_folder(folder)
        project.mark(loaded.project, folder, uuid)
        root = next_folder(loaded, pipeline)
        while not _mkdir(root):
            number = project.number_of(root.name)[1] + 1
            root = root.with_name(project.name_of(pipeline, number))
    except OSError as error:
        raise _refused(error, folder) from error
    return root


def _mkdir(path: Path) -> bool:
    try:
        path.mkdir()
    except FileExistsError:
        return False
    return True


def _files(
    loaded: Loaded, scripts: Mapping[str, str], plan: bytes, manifest: bytes
) -> Iterator[tuple[Path, bytes, int]]:
    """Yield path in the execution, bytes and mode of all that is frozen."""
    for path, file in _code(loaded.snapshot).items():
        yield LAYOUT.code / path, file.data, 0o444
    yield LAYOUT.manifest, manifest, 0o444
    yield LAYOUT.plan, plan, 0o444
    yield LAYOUT.pipeline, loaded.pipeline_bytes, 0o444
    yield LAYOUT.site, loaded.site_bytes, 0o444
    for job, script in scripts.items():
        yield LAYOUT.script(job), script.encode(), 0o755


def _write_files(layout: ExecutionLayout, files: Iterator[tuple[Path, bytes, int]]) -> None:
    """Write files that nobody reads before `execution.json` is there."""
    made: set[Path] = {Path()}
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    for name, data, mode in files:
        path = layout.root / name
        if name.parent not in made:
            path.parent.mkdir(parents=True, exist_ok=True)
            made.add(name.parent)
        with os.fdopen(os.open(path, flags, mode), "wb") as stream:
            stream.write(data)


def _refused(error: OSError, path: Path) -> StorageError:
    message = f"{error.filename or path}: {error.strerror}"
    if error.errno in {errno.EROFS, errno.EACCES, errno.EPERM}:
        hint = (
            "Executions can lie elsewhere: `executions: FOLDER` in the pipeline or site file. "
            "The project itself must be writable for its ledger, .dfh."
        )
    elif error.errno in {errno.ENOSPC, errno.EDQUOT}:
        hint = "Free some space or quota, then submit again. Nothing of the execution was kept."
    else:
        hint = "Nothing of the execution was kept."
    return StorageError(message, hint)
