"""When each operation waited in the queue and ran, as bars on one scale of time."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

from ..base.states import State
from ..base.text import duration
from ..base.times import parse_time
from ..state.status import ExecutionStatus
from .looks import LOOKS, Operation, anchor
from .markup import esc

if TYPE_CHECKING:
    from datetime import datetime

_WORTH_WORDS_S = 10
"""A shorter wait is the scheduler's own time, not a queue's."""
_SHORT_S = 3600
"""Of a shorter period the seconds are told."""
_TRACK, _HEIGHT = 1000, 24
_LEAST = 5
"""Of a bar: what took no time to speak of is still to be seen."""
_INTERVALS = 5
_STEPS_S = (
    *(1, 2, 5, 10, 20, 30),
    *(60 * minutes for minutes in (1, 2, 3, 5, 10, 20, 30)),
    *(3600 * hours for hours in (1, 2, 3, 6, 12, 24, 48)),
)


class _Row(NamedTuple):
    """When an operation could have begun, began and ended; `first` in an earlier attempt."""

    operation: Operation
    ready: datetime
    start: datetime
    end: datetime
    elapsed_s: float
    first: datetime | None


def timeline(execution: ExecutionStatus, groups: Sequence[Operation]) -> str:
    """Return a bar for each operation that ran here, after the time that it waited in the queue."""
    items = _rows(execution, groups)
    if len(items) < 2:
        return ""
    begin, end = min(item.first or item.ready for item in items), max(item.end for item in items)
    whole = max(1e-3, (end - begin).total_seconds())
    marks = ticks(whole)
    grid = "".join(f"M{_TRACK * mark / whole:.1f} 0v{_HEIGHT}" for mark in marks)

    def at(time: datetime) -> float:
        return min(_TRACK - _LEAST, round((time - begin).total_seconds() / whole * _TRACK, 1))

    rows = "".join(
        _track(
            item,
            at(item.first or item.ready),
            at(item.start),
            at(item.end) if item.end < end else _TRACK,
            grid,
        )
        for item in items
    )
    return (
        f'<section class="times"><h2>Timeline <span>{_period(begin, end)}</span></h2>'
        f"<ol>{rows}{_axis(marks, whole)}</ol></section>"
    )


def ticks(whole: float) -> list[int]:
    """Return round numbers of seconds from 0 up to `whole`, at most six."""
    day = 86400
    step = next((step for step in _STEPS_S if whole <= step * _INTERVALS), None)
    step = step or math.ceil(whole / _INTERVALS / day) * day
    return list(range(0, math.floor(whole) + 1, step))


def _axis(marks: Sequence[int], whole: float) -> str:
    """Return the times since the begin, each below its line."""
    labels = ""
    for mark in marks:
        share = mark / whole
        side = "" if mark == 0 else " end" if share > 0.96 else " mid"
        words = f"{mark} s" if mark < 60 else duration(mark)
        labels += f'<text class="tick{side}" x="{100 * share:.2f}%" y="12">{words}</text>'
    return f'<li class="axis-row" aria-hidden="true"><svg>{labels}</svg></li>'


def _period(begin: datetime, end: datetime) -> str:
    """Return `2026-11-01 12:03 to 14:10 UTC`, with seconds if they make a difference."""
    is_short = (end - begin).total_seconds() < _SHORT_S
    clock = "%H:%M:%S" if is_short else "%H:%M"
    day = "" if begin.date() == end.date() else "%Y-%m-%d "
    return f"{begin:%Y-%m-%d {clock}} to {end:{day}{clock}} UTC"


def _rows(execution: ExecutionStatus, groups: Sequence[Operation]) -> list[_Row]:
    jobs = {job.name: job for job in execution.work}
    created = parse_time(execution.info.created)
    items = []
    for group in groups:
        began = group.started()
        elapsed = group.elapsed(execution.now)
        if began is None or elapsed is None or group.state is State.REUSED:
            continue
        main = group.main
        # What an earlier attempt made does not tell since when this one waited.
        before = filter(None, map(jobs.get, main.plan.after))
        known = [job for job in before if job.attempt == main.attempt]
        ends = filter(None, (task.ended_at for job in known for task in job.units))
        ready = max(ends, default=None) or (created if main.attempt <= 1 else None) or began
        end = group.ended() or execution.now
        items.append(_Row(group, min(ready, began), began, max(end, began), elapsed, group.first()))
    return items


def _track(item: _Row, ready: float, start: float, end: float, grid: str) -> str:
    group, look = item.operation, LOOKS[item.operation.state]
    waited = (item.start - item.ready).total_seconds()
    ran = duration(item.elapsed_s)
    words = f"waited {duration(waited)}, " if waited >= _WORTH_WORDS_S else ""
    if item.first is not None:
        words = f"first {duration((item.start - item.first).total_seconds())} earlier, then "
    bar = (
        f'<svg viewBox="0 0 {_TRACK} {_HEIGHT}" preserveAspectRatio="none" aria-hidden="true">'
        f'<path class="grid" d="{grid}"/>'
        f'<rect class="rail" y="11.5" width="{_TRACK}" height="1"/>'
        f'<rect class="lag" x="{ready}" y="10" width="{max(0.0, start - ready):.1f}" height="4"/>'
        f'<rect class="fill" x="{start}" y="6" width="{max(_LEAST, end - start):.1f}" height="12"/>'
        "</svg>"
    )
    name = f'<a href="#{anchor(group.name)}">{esc(group.name)}</a>'
    return f'<li class="{look.css}"><b>{name}</b>{bar}<span>{words}ran {ran}</span></li>'
