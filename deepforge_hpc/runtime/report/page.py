"""The report as one page: the answer first, then the graph, the operations and their results.

No scripts, no fonts, no addresses: everything stands in the file, and its policy forbids the rest.
"""

from __future__ import annotations

import base64
import hashlib
import pkgutil
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence

from ..base.states import State
from ..base.text import NONE, count, duration, listed, number, plain
from ..base.times import moment, parse_time
from ..state.status import ExecutionStatus, elapsed_s
from .details import Details
from .failures import failures
from .jobs import operation_card, operation_row
from .looks import LOOKS, URGENT, Operation, anchor, badge, icon
from .markup import esc
from .overview import overview

_MAX_TILES = 6
_REFRESH_S = 30

# 16 x 16, drawn with the colour of the text around them.
_ICONS = {
    "check": '<circle cx="8" cy="8" r="7"/><path d="M4.8 8.3l2.2 2.2 4.3-4.6"/>',
    "cross": '<circle cx="8" cy="8" r="7"/><path d="M5.4 5.4l5.2 5.2M10.6 5.4l-5.2 5.2"/>',
    "play": '<circle cx="8" cy="8" r="7"/><path class="solid" d="M6.4 5v6l4.8-3z"/>',
    "clock": '<circle cx="8" cy="8" r="7"/><path d="M8 4.2V8l2.6 1.8"/>',
    "pause": '<circle cx="8" cy="8" r="7"/><path d="M6.3 5.4v5.2M9.7 5.4v5.2"/>',
    "dash": '<circle cx="8" cy="8" r="7" stroke-dasharray="2.4 2"/>',
    "slash": '<circle cx="8" cy="8" r="7"/><path d="M3.4 12.6l9.2-9.2"/>',
    "bang": '<path d="M8 1.6L15 14H1z"/><path d="M8 6v4M8 11.7v.5"/>',
    "ask": '<circle cx="8" cy="8" r="7"/>'
    '<path d="M6 6.3a2 2 0 113 1.7c-.7.4-1 .8-1 1.5M8 11.5v.5"/>',
}


def render_page(
    execution: ExecutionStatus,
    groups: Sequence[Operation],
    details: Mapping[str, Sequence[Details]],
) -> bytes:
    """Return the page; `details` by operation, for those that get a part of their own."""
    css = (pkgutil.get_data(__package__, "report.css") or b"").decode()
    digest = base64.b64encode(hashlib.sha256(css.encode()).digest()).decode()
    policy = (
        f"default-src 'none'; img-src data:; style-src 'sha256-{digest}'; "
        "base-uri 'none'; form-action 'none'"
    )
    refresh = "" if execution.is_over else f'<meta http-equiv="refresh" content="{_REFRESH_S}">'
    name = plain(execution.info.pipeline, 200) or "unknown pipeline"
    title = f"{LOOKS[execution.state].word}: {plain(execution.id, 200)}"
    body = "".join(
        [
            _header(execution, groups, name),
            _problems(execution),
            failures(execution, groups),
            _tiles(groups, details),
            overview(execution, groups),
            _cards(execution, groups, details),
            _footer(execution),
        ]
    )
    symbols = "".join(
        f'<symbol id="i-{key}" viewBox="0 0 16 16">{shape}</symbol>'
        for key, shape in _ICONS.items()
    )
    return (
        '<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8">'
        f'<meta http-equiv="Content-Security-Policy" content="{policy}">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        '<meta name="color-scheme" content="light dark">'
        '<meta name="referrer" content="no-referrer">'
        f'<title>{esc(title)}</title><link rel="icon" href="data:,">{refresh}'
        f"<style>{css}</style></head><body>"
        f'<svg class="symbols" aria-hidden="true">{symbols}</svg>'
        f"<main>{body}</main></body></html>\n"
    ).encode("utf-8", "replace")


def _header(execution: ExecutionStatus, groups: Sequence[Operation], name: str) -> str:
    start = parse_time(min((job.started for job in execution.work if job.started), default=""))
    elapsed = elapsed_s([unit for job in execution.work for unit in job.units], execution.at)
    facts = {
        "Execution": plain(execution.id, 200),
        "Site": plain(execution.info.site, 200) or NONE,
        "Started": moment(start),
        "Elapsed": duration(elapsed),
        "Operations": f"{execution.done} of {len(groups)} done",
        "Updated": moment(execution.now),
    }
    rows = "".join(
        f"<div><dt>{key}</dt><dd>{esc(value)}</dd></div>" for key, value in facts.items()
    )
    notes = filter(None, (execution.info.name, execution.info.note))
    note = "".join(f'<p class="note">{esc(plain(text, 300))}</p>' for text in notes)
    return (
        f'<header><div class="top"><h1>{esc(name)}</h1>{badge(execution.state)}</div>'
        f'<p class="answer">{esc(_answer(execution, groups, elapsed))}</p>{note}'
        f'<dl class="keys">{rows}</dl></header>'
    )


def _answer(execution: ExecutionStatus, groups: Sequence[Operation], elapsed: float | None) -> str:
    """Return the state of the execution in a sentence or two."""
    if not groups:
        return "This execution has no operations that can be read."
    states = Counter(group.state for group in groups)
    if execution.state.is_success:
        return _succeeded(states[State.REUSED], len(groups), elapsed)
    return " ".join([*_stopped(groups, states), *_going_on(execution, groups, states)])


def _succeeded(reused: int, total: int, elapsed: float | None) -> str:
    if reused == total:
        return f"All {count(reused, 'operation')} were taken from an earlier execution."
    each = "The operation" if total == 1 else f"All {total} operations"
    time = "" if elapsed is None else f" in {duration(elapsed)}"
    more = f" {reused} of them {'was' if reused == 1 else 'were'} taken from an earlier execution."
    return f"{each} succeeded{time}.{more if reused else ''}"


