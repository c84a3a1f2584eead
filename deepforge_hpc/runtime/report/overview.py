"""All operations at a glance: the graph and the times; of very many, a field of squares."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING

from ..base.states import WAITING, State
from ..base.text import count, duration, plain
from ..state.status import ExecutionStatus
from .graph import Box, draw_graphs
from .looks import LOOKS, URGENT, Operation, anchor, icon
from .markup import esc
from .times import timeline

if TYPE_CHECKING:
    from datetime import datetime

MAX_CARDS = 60
"""Above this number of operations, the graph and most cards give way to a table."""
MAX_ROWS = 1500


def overview(execution: ExecutionStatus, groups: Sequence[Operation]) -> str:
    """Return the part of the page about the whole execution."""
    if not groups:
        return ""
    if len(groups) > MAX_CARDS:
        return _field(groups) + _table(groups, execution.now)
    return _graph(groups) + timeline(execution, groups)


def _graph(groups: Sequence[Operation]) -> str:
    owner = {job.name: group.name for group in groups for job in group.jobs}
    nodes = []
    for group in groups:
        look = LOOKS[group.state]
        needed = dict.fromkeys(owner.get(name, "") for job in group.jobs for name in job.plan.after)
        total = len(group.main.units)
        is_partial = total > 1 and not group.state.is_success and group.state not in WAITING
        nodes.append(
            Box(
                name=group.name,
                after=tuple(name for name in needed if name != group.name),
                css=look.css,
                icon=look.icon,
                words=group.words(),
                is_done=group.state.is_success,
                share=group.main.done / total if is_partial else None,
                link=f"#{anchor(group.name)}",
            )
        )
    return (
        '<section class="graph"><h2>Pipeline</h2>'
        f'<div class="scroll">{draw_graphs(nodes)}</div></section>'
    )


def _field(groups: Sequence[Operation]) -> str:
    """Return a square for each operation, in the order of the plan, and what the colours mean."""
    states = Counter(group.state for group in groups)
    order = [state for state in LOOKS if states[state]]
    order.sort(key=lambda state: (not state.is_success, not state.is_final, state in WAITING))
    key = "".join(
        f'<li class="{LOOKS[state].css}">{icon(LOOKS[state].icon)}'
        f"<b>{states[state]}</b> {LOOKS[state].word}</li>"
        for state in order
    )
    step = 10 if len(groups) <= 2 * MAX_ROWS else 5
    found = [group.state for group in groups]
    drawings = _squares(found, 1030 // step, step, "wide fit")
    drawings += _squares(found, 320 // step, step, "narrow")
    return (
        f'<section class="graph field"><h2>{len(groups)} operations</h2>'
        f'<div class="scroll">{drawings}<ul class="key">{key}</ul></div></section>'
    )


def _squares(states: Sequence[State], columns: int, step: int, css: str) -> str:
    """Return squares in rows: neighbours of one state are one dashed line, so the page stays small.

    The pattern of dashes begins anew with each line.
    """
    size = step - max(1, step // 5)
    paths: dict[State, str] = {}
    for row, first in enumerate(range(0, len(states), columns)):
        line = states[first : first + columns]
        begin = 0
        for column, state in enumerate(line):
            if column + 1 == len(line) or line[column + 1] is not state:
                length = (column - begin) * step + size
                paths[state] = (
                    f"{paths.get(state, '')}M{begin * step} {row * step + size / 2:g}h{length}"
                )
                begin = column + 1
    width, height = columns * step, -(-len(states) // columns) * step
    drawn = "".join(
        f'<path class="{LOOKS[state].css}" d="{path}"/>' for state, path in paths.items()
    )
    return (
        f'<svg class="{css}" role="img" aria-label="A square for each operation; the numbers stand '
        f'below." width="{width}" height="{height}" viewBox="0 0 {width} {height}" '
        f'stroke-width="{size}" stroke-dasharray="{size} {step - size}">{drawn}</svg>'
    )


def _table(groups: Sequence[Operation], now: datetime) -> str:
    """Return every operation in one line, those that need a look first."""
    rest = [state for state in LOOKS if state not in URGENT]
    rank = {state: index for index, state in enumerate([*URGENT, *rest])}
    ranked = sorted(groups, key=lambda group: rank[group.state])
    rows = "".join(_row(group, now) for group in ranked[:MAX_ROWS])
    more = len(ranked) - MAX_ROWS
    note = f'<p class="note">{count(more, "more operation")} not listed.</p>' if more > 0 else ""
    head = "<tr><th>Operation</th><th>State</th><th>Time</th><th>Reason</th></tr>"
    return (
        f'<section class="list"><h2>All operations</h2><div class="scroll tall" tabindex="0">'
        f"<table>{head}{rows}</table></div>{note}</section>"
    )


def _row(group: Operation, now: datetime) -> str:
    reason = next((plain(task.reason, 160) for task in group.tasks if task.reason), "")
    look = LOOKS[group.state]
    return (
        f'<tr><th scope="row">{esc(group.name)}</th>'
        f'<td class="{look.css}">{icon(look.icon)}{group.words()}</td>'
        f"<td>{duration(group.elapsed(now))}</td><td>{esc(reason)}</td></tr>"
    )
