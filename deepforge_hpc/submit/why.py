"""Why a job runs again although an earlier execution has its result."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from deepforge_hpc.files.project import Project, ProjectError
from deepforge_hpc.pipeline.interface import OperationInterface
from deepforge_hpc.pipeline.reach import Piece
from deepforge_hpc.pipeline.snapshot import PROJECT
from deepforge_hpc.pipeline.sources import Sources
from deepforge_hpc.processes import owner_name
from deepforge_hpc.runtime.base.layout import ExecutionLayout
from deepforge_hpc.runtime.base.plan import (
    InputBinding,
    Job,
    JobKind,
    OperationSource,
    Plan,
    argument_of,
)
from deepforge_hpc.runtime.base.text import listed
from deepforge_hpc.runtime.formats import FORMATS
from deepforge_hpc.runtime.state import marker
from deepforge_hpc.runtime.state.check import check
from deepforge_hpc.submit.results import runs_code

_MAX_MEMBERS = 3
"""Of a list of inputs: how many are told one by one."""
_UNSEEN = (
    "what it is made of changed (a file that `code:` names, its `env:`, or how its environment is "
    "named)"
)
_VERSION = "this version of dfh looks more closely at what a result depends on"


def reasons(
    plan: Plan,
    operations: Mapping[str, OperationInterface],
    earlier: Iterable[tuple[ExecutionLayout, Plan]],
    reused: Collection[str],
) -> dict[str, str]:
    """Return why each job runs that succeeded in an earlier execution: `its code changed ...`.

    Jobs that never succeeded have no reason but that.
    """
    todo = {
        job.name: job
        for job in plan.jobs
        if job.kind in (JobKind.RUN, JobKind.ARRAY) and job.name not in reused
    }
    found: dict[str, str] = {}
    for layout, old in earlier if todo else ():
        for before in old.jobs:
            job = todo.get(before.name)
            if job is not None and _succeeded(layout, before):
                del todo[job.name]
                changes = _JobChange(layout, old, before, plan, job, todo.keys() | found.keys())
                why = changes.tell(operations.get(job.operation))
                found[job.name] = f"{why} since {layout.root.name}"
        if not todo:
            break
    return {job.name: found[job.name] for job in plan.jobs if job.name in found}


def _succeeded(layout: ExecutionLayout, job: Job) -> bool:
    # As the judge has it: a sound marker of each task, and nothing else, is a success.
    return all(
        marker.find(layout.job(job.name, task), job.name, task, job.plan_key).marker
        for task in job.indices
    )


def _loss(layout: ExecutionLayout, job: Job) -> str:
    """Return why a result that would do is not taken over."""
    for task in job.indices:
        folder = layout.job(job.name, task)
        found = marker.find(folder, job.name, task, job.plan_key).marker
        for name, made in found.outputs.items() if found else ():
            try:
                fault = check(folder.root / made.path, made)
            except OSError as error:
                return f"its output {name} cannot be read ({error.strerror or error})"
            if runs_code(made) and (other := _other_owner(layout.root)):
                return f"its output {name} is a {made.format} of {other}, and that can run code"
            if fault.fault:
                return f"its output {name} {'is gone' if fault.is_missing else 'was modified'}"
    return "its result is there, and its record in the ledger is gone or damaged"


def _other_owner(path: Path) -> str:
    """Return whose a path is, if it is another user's."""
    return owner_name(path) if path.lstat().st_uid not in {0, os.geteuid()} else ""


