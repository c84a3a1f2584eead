"""The outline of a plan: what is shown and judged of one, also of an earlier version's."""

# Annotations are types here, which the codec reads.
from typing import Any, NamedTuple

from .codec import ShapeError, parse
from .execution import PLAN_SCHEMA
from .plan import DeclaredOutput, JobKind, LaunchCommand, Resources, cluster_of, indices_of

_MAX_TASKS = 100_000


class PlannedJob(NamedTuple):
    """What is shown and judged of a job: those fields of `Job`, the rest of it is not read."""

    name: str
    operation: str = ""
    kind: JobKind = JobKind.RUN
    tasks: int = 1
    after: tuple[str, ...] = ()
    dependency: str = "afterok"
    resources: Resources = Resources()
    directives: tuple[tuple[str, str], ...] = ()
    launch: LaunchCommand = LaunchCommand()
    attributes: tuple[tuple[str, Any], ...] = ()
    defaults: tuple[tuple[str, Any], ...] = ()
    computed: tuple[tuple[str, str], ...] = ()
    plan_key: str = ""

    @property
    def indices(self) -> tuple[int | None, ...]:
        """Return those of its tasks; (None,) of a job that is no array."""
        return indices_of(self.kind, self.tasks)

    @property
    def is_guarded(self) -> bool:
        """Tell whether it starts however those end that it waits for, and its guard decides."""
        return self.dependency == "afterany"


class Outline(NamedTuple):
    """What is shown and judged of a plan, of an earlier version too."""

    pipeline: str = ""
    site: str = ""
    scheduler: str = ""
    jobs: tuple[PlannedJob, ...] = ()
    outputs: tuple[DeclaredOutput, ...] = ()
    schema: str = PLAN_SCHEMA

    @property
    def cluster(self) -> str:
        """Return the cluster that the site names; empty: the one that a shell reaches."""
        return cluster_of(self.jobs[-1].directives) if self.jobs else ""


def parse_outline(content: bytes) -> Outline:
    """Return what is shown of the plan that a file holds; ShapeError if it cannot be."""
    found = parse(Outline, content, is_open=True)
    for at, job in enumerate(found.jobs):
        if job.name in {"", ".", ".."} or "/" in job.name or not 0 < job.tasks <= _MAX_TASKS:
            problem = f"{job.name!r} of {job.tasks} tasks is no job that has folders"
            raise ShapeError(problem, f"jobs[{at}]")
    return found
