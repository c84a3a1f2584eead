"""Which operations a plan holds, and which of its jobs end last. Pure."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from deepforge_hpc.runtime.base.plan import Job


def with_producers(
    selection: Collection[str] | None, graph: Mapping[str, Collection[str]]
) -> frozenset[str]:
    """Return the selected operations (None: all) and all that they wait for."""
    seen: set[str] = set()
    todo = list(graph if selection is None else selection)
    while todo:
        name = todo.pop()
        if name not in seen:
            seen.add(name)
            todo.extend(graph[name])
    return frozenset(seen)


def last_jobs(jobs: Iterable[Job]) -> tuple[str, ...]:
    """Return the jobs after which no job of a chain can still run, sorted.

    The leaves alone are too few: a leaf with two producers is cancelled as soon as one fails, while
    the other may still run. A job need not be waited for if some job waits for it alone.
    """
    names = []
    covered = set()
    for job in jobs:
        names.append(job.name)
        if len(job.after) == 1:
            covered.add(job.after[0])
    return tuple(sorted(name for name in names if name not in covered))
