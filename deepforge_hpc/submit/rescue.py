"""What becomes of what an earlier attempt could not save, or could not publish.

`dfh submit` lays what an earlier execution kept into the new one, for jobs of which nothing but the
formats has changed since (`value_key`). `dfh resume` saves it in the format that `types:` names by
then. Later submissions reuse what either makes.
"""

from __future__ import annotations

import os
import shlex
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

from deepforge_hpc.errors import Fault, InvalidInputError, UsageError
from deepforge_hpc.runtime.base.codec import encode
from deepforge_hpc.runtime.base.execution import ExecutionInfo
from deepforge_hpc.runtime.base.files import publish_json
from deepforge_hpc.runtime.base.layout import (
    RESCUE_FORMATS,
    RESCUE_INDEX,
    TAKEN_ALONG,
    ExecutionLayout,
)
from deepforge_hpc.runtime.base.notice import INFO, Notice
from deepforge_hpc.runtime.base.plan import Job, JobKind, Plan
from deepforge_hpc.runtime.base.plugins import named_plugins
from deepforge_hpc.runtime.base.text import listed
from deepforge_hpc.runtime.formats import FORMATS
from deepforge_hpc.runtime.job.rescue import read, stranger
from deepforge_hpc.runtime.rank.messages import Rescue
from deepforge_hpc.runtime.rank.stamp import stamp
from deepforge_hpc.runtime.storage.local import LocalStorage
from deepforge_hpc.submit.reuse import Reused
from deepforge_hpc.submit.select import Selected

_SHOWN = 4
_STRANGE = "{} belongs to another user, and a pickle can run code"

Types = Mapping[str, Mapping[str, str]]
"""What a pipeline says under `types:`, by operation."""


def name_formats(
    layout: ExecutionLayout, info: ExecutionInfo, selected: Iterable[Selected]
) -> None:
    """Lay beside each rescue the formats of what it keeps; UsageError if one is not named."""
    types: Types | None = None
    for item in selected:
        for task in item.tasks or item.job.indices:
            folder = layout.job(item.job.name, task).rescue
            found = read(folder)
            if found is None or not found.is_of(item.job):  # then the operation runs again
                continue
            if path := stranger(folder, found):
                raise UsageError(_STRANGE.format(path), _anew(folder))
            if (folder / RESCUE_FORMATS).exists():  # `dfh submit` has named them
                continue
            if types is None:
                types = _types(Path(info.project, info.pipeline_file))
            named = {**found.lacking, **types.get(item.job.operation, {})}
            for name in found.kept:
                if named.get(name) not in _known(layout, item.job):
                    why = "no format that it can have is named"
                    raise _unnamed(item.job, name, why, f"then: {info.submit_command}")
            publish_json(folder / RESCUE_FORMATS, {name: named[name] for name in found.kept})


class Kept(NamedTuple):
    """What a job, or a task of one, of an earlier execution kept and a new one can take up."""

    job: Job
    """The new one's."""
    task: int | None
    folder: Path
    found: Rescue
    formats: dict[str, str]

    @property
    def story(self) -> tuple[str, str]:
        """Return the job, and what is to be said of it."""
        if not self.formats:
            return self.job.name, f"it publishes what {self.found.maker} made and could not"
        what = ", ".join(f"{name} as {kind}" for name, kind in sorted(self.formats.items()))
        return self.job.name, f"it saves what {self.found.maker} kept ({what})"

    def lay(self, layout: ExecutionLayout) -> None:
        """Give it a name in a new execution too, with what is shown of the work that made it.

        Raises UsageError if it cannot be read, or is another user's.
        """
        target = layout.job(self.job.name, self.task)
        target.rescue.mkdir(parents=True)
        place = LocalStorage(target.rescue)
        try:
            for path in self.found.sha256:
                place.link(self.folder / path, path)
        except OSError as error:
            message = f"{self.job.name}: what {self.found.maker} kept cannot be taken up"
            raise UsageError(f"{message}: {error}", _anew(self.folder)) from error
        if path := stranger(self.folder, self.found):
            raise UsageError(_STRANGE.format(path), _anew(self.folder))
        before = LocalStorage(self.folder)
        for path, stamped in self.found.unread.items():
            if stamp(before, path) != stamped:
                message = f"{self.folder / path} was changed since {self.found.maker} saved it"
                raise UsageError(message, _anew(self.folder))
        for name in TAKEN_ALONG:
            if (self.folder.parent / name).exists():
                LocalStorage(target.root).put(self.folder.parent / name, name)
        publish_json(target.rescue / RESCUE_FORMATS, self.formats)
        unread = {path: stamp(place, path) for path in self.found.unread}  # copies have other times
        publish_json(target.rescue / RESCUE_INDEX, encode(self.found._replace(unread=unread)))


