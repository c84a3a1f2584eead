"""Take over results that an earlier execution of the project made under the same plan key.

Only what succeeded and still is what its marker says. Outputs are linked (else copied) into the new
execution, never pointed to, so that either execution can be removed.
"""

from __future__ import annotations

import shutil
from collections import Counter
from collections.abc import Collection, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path

from deepforge_hpc.errors import StorageError
from deepforge_hpc.runtime.base.context import Context, hostname, timestamp
from deepforge_hpc.runtime.base.execution import ExecutionInfo
from deepforge_hpc.runtime.base.failure import explain_os_error, resume_hint
from deepforge_hpc.runtime.base.files import sync_path
from deepforge_hpc.runtime.base.layout import TAKEN_ALONG, ExecutionLayout
from deepforge_hpc.runtime.base.plan import Job, JobKind, Plan
from deepforge_hpc.runtime.base.states import State
from deepforge_hpc.runtime.job.destination import Destination, with_places
from deepforge_hpc.runtime.state import marker, statefile
from deepforge_hpc.runtime.state.marker import Marker, ReusedFrom
from deepforge_hpc.runtime.state.record import Published, reuse_record, write_record
from deepforge_hpc.runtime.storage.local import LocalStorage
from deepforge_hpc.submit.earlier import EarlierExecutions
from deepforge_hpc.submit.results import EarlierResult, Results

