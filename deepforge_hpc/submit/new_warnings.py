"""Warnings that are new to a submission: what the site does not tell is not said each time."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress

from deepforge_hpc.errors import DeepforgeHpcError
from deepforge_hpc.runtime.base.advice import pipeline_command
from deepforge_hpc.runtime.base.layout import ExecutionLayout
from deepforge_hpc.runtime.base.notice import Notice
from deepforge_hpc.runtime.base.plan import Plan
from deepforge_hpc.submit import project
from deepforge_hpc.submit.frozen import read_info, read_plan

KIND = "site_unknown"
_KINDS = frozenset({KIND, "too_many_jobs"})
"""Of what a site does not tell; the latter as a doubt, for what is certain is refused."""
_MOST = 20
"""Executions that are looked at."""


def new_warnings(layout: ExecutionLayout, plan: Plan) -> tuple[Notice, ...]:
    """Return the warnings of a plan, without what earlier executions on its site warned of."""
    unsaid = {one for one in plan.warnings if one.kind in _KINDS}
    known: dict[Notice, str] = {}
    for name, warnings in _on(plan.site, layout, plan.pipeline) if unsaid else ():
        known = {**dict.fromkeys(unsaid.intersection(warnings), name), **known}
        if len(known) == len(unsaid):
            break
    rest = tuple(one for one in plan.warnings if one not in known)
    if not known:
        return rest
    text = f"{len(known)} warning(s) of what the file of site {plan.site} leaves open are those of "
    text += max(known.values(), key=project.number_of)
    info = read_info(layout)
    step = pipeline_command("plan", info.pipeline_file, info.options, info.site)
    return (*rest, Notice(KIND, text, next=step, level="info"))


def _on(
    site: str, layout: ExecutionLayout, pipeline: str
) -> Iterator[tuple[str, tuple[Notice, ...]]]:
    """Yield the executions of a pipeline before this one on a site, and all their warnings.

    The last first. Each has its own part of them: one of `--only` some operations has few.
    """
    own = project.number_of(layout.root.name)[1]
    earlier = project.numbered(layout.root.parent, pipeline)
    numbers = sorted((number for number in earlier if number < own), reverse=True)
    for number in numbers[:_MOST]:
        before = ExecutionLayout(earlier[number])
        with suppress(DeepforgeHpcError):  # one that is damaged tells nothing
            info = read_info(before)
            if info.site == site:
                yield before.root.name, read_plan(before, info).warnings
