"""All operations at a glance: the graph and when each ran; of very many, a field of squares."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, NamedTuple

from .report_data import WAITING
from .report_graph import Node, draw_graphs
from .report_looks import LOOKS, URGENT, Operation, anchor, icon
from .report_text import count, duration, esc, moment, parse_time, plain
from .states import State

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from .report_data import Execution

MAX_CARDS = 60
"""Above this number of operations, the graph and most cards give way to a table."""
MAX_ROWS = 1500
_WORTH_WORDS_S = 10
"""A shorter wait is the scheduler's own time, not a queue's."""
_TRACK = 1000
_LEAST = 5
"""Of a bar: what took no time to speak of is still to be seen."""


def overview(execution: Execution, groups: Sequence[Operation]) -> str:
    """Return the part of the page about the whole execution."""
    if not groups:
        return ""
    if len(groups) > MAX_CARDS:
        return _field(groups) + _table(groups, execution.now)
    return _graph(groups) + _timeline(execution, groups)


def _graph(groups: Sequence[Operation]) -> str:
    owner = {job.name: group.name for group in groups for job in group.jobs}
    nodes = []
    for group in groups:
        look = LOOKS[group.state]
        needed = dict.fromkeys(owner.get(name, "") for job in group.jobs for name in job.after)
        total = len(group.main.tasks)
        is_partial = total > 1 and not group.state.is_success and group.state not in WAITING
        nodes.append(
            Node(
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


class _Span(NamedTuple):
    """When an operation could have begun, began and ended."""

    operation: Operation
    ready: datetime
    start: datetime
    end: datetime


def _timeline(execution: Execution, groups: Sequence[Operation]) -> str:
    """Return a bar for each operation that ran here, after the time that it waited in the queue."""
    spans = _spans(execution, groups)
    if len(spans) < 2:
        return ""
    begin, end = min(span.ready for span in spans), max(span.end for span in spans)
    whole = max(1e-3, (end - begin).total_seconds())

    def at(time: datetime) -> float:
        return min(_TRACK - _LEAST, round((time - begin).total_seconds() / whole * _TRACK, 1))

    rows = "".join(
        _track(span, at(span.ready), at(span.start), at(span.end) if span.end < end else _TRACK)
        for span in spans
    )
    same_day = begin.date() == end.date()
    until = f"{end:%H:%M} UTC" if same_day else moment(end)
    return (
        f'<section class="times"><h2>Timeline <span>{moment(begin)} to {until}</span></h2>'
        f"<ol>{rows}</ol></section>"
    )


def _spans(execution: Execution, groups: Sequence[Operation]) -> list[_Span]:
    jobs = {job.name: job for job in execution.jobs}
    created = parse_time(execution.info.get("created"))
    spans = []
    for group in groups:
        began = group.started()
        elapsed = group.elapsed(execution.now)
        if began is None or elapsed is None or group.state is State.REUSED:
            continue
        main = group.main
        # What an earlier attempt made does not tell since when this one waited.
        known = [job for job in map(jobs.get, main.after) if job and job.attempt == main.attempt]
        ends = [task.ended for job in known for task in job.tasks if task.ended]
        ready = max(ends, default=None) or (created if main.attempt <= 1 else None) or began
        end = group.ended() or execution.now
        spans.append(_Span(group, min(ready, began), began, max(end, began)))
    return spans


def _track(span: _Span, ready: float, start: float, end: float) -> str:
    group, look = span.operation, LOOKS[span.operation.state]
    waited = (span.start - span.ready).total_seconds()
    ran = duration((span.end - span.start).total_seconds())
    words = f"waited {duration(waited)}, " if waited >= _WORTH_WORDS_S else ""
    bar = (
        f'<svg viewBox="0 0 {_TRACK} 16" preserveAspectRatio="none" aria-hidden="true">'
        f'<rect class="rail" y="7.5" width="{_TRACK}" height="1"/>'
        f'<rect class="lag" x="{ready}" y="6" width="{max(0.0, start - ready):.1f}" height="4"/>'
        f'<rect class="fill" x="{start}" y="2" width="{max(_LEAST, end - start):.1f}" height="12"/>'
        "</svg>"
    )
    name = f'<a href="#{anchor(group.name)}">{esc(group.name)}</a>'
    return f'<li class="{look.css}"><b>{name}</b>{bar}<span>{words}ran {ran}</span></li>'


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
