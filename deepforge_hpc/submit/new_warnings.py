"""Warnings that are new to a submission: what the site does not tell is not said each time."""

from __future__ import annotations

from deepforge_hpc.errors import DeepforgeHpcError
from deepforge_hpc.runtime.base.advice import pipeline_command
from deepforge_hpc.runtime.base.layout import ExecutionLayout
from deepforge_hpc.runtime.base.notice import Notice
from deepforge_hpc.runtime.base.plan import Plan
from deepforge_hpc.submit import project
from deepforge_hpc.submit.frozen import read_info, read_plan

KIND = "site_unknown"


def new_warnings(layout: ExecutionLayout, plan: Plan) -> tuple[Notice, ...]:
    """Return the warnings of a plan, without what the last execution of the pipeline warned of."""
    own = project.number_of(layout.root.name)[1]
    earlier = project.numbered(layout.root.parent, plan.pipeline)
    last = max((number for number in earlier if number < own), default=None)
    if last is None:
        return plan.warnings
    before = ExecutionLayout(earlier[last])
    try:
        seen = read_plan(before, read_info(before)).warnings
    except DeepforgeHpcError:  # then all is told
        return plan.warnings
    again = [one for one in plan.warnings if one.kind == KIND and one in seen]
    rest = tuple(one for one in plan.warnings if one not in again)
    if not again:
        return rest
    text = f"{len(again)} warning(s) of what site {plan.site} does not tell were told with "
    info = read_info(layout)
    step = pipeline_command("plan", info.pipeline_file, info.options, info.site)
    return (*rest, Notice(KIND, text + before.root.name, next=step, level="info"))