_ATTEMPT = 0
"""No attempt of the new execution ran it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Reused:
    """What an execution takes over."""

    jobs: dict[str, ReusedFrom] = field(default_factory=dict)
    """Job -> where its result comes from; of an array, where that of its first task does."""
    units: frozenset[tuple[str, int | None]] = frozenset()
    """Each job and array task."""
    made_with: Mapping[str, Collection[str]] = field(default_factory=dict)
    """Job -> digests of the lists of packages that its results were made with."""


def apply(
    layout: ExecutionLayout, info: ExecutionInfo, plan: Plan, earlier: EarlierExecutions
) -> Reused:
    """Fill a new execution with what can be reused.

    Tasks of an array are reused one by one, and none is needed where its gather job is. Jobs that
    were reused have a success marker; `chain.submit` leaves them out.
    """
    return _choose(plan, _Reuse(layout, info, plan, earlier))


def foresee(plan: Plan, earlier: EarlierExecutions) -> Reused:
    """Return what `apply` would take over; nothing is written."""
    return _choose(plan, _Foresight(earlier))


def publish(layout: ExecutionLayout, info: ExecutionInfo, plan: Plan) -> None:
    """Lay what an execution took over where its pipeline wants it (`outputs.to`).

    For who holds the claims of these places alone. StorageError if one cannot be written: all
    copies are whole before the first gets its name.
    """
    try:
        with ExitStack() as stack:
            ready = [
                (found.record, stack.enter_context(Destination.prepared(context, outputs)))
                for context, found, outputs in _taken_over(layout, info, plan)
            ]
            for record, destination in ready:
                destination.publish(record)
    except OSError as error:
        message = f"What was reused could not be published: {explain_os_error(error)}"
        raise StorageError(message, resume_hint(error, info.id)) from error


def _taken_over(
    layout: ExecutionLayout, info: ExecutionInfo, plan: Plan
) -> Iterator[tuple[Context, Marker, list[Published]]]:
    """Yield the jobs with a result of an earlier execution and a place where it is wanted."""
    for name in dict.fromkeys(output.job for output in plan.outputs if output.to):
        job, folder = plan.job(name), layout.job(name)
        found = marker.find(folder, name, None, job.plan_key).marker
        if found is not None and found.reused_from is not None:
            outputs = [
                Published(output, entry, folder.root / entry.path)
                for output, entry in found.outputs.items()
            ]
            yield Context(layout, info, plan, job, None, _ATTEMPT), found, outputs


def sent(plan: Plan, project: Path) -> dict[str, int]:
    """Return how many of each job, or of its tasks, a submission would not reuse."""
    foreseen = foresee(plan, EarlierExecutions(plan.pipeline, project))
    taken = Counter(name for name, _ in foreseen.units)
    left = {job.name: job.tasks - taken[job.name] for job in plan.jobs}
    return {**left, **dict.fromkeys(foreseen.jobs, 0)}


def _choose(plan: Plan, foresight: _Foresight) -> Reused:
    found: dict[str, ReusedFrom] = {}
    gathered = {}
    for job in plan.jobs:
        if job.kind is JobKind.GATHER and (source := foresight.take(job, None)):
            found[job.name] = gathered[job.operation] = source
    for job in plan.jobs:
        if job.kind is JobKind.RUN and (source := foresight.take(job, None)):
            found[job.name] = source
        elif job.kind is JobKind.ARRAY and job.operation in gathered:
            found[job.name] = gathered[job.operation]
            foresight.skip_tasks(job, gathered[job.operation])
        elif job.kind is JobKind.ARRAY:
            sources = [foresight.take(job, task) for task in range(job.tasks)]
            if sources[0] is not None and all(sources):
                found[job.name] = sources[0]
    jobs = {job.name: found[job.name] for job in plan.jobs if job.name in found}
    return Reused(jobs=jobs, units=frozenset(foresight.taken), made_with=dict(foresight.made_with))


class _Foresight:
    """Takes results over in thought only."""

    def __init__(self, earlier: EarlierExecutions) -> None:
        self._results = Results(earlier)
        self.taken: set[tuple[str, int | None]] = set()
        self.made_with: dict[str, set[str]] = {}

    def take(self, job: Job, task: int | None) -> ReusedFrom | None:
        """Take over the newest sound result of a job or task; None if there is none."""
        for earlier in self._results.sound(job, task):
            if self._adopt(earlier, job, task):
                self.taken.add((job.name, task))
                self._note(job, earlier)
                return earlier.reused_from
        return None

    def skip_tasks(self, job: Job, source: ReusedFrom) -> None:  # noqa: ARG002
        """Note that the tasks of an array are not needed: their parts are in a gathered value."""
        for earlier in islice(self._results.sound(job, 0), 1):  # one tells of their packages
            self._note(job, earlier)

    def _note(self, job: Job, earlier: EarlierResult) -> None:
        if packages := earlier.record.data.environment.packages:
            self.made_with.setdefault(job.name, set()).add(packages)

    def _adopt(self, earlier: EarlierResult, job: Job, task: int | None) -> bool:  # noqa: ARG002
        return True


class _Reuse(_Foresight):
    """Links results into a new execution."""

    def __init__(
        self,
        layout: ExecutionLayout,
        info: ExecutionInfo,
        plan: Plan,
        earlier: EarlierExecutions,
    ) -> None:
        super().__init__(earlier)
        self._layout = layout
        self._plan = plan
        self._info = info

    def skip_tasks(self, job: Job, source: ReusedFrom) -> None:
        super().skip_tasks(job, source)
        for task in range(job.tasks):
            folder = self._layout.job(job.name, task)
            folder.root.mkdir(parents=True, exist_ok=True)
            marker.write(
                folder, Marker(job.name, task, _ATTEMPT, job.plan_key, source.record, {}, source)
            )

    def _adopt(self, earlier: EarlierResult, job: Job, task: int | None) -> bool:
        try:
            self._link(earlier, job, task)
        except OSError:
            # No room, no rights, or gone in the meantime: then the job runs.
            folder = self._layout.job(job.name, task)
            shutil.rmtree(folder.outputs, ignore_errors=True)
            folder.state.unlink(missing_ok=True)
            return False
        return True

    def _link(self, earlier: EarlierResult, job: Job, task: int | None) -> None:
        """Link the outputs, then write record, state and marker, in this order.

        The record names the places of `outputs.to`, which `publish` fills once they are claimed.
        """
        folder = self._layout.job(job.name, task)
        folder.outputs.mkdir(parents=True, exist_ok=True)
        place = LocalStorage(folder.root)
        outputs = []
        for name, entry in earlier.marker.outputs.items():
            place.link(earlier.folder.root / entry.path, entry.path)
            described = entry._replace(mtime_ns=place.stat(entry.path).mtime_ns)
            outputs.append(Published(name, described, place.path_of(entry.path)))
        sync_path(folder.outputs)  # their names, and what could only be copied
        for name in TAKEN_ALONG:
            if (earlier.folder.root / name).exists():
                place.link(earlier.folder.root / name, name)
        context = Context(self._layout, self._info, self._plan, job, task, _ATTEMPT)
        origin = earlier.reused_from
        placed = with_places(context, outputs)
        data = reuse_record(context, earlier.record.data, origin, placed)
        identity = write_record(context.ledger, data)
        reason = f"Taken from {origin.execution}."
        state = statefile.Said(
            State.REUSED, _ATTEMPT, job.name, task, timestamp(), host=hostname(), reason=reason
        )
        statefile.publish(folder, state, durable=False)
        made = {item.name: item.entry for item in outputs}
        marker.write(folder, Marker(job.name, task, _ATTEMPT, job.plan_key, identity, made, origin))
