"""Warnings that are new to a submission: what the site does not tell is not said each time."""

from __future__ import annotations

from contextlib import suppress

from deepforge_hpc.errors import DeepforgeHpcError
from deepforge_hpc.runtime.base.advice import pipeline_command
from deepforge_hpc.runtime.base.layout import ExecutionLayout
from deepforge_hpc.runtime.base.notice import Notice
from deepforge_hpc.runtime.base.plan import Plan
from deepforge_hpc.submit import project
from deepforge_hpc.submit.frozen import read_info, read_plan

KIND = "site_unknown"


def new_warnings(layout: ExecutionLayout, plan: Plan) -> tuple[Notice, ...]:
    """Return the warnings of a plan, without what the last execution on its site warned of."""
    name, seen = _last_on(plan.site, layout, plan.pipeline)
    again = [one for one in plan.warnings if one.kind == KIND and one in seen]
    rest = tuple(one for one in plan.warnings if one not in again)
    if not again:
        return rest
    text = f"{len(again)} warning(s) of what site {plan.site} does not tell were told with "
    info = read_info(layout)
    step = pipeline_command("plan", info.pipeline_file, info.options, info.site)
    return (*rest, Notice(KIND, text + name, next=step, level="info"))


def _last_on(site: str, layout: ExecutionLayout, pipeline: str) -> tuple[str, tuple[Notice, ...]]:
    """Return the last execution of a pipeline before this one on a site, and all its warnings.

    Others may lie between them: who submits to two sites in turns is not told all each time.
    """
    own = project.number_of(layout.root.name)[1]
    earlier = project.numbered(layout.root.parent, pipeline)
    for number in sorted((number for number in earlier if number < own), reverse=True):
        before = ExecutionLayout(earlier[number])
        with suppress(DeepforgeHpcError):  # one that is damaged tells nothing
            info = read_info(before)
            if info.site == site:
                return before.root.name, read_plan(before, info).warnings
    return "", ()