def _stopped(groups: Sequence[Operation], states: Counter[State]) -> Iterator[str]:
    for state, verb in ((State.FAILED, "failed"), (State.INTERRUPTED, "interrupted")):
        if states[state]:
            yield f"{_named(groups, state)} {verb}."
    if lost := states[State.NEVER_RAN] + states[State.UPSTREAM_FAILED]:
        yield f"{count(lost, 'operation')} did not run because of it."
    if states[State.UNKNOWN]:
        yield f"What became of {_named(groups, State.UNKNOWN)} is not known."
    if states[State.CANCELLED]:
        yield f"{count(states[State.CANCELLED], 'operation')} cancelled."


def _going_on(
    execution: ExecutionStatus, groups: Sequence[Operation], states: Counter[State]
) -> Iterator[str]:
    if states[State.RUNNING] or states[State.PUBLISHING]:
        active = _named(groups, State.RUNNING, State.PUBLISHING, verb=True)
        yield f"{active} running; {execution.done} of {count(len(groups), 'operation')} done."
    elif states[State.PENDING]:
        waiting = _named(_first(groups, State.PENDING), State.PENDING, verb=True)
        yield f"{waiting} waiting for the scheduler."
    if states[State.HELD]:
        yield f"{_named(_first(groups, State.HELD), State.HELD, verb=True)} held."
    if planned := states[State.PLANNED]:
        if planned == len(groups) and not execution.attempt:
            yield "Nothing was submitted yet."
        yield f"{count(planned, 'operation')} planned."
    if execution.is_stopped:
        yield f"To go on: dfh resume {execution.id}"


def _first(groups: Sequence[Operation], state: State) -> list[Operation]:
    """Return the operations in a state that wait for no other; all of them if each does."""
    done = {job.name for group in groups for job in group.jobs if job.state.is_success}
    waiting = [group for group in groups if group.state is state]
    return [group for group in waiting if done.issuperset(group.main.plan.after)] or waiting


def _named(groups: Sequence[Operation], *states: State, verb: bool = False) -> str:
    names = [group.name for group in groups if group.state in states]
    text = listed(names, 3, last=" and ")
    return f"{text} {'is' if len(names) == 1 else 'are'}" if verb else text


def _problems(execution: ExecutionStatus) -> str:
    lines = "".join(f"<p>{icon('bang')}{esc(plain(line.text))}</p>" for line in execution.warnings)
    return f'<section class="alert warn">{lines}</section>' if lines else ""


def _tiles(groups: Sequence[Operation], details: Mapping[str, Sequence[Details]]) -> str:
    """Return the latest numbers of the operation that tells most: a running one, or the last."""
    with_metrics = {
        group.name: [item for detail in details.get(group.name, ()) for item in detail.metrics]
        for group in groups
    }
    known = [group for group in groups if with_metrics[group.name]]
    if not known:
        return ""
    running = [group for group in known if group.state is State.RUNNING]
    chosen = (running or known)[-1]
    series = with_metrics[chosen.name]
    steps = [item.points[-1][0] for item in series if item.has_steps and item.points]
    at = f", step {number(max(steps))}" if steps and running else ""
    tiles = "".join(
        f"<div><dt>{esc(item.name)}</dt><dd>{number(item.last)}</dd></div>"
        for item in series[:_MAX_TILES]
    )
    link = f'<a href="#{anchor(chosen.name)}">{esc(chosen.name)}</a>'
    kind = "Results" if chosen.state.is_success else "Latest numbers"
    return (
        f'<section class="results"><h2>{kind} <span>{link}{esc(at)}</span></h2>'
        f'<dl class="tiles">{tiles}</dl></section>'
    )


def _cards(
    execution: ExecutionStatus,
    groups: Sequence[Operation],
    details: Mapping[str, Sequence[Details]],
) -> str:
    cards, shown = "", set()
    for group in groups:
        if group.name not in details:
            continue
        if group.is_quiet():
            cards += operation_row(group)
            continue
        # The log is shown of what runs, and once for each failure that has no traceback above.
        reason = next((task.reason for task in group.tasks if task.reason), group.name)
        has_traceback = any(task.error for task in group.tasks)
        is_open = group.state in URGENT and reason not in shown and not has_traceback
        shown.add(reason)
        cards += operation_card(group, details[group.name], execution.now, is_open=is_open)
    if not cards:
        return ""
    title = "Operations" if len(details) == len(groups) else "Operations to look at"
    return f'<section class="cards"><h2>{title}</h2>{cards}</section>'


def _footer(execution: ExecutionStatus) -> str:
    info = execution.info
    parts = [
        f"{name} <code>{esc(plain(text.removeprefix('sha256:')[:12]))}</code>"
        for name, text in {"code": info.code_sha256, "plan": info.plan_sha256}.items()
        if text
    ]
    about = {"by": info.user, "deepforge_hpc": info.version}
    parts += [f"{label} {esc(plain(text, 200))}" for label, text in about.items() if text]
    facts = " · ".join(parts)
    where = esc(plain(info.project, 200))
    place = f" in <code>{where}</code>" if where else ""
    command = esc(info.submit_command)
    return (
        f"<footer><h2>To run this again</h2><p><code>{command}</code>{place}</p>"
        "<p>The frozen code, the plan and this page lie in the folder of the execution; "
        f"<code>dfh prov verify {esc(plain(execution.id, 200))}</code> checks its "
        "results against their records.</p>"
        f"<p>{facts}</p></footer>"
    )
