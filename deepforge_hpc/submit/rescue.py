"""Before a retry: a format for what an earlier attempt could not save, as `types:` names it now.

The plan of an execution is frozen, but what was kept has no format in it: so this is read from the
pipeline as it is now, and handed to the job beside what it keeps.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path

from deepforge_hpc.errors import Fault, InvalidInputError, UsageError
from deepforge_hpc.runtime.base.execution import ExecutionInfo
from deepforge_hpc.runtime.base.files import publish_json
from deepforge_hpc.runtime.base.layout import RESCUE_FORMATS, ExecutionLayout
from deepforge_hpc.runtime.base.plan import Job, JobKind
from deepforge_hpc.runtime.base.plugins import named_plugins
from deepforge_hpc.runtime.formats import FORMATS
from deepforge_hpc.runtime.job.rescue import read
from deepforge_hpc.submit.select import Selected


def name_formats(
    layout: ExecutionLayout, info: ExecutionInfo, selected: Iterable[Selected]
) -> None:
    """Lay beside each rescue the formats of what it keeps; UsageError if one is not named."""
    types: Mapping[str, Mapping[str, str]] | None = None
    for item in selected:
        for task in item.tasks or item.job.indices:
            folder = layout.job(item.job.name, task).rescue
            found = read(folder)
            if found is None or not found.is_whole:  # then the operation runs again
                continue
            if types is None:
                types = _types(Path(info.project, info.pipeline_file))
            named = types.get(item.job.operation, {})
            for name in found.kept:
                if named.get(name) not in _known(layout, item.job):
                    raise _unnamed(info, item.job, name, folder, _known(layout, item.job))
            publish_json(folder / RESCUE_FORMATS, {name: named[name] for name in found.kept})


def _types(pipeline: Path) -> dict[str, Mapping[str, str]]:
    """Return what the pipeline now says under `types:`, by operation."""
    from deepforge_hpc.files.faults import Reader
    from deepforge_hpc.files.project import read_input
    from deepforge_hpc.files.yaml12 import load
    from deepforge_hpc.pipeline.file import read_pipeline

    faults: list[Fault] = []
    reader = Reader(load(read_input(pipeline), str(pipeline), faults))
    found = read_pipeline(reader)
    if faults or reader.faults:
        raise InvalidInputError([*faults, *reader.faults])
    return {name: operation.types for name, operation in found.operations.items()}


def _unnamed(
    info: ExecutionInfo, job: Job, name: str, folder: Path, known: Iterable[str]
) -> UsageError:
    message = (
        f"{job.name} could not save its output {name}, and {info.pipeline_file} names no format "
        f"for what it kept"
    )
    hint = (
        f"Write types: {{{name}: FORMAT}} under {job.operation} ({', '.join(sorted(known))}), "
        f"then: dfh resume {info.id}. To run the operation again instead, first: rm -r {folder}"
    )
    return UsageError(message, hint)


def _known(layout: ExecutionLayout, job: Job) -> set[str]:
    """Return the formats that a job could save in."""
    able = {one for one in FORMATS if job.kind is not JobKind.ARRAY or FORMATS[one].can_gather}
    return {*able, *named_plugins(layout.code, "formats")} - {"any"}