def notices(found: Iterable[Kept]) -> Iterator[Notice]:
    """Yield what is to be said of all that is taken up: of an array that of its tasks at once."""
    units: dict[tuple[str, str], list[Kept]] = {}
    for item in found:
        units.setdefault(item.story, []).append(item)
    for (name, story), items in units.items():
        tasks = listed((str(item.task) for item in items), _SHOWN)
        which = "" if len(items) == len(items[0].job.indices) else f" task {tasks}"
        text = f"{name}{which} does not run again: {story}"
        yield Notice("taken_up", text, name, level=INFO)


def kept(
    plan: Plan,
    earlier: Iterable[tuple[ExecutionLayout, Plan]],
    types: Types,
    reused: Reused,
) -> Iterator[Kept]:
    """Yield what jobs can take up that earlier executions, the newest first, could not save.

    Only what the caller has made: it may hold pickles. Raises UsageError if of something that was
    kept nothing can be taken up, for `types` names no format, or another one for what was saved.
    """
    refused: dict[tuple[str, int | None], list[_NotTaken]] = {}
    todo = {
        (job.name, task): job
        for job in plan.jobs
        if job.value_key and job.name not in reused.jobs
        for task in job.indices
        if (job.name, task) not in reused.units
    }
    for layout, old in earlier if todo else ():
        for before in old.jobs:
            for task in before.indices:
                job = todo.get((before.name, task))
                if job is None or job.value_key != before.value_key:
                    continue
                folder = layout.job(before.name, task).rescue
                found = read(folder, owner=os.getuid())
                if not found or not found.is_of(job):
                    continue
                if not found.kept and not all((folder / path).exists() for path in found.sha256):
                    continue  # noted by a job that was killed: `dfh resume` goes on from it
                if error := _problem(job, found, types):
                    refused.setdefault((before.name, task), []).append(_NotTaken(error, folder))
                    continue
                del todo[before.name, task]
                refused.pop((before.name, task), None)
                named = {**found.lacking, **types.get(job.operation, {})}
                yield Kept(job, task, folder, found, {name: named[name] for name in found.kept})
        if not todo:
            return
    for several in refused.values():
        error = several[0].error
        error.hint += f". {_anew(*(one.folder for one in several))}"
        raise error


class _NotTaken(NamedTuple):
    error: UsageError
    folder: Path


def _problem(job: Job, found: Rescue, types: Types) -> UsageError | None:
    """Return why a job cannot take up what was kept."""
    named = {**found.lacking, **types.get(job.operation, {})}
    planned = {port.name: port.type for port in job.outputs}
    for name in found.kept:
        if name not in named:
            why = "no format is named for what it kept"
            return _unnamed(job, name, why, "then submit again")
    for name, saved in found.saved.items():
        if planned[name] not in {"any", saved.format}:
            message = (
                f"{job.name} is to save its output {name} as {planned[name]}, and what "
                f"{found.maker} kept has it as {saved.format}"
            )
            return UsageError(message, f"Name {saved.format} for it")
    return None


def _types(pipeline: Path) -> Types:
    """Return what the pipeline now says under `types:`; InvalidInputError if it has faults."""
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


def _known(layout: ExecutionLayout, job: Job) -> set[str]:
    """Return the formats that a job could save in."""
    return {*_able(job), *named_plugins(layout.code, "formats")}


def _able(job: Job) -> set[str]:
    """Return our own formats that a job could save in: the parts of an array are joined."""
    able = {one for one in FORMATS if job.kind is not JobKind.ARRAY or FORMATS[one].can_gather}
    return able - {"any"}


def _unnamed(job: Job, name: str, why: str, then: str) -> UsageError:
    able = _able(job)
    say = "pickle, say" if "pickle" in able else f"{' or '.join(sorted(able))}, if one keeps it"
    way = f"Write types: {{{name}: FORMAT}} under {job.operation} ({say}), or edit its code"
    return UsageError(f"{job.name} could not save its output {name}, and {why}", f"{way}; {then}")


def _anew(*folders: Path) -> str:
    return f"To run the operation again instead, first: rm -r {shlex.join(map(str, folders))}"