@dataclass(frozen=True, slots=True)
class _JobChange:
    """One job as it was, and as it is."""

    layout: ExecutionLayout
    old: Plan
    before: Job
    plan: Plan
    job: Job
    again: Collection[str]
    """Jobs that run again."""

    def tell(self, interface: OperationInterface | None) -> str:
        """Return why it runs again: its loss if its key is the same, else what made another key.

        A key covers more than a plan holds (the files that `code:` names), so it may be unseen.
        """
        if self.old.key != self.plan.key:
            return _VERSION
        if self.before.plan_key == self.job.plan_key:
            return _loss(self.layout, self.before)
        found = [*self._changes(interface)] or [*self._variables()]
        return "; ".join(found) or _UNSEEN

    def _changes(self, interface: OperationInterface | None) -> Iterator[str]:
        yield from self._code(interface)
        yield from self._attributes()
        before = {item.name: item.sha256 for item in self.before.references}
        for item in self.job.references:
            if before.get(item.name) != item.sha256:
                yield f"its reference {item.name} changed ({item.source})"
        for name in before.keys() - {item.name for item in self.job.references}:
            yield f"its reference {name} is gone"
        yield from self._inputs()
        yield from self._software()
        for label in ("seed", "tasks", "environment"):
            if getattr(self.before, label) != getattr(self.job, label):
                yield f"its {label} changed"
        if self.old.site == self.plan.site:
            yield from self._variables()
        if self.before.launch.world_size != self.job.launch.world_size:
            ranks = (self.before.launch.world_size, self.job.launch.world_size)
            yield f"its ranks are {ranks[1]}, and were {ranks[0]}"
        elif self.job.launch.world_size > 1 and self.before.launch.name != self.job.launch.name:
            yield f"its launch is {self.job.launch.name}, and was {self.before.launch.name}"
        if _ports(self.before) != _ports(self.job):
            yield "its outputs or their types changed"

    def _code(self, interface: OperationInterface | None) -> Iterator[str]:
        before, now = self.before.source, self.job.source
        if before is None or now is None:
            return
        if (before.module, before.object) != (now.module, now.object):
            was = f"{_shown(before.module)}:{before.object}"
            yield f"its code is {_shown(now.module)}:{now.object}, and was {was}"
        elif before.argv != now.argv:
            yield "its command line changed"
        elif before.sha256 != now.sha256:
            place = self._place(before.object, interface.pieces if interface else ())
            yield f"its code changed ({place or _shown(now.module) or now.object})"
        elif _call(before) != _call(now):
            yield "how its code is called changed"

    def _place(self, name: str, pieces: tuple[Piece, ...]) -> str:
        """Return file and line of the first statement that the earlier code did not have."""
        assert self.before.source is not None
        root = self.layout.code / PROJECT
        known: set[tuple[str, str]] = set()
        with suppress(ProjectError, OSError, ValueError):
            sources = Sources(Project(root, root), FORMATS)
            known = {(one.path, one.sha256) for one in _pieces(sources, self.before.source, name)}
        new = next((item for item in pieces if (item.path, item.sha256) not in known), None)
        return f"{_shown(new.path)}, line {new.line}" if new is not None and known else ""

    def _attributes(self) -> Iterator[str]:
        before, now = (
            {**dict(job.defaults), **dict(job.attributes)} for job in (self.before, self.job)
        )
        names = [name for name in sorted({*before, *now}) if before.get(name) != now.get(name)]
        if names:
            shown = [f"{n} ({_value(before, n)} -> {_value(now, n)})" for n in names]
            yield f"its attribute{'s' * (len(names) > 1)} {listed(shown, 3)} changed"

    def _variables(self) -> Iterator[str]:
        """Yield which of its variables are others; no values, for one may be a secret.

        Those of another site are others too, and no key has them: then it is one that both have.
        """
        is_same_site = self.old.site == self.plan.site
        before, now = dict(self.before.env), dict(self.job.env)
        for name in sorted({*before, *now} if is_same_site else {*before} & {*now}):
            if before.get(name) != now.get(name):
                became = "changed" if name in before and name in now else "is new"
                yield f"its variable {name} {became if name in now else 'is gone'}"

    def _software(self) -> Iterator[str]:
        before, now = dict(self.before.software), dict(self.job.software)
        if now and not before:
            yield f"the packages of {self.before.environment.python or 'its image'} were not known"
        elif before and not now:
            yield f"the packages of {self.job.environment.python or 'its image'} are not known here"
        else:
            for name in sorted({*before, *now}):
                if before.get(name) != now.get(name):
                    yield _changed(name, before.get(name, ""), now.get(name, ""))

    def _inputs(self) -> Iterator[str]:
        """Yield what became of its inputs; of the members of a list the first few."""
        had, has = (Counter(map(_argument, job.inputs)) for job in (self.before, self.job))
        for name in sorted({*had, *has}):
            if had[name] and has[name] and had[name] != has[name]:
                yield f"its input {name} is {has[name]} outputs, and was {had[name]}"
            elif had[name] != has[name]:
                yield f"its input {name} is {'gone' if had[name] else 'new'}"
        before = {item.port: item for item in self.before.inputs}
        counts: Counter[str] = Counter()
        compare = _InputChange(self)
        for item in self.job.inputs:
            if item.port in before and (text := compare.change(before[item.port], item)):
                counts[_argument(item)] += 1
                if counts[_argument(item)] <= _MAX_MEMBERS:
                    yield text
        for name, number in counts.items():
            if number > _MAX_MEMBERS:
                yield f"{number - _MAX_MEMBERS} more of its input {name}"


