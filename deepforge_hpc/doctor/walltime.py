"""How long a plan may take. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from deepforge_hpc.model.plan import Plan


def longest_s(plan: Plan) -> int:
    """Return the seconds that the jobs may run one after another, waiting in queues left out."""
    ends: dict[str, int] = {}
    for job in plan.jobs:
        begin = max((ends[name] for name in job.after), default=0)
        ends[job.name] = begin + (job.resources.time_s or 0)
    return max(ends.values(), default=0)