class _InputChange:
    """Where the inputs of a job come from, as it was and as it is."""

    def __init__(self, found: _JobChange) -> None:
        self.again = found.again
        self.data = [{item.name: item for item in plan.inputs} for plan in (found.old, found.plan)]
        self.jobs = [{job.name: job for job in plan.jobs} for plan in (found.old, found.plan)]

    def change(self, old: InputBinding, item: InputBinding) -> str:
        """Return what is another now about one input; nothing if it is the same."""
        if (old.output, old.mapped) != (item.output, item.mapped):
            return f"its input {item.port} is another"
        if item.job is not None and old.job is not None:
            if text := self._producer(old.job, item.job, item.port):
                return text
        elif item.external is not None and old.external is not None:
            data, is_ = self.data[0].get(old.external), self.data[1][item.external]
            if data is None or _content(data) != _content(is_):
                return f"its input {item.external} changed ({is_.uri})"
        if old.type != item.type:
            return f"its input {item.port} comes as {item.type}, and came as {old.type}"
        return ""

    def _producer(self, old: str, new: str, port: str) -> str:
        """Return what is another now about the job that makes an input."""
        was, name = old.removesuffix(".gather"), new.removesuffix(".gather")
        if name in self.again:
            return f"{name}, which makes its input {port}, runs again"
        before, now = self.jobs[0].get(old), self.jobs[1].get(new)
        if before is None or now is None or before.plan_key == now.plan_key:
            return ""
        if was != name:
            return f"its input {port} is made by {name}, and was by {was}"
        if self._has_same_values(name):
            return f"only the format of {name}, which makes its input {port}, changed"
        return f"{name}, which makes its input {port}, changed"

    def _has_same_values(self, name: str) -> bool:
        """Tell whether an operation makes what it made, in other formats."""
        before, now = (jobs[name].value_key for jobs in self.jobs)
        return bool(now) and before == now


def _pieces(sources: Sources, source: OperationSource, name: str) -> Iterator[Piece]:
    """Yield what an operation's code was made of, by the frozen files that it names."""
    module = _shown(source.module)
    if source.kind not in {"script", "command"}:
        code = sources.find(f"{module}:{name}")
        yield from code.pieces if code else ()
        return
    words = (word.partition(f"{{code}}/{PROJECT}/")[2] for word in source.argv)
    for file in filter(None, (module, *words)):
        if file.endswith(".py"):
            found = sources.script(file, is_whole=False)
            yield from found.pieces if found else ()
        else:
            yield sources.data(file)


def _call(source: OperationSource) -> object:
    return source.kind, source.returns, source.parameters


def _argument(item: InputBinding) -> str:
    return argument_of(item.port)


def _changed(name: str, before: str, now: str) -> str:
    if "sha256:" in before + now:
        return f"the code of {name} changed"
    return f"{name} changed ({before or 'not there'} -> {now or 'not there'})"


def _content(data: Any) -> object:
    return data.sha256 or (data.uri, data.size, data.mtime_ns, data.listing)


def _ports(job: Job) -> list[tuple[str, str]]:
    return [(port.name, port.type) for port in job.outputs]


def _value(attributes: Mapping[str, Any], name: str) -> str:
    text = repr(attributes[name]) if name in attributes else "nothing"
    return text if len(text) <= 40 else f"{text[:37]}..."


def _shown(path: str) -> str:
    return path.removeprefix(f"{PROJECT}/")
