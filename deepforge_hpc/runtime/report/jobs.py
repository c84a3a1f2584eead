"""The part of the report about one operation: its jobs, results, figures and last words."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING

from ..base.epochs import WAITS_NEXT, EpochSplit
from ..base.metrics import Series
from ..base.plan import JobKind
from ..base.states import State
from ..base.text import count, duration, number, plain, size
from ..state.status import JobStatus, OutputStatus
from .chart import draw_chart, group, has_course
from .details import Details, LogTail, Picture
from .looks import LOOKS, Operation, anchor, badge, state_bar
from .markup import esc, href

if TYPE_CHECKING:
    from datetime import datetime

_MAX_OUTPUTS = 50
_MAX_TASK_ROWS = 200
_SPLIT_LOOKS = {
    "compile": "off",
    "compute": "ok",
    "waiting": "fail",
    "communication": "run",
    "validation": "reuse",
    "checkpoint": "warn",
}
_MANY = 6
"""More charts or figures than these are shown small."""


def operation_card(
    operation: Operation, details: Sequence[Details], now: datetime, *, is_open: bool
) -> str:
    """Return the part of the page about one operation."""
    elapsed = operation.elapsed(now)
    time = f'<span class="time">{duration(elapsed)}</span>' if elapsed is not None else ""
    parts = [_facts(operation), _bar(operation.main), _reason(operation)]
    parts += [_split(item) for detail in details for item in detail.splits]
    series = [item for detail in details for item in detail.metrics]
    pictures = [item for detail in details for item in detail.pictures]
    parts.append(_gallery(series, pictures, sum(detail.more_pictures for detail in details)))
    if more := sum(detail.more_tasks for detail in details):
        note = f"Charts, figures and logs of {count(more, 'more task')} in the folder."
        parts.append(f'<p class="note">{note}</p>')
    parts.append(_outputs(operation))
    if len(operation.main.units) > 1:
        parts.append(_tasks(operation.main))
    parts.append(_parameters(operation.main))
    parts += [_log(log, is_open=is_open) for detail in details for log in detail.logs]
    return (
        f'<section class="card" id="{anchor(operation.name)}"><div class="head">'
        f"<h3>{esc(operation.name)}</h3>{time}{badge(operation.state, operation.words())}</div>"
        f"{''.join(parts)}</section>"
    )


def operation_row(operation: Operation) -> str:
    """Return one line about an operation that has not run: why, or what it asks for."""
    job = operation.main
    reason = next((plain(task.reason) for task in operation.tasks if task.reason), "")
    facts = [count(len(job.units), "task")] if len(job.units) > 1 else []
    text = reason or " · ".join(facts + _resources(job))
    return (
        f'<section class="card quiet" id="{anchor(operation.name)}"><h3>{esc(operation.name)}</h3>'
        f"<p>{esc(text)}</p>{badge(operation.state)}</section>"
    )


def _facts(operation: Operation) -> str:
    job = operation.main
    facts = [count(len(job.units), "task")] if len(job.units) > 1 else []
    facts += _resources(job)
    task = job.units[0] if job.units else None
    if task is not None and len(job.units) == 1:
        if task.native_id:
            facts.append(f"job {plain(task.native_id, 40)}")
        if task.host:
            facts.append(f"on {plain(task.host, 60)}")
        if task.reused_from:
            facts.append(f"from {plain(task.reused_from, 80)}")
    if job.attempt > 1:
        facts.append(f"attempt {job.attempt}")
    return f'<p class="facts">{" · ".join(esc(fact) for fact in facts)}</p>' if facts else ""


def _resources(job: JobStatus) -> list[str]:
    asked, launch = job.plan.resources, job.plan.launch.name
    facts = [count(asked.nodes, "node")] if asked.nodes > 1 else []
    ranks = asked.world_size
    if ranks > 1:
        facts.append(count(ranks, "rank") + (f" by {plain(launch, 20)}" * (launch != "none")))
    facts.append(count(asked.cpus_per_task, "core") + (" each" if ranks > 1 else ""))
    if asked.gpus_per_node:
        facts.append(count(asked.gpus_per_node, "GPU") + " a node")
    if asked.mem_per_node_mib is not None:
        facts.append(size(asked.mem_per_node_mib << 20))
    if asked.time_s is not None:
        facts.append(f"at most {duration(max(10, asked.time_s))}")
    return facts


def _bar(job: JobStatus) -> str:
    """Return the tasks of an array as a bar of states."""
    total = len(job.units)
    if total == 1:
        return ""
    parts = [(LOOKS[state].css, amount) for state, amount in _ordered(job)]
    words = ", ".join(f"{amount} {LOOKS[state].word}" for state, amount in _ordered(job))
    return state_bar(parts, total, f"{job.done} of {total} tasks done: {words}")


def _ordered(job: JobStatus) -> list[tuple[State, int]]:
    counts = Counter(task.state for task in job.units)
    order = list(LOOKS)
    done = [State.SUCCEEDED, State.REUSED, State.RUNNING, State.PUBLISHING, State.FAILED]
    rest = [state for state in order if state not in done]
    return [(state, counts[state]) for state in [*done, *rest] if counts[state]]


def _reason(operation: Operation) -> str:
    texts = [plain(task.reason) for task in operation.tasks if task.reason]
    shown = list(dict.fromkeys(texts))[:3]
    return "".join(f'<p class="reason">{esc(text)}</p>' for text in shown)


def _split(split: EpochSplit) -> str:
    """Return where an epoch's time went as a bar, and what to do if too much of it is waiting."""
    shares = [(_SPLIT_LOOKS[part], round(1000 * share)) for part, share in split.shares.items()]
    advice = f'<p class="reason">{esc(split.waits)}: {esc(WAITS_NEXT)}</p>' if split.waits else ""
    return state_bar(shares, 1000, split.words) + advice


def _gallery(series: Sequence[Series], pictures: Sequence[Picture], more: int) -> str:
    charts, values = [], ""
    for items in group(series):
        if has_course(items):
            charts.append(draw_chart(items))
        else:
            values += "".join(
                f"<div><dt>{esc(item.name)}</dt><dd>{number(item.last)}</dd></div>"
                for item in items
            )
    note = f'<p class="note">{count(more, "more figure")} in the folder.</p>' if more > 0 else ""
    values = f'<dl class="values">{values}</dl>' if values else ""
    figures = list(map(_picture, pictures))
    # Two things stand beside each other; of more, the figures need the larger places.
    rows = [charts + figures] if len(charts) + len(figures) <= 2 else [charts, figures]
    return values + "".join(map(_row, rows)) + note


def _row(items: Sequence[str]) -> str:
    css = "gallery many" if len(items) > _MANY else "gallery"
    return f'<div class="{css}">{"".join(items)}</div>' if items else ""


def _picture(picture: Picture) -> str:
    title = esc(picture.title)
    image = (
        # No script: a tick of the box makes the figure as large as the window.
        f'<label><input type="checkbox" aria-label="Enlarge {title}">'
        f'<img src="{picture.source}" alt="Figure: {title}"></label>'
        if picture.source
        else '<p class="missing">not shown on this page</p>'
    )
    data = f' · <a href="{href(picture.data)}">data</a>' if picture.data else ""
    return (
        f'<figure class="picture">{image}<figcaption>{title}'
        f'<span><a href="{href(picture.path)}">PNG</a>{data}</span></figcaption></figure>'
    )


def _outputs(operation: Operation) -> str:
    job = operation.jobs[-1]
    pairs = [(task, output) for task in job.units for output in task.outputs]
    if job.plan.kind is not JobKind.GATHER and len(job.units) > 1:
        return ""
    rows = "".join(_output(task.folder, output) for task, output in pairs[:_MAX_OUTPUTS])
    if not rows:
        return ""
    head = '<tr><th>Output</th><th>Format</th><th>Size</th><th class="hash">SHA-256</th></tr>'
    return f'<div class="scroll"><table>{head}{rows}</table></div>'


def _output(folder: str, output: OutputStatus) -> str:
    sha256 = output.sha256.removeprefix("sha256:")
    form = f"{output.format}, in parts" if output.parts else output.format
    return (
        f'<tr><th scope="row"><a href="{href(folder, output.path)}">{esc(output.name)}</a></th>'
        f"<td>{esc(form)}</td><td>{size(output.size)}</td>"
        f'<td class="hash" title="{esc(sha256)}">{esc(sha256[:12])}</td></tr>'
    )


def _tasks(job: JobStatus) -> str:
    tasks = sorted(job.units, key=lambda task: task.state.is_success)[:_MAX_TASK_ROWS]
    rows = [
        f'<tr><th scope="row">{task.task}</th><td>{badge(task.state)}</td>'
        f"<td>{duration(task.elapsed_s)}</td><td>{esc(plain(task.host, 60))}</td>"
        f"<td>{esc(plain(task.reason, 200))}</td></tr>"
        for task in tasks
    ]
    head = "<tr><th>Task</th><th>State</th><th>Time</th><th>Host</th><th>Reason</th></tr>"
    more = len(job.units) - len(rows)
    note = f'<p class="note">{count(more, "more task")}, all of them succeeded or further down.</p>'
    return (
        f"<details><summary>{count(len(job.units), 'task')}</summary>"
        f'<div class="scroll"><table>{head}{"".join(rows)}</table></div>'
        f"{note if more > 0 else ''}</details>"
    )


def _parameters(job: JobStatus) -> str:
    given = [(name, _value(value), "given") for name, value in job.plan.attributes]
    given += [(name, _value(value), "default") for name, value in job.plan.defaults]
    given += [(name, plain(said), "default") for name, said in job.plan.computed]
    rows = "".join(
        f'<tr><th scope="row">{esc(plain(name, 80))}</th><td>{esc(value)}</td>'
        f"<td>{origin}</td></tr>"
        for name, value, origin in given
    )
    if not rows:
        return ""
    table = f'<div class="scroll"><table class="plain">{rows}</table></div>'
    return f"<details><summary>Attributes</summary>{table}</details>"


def _value(value: object) -> str:
    return plain(json.dumps(value, ensure_ascii=False), 300)


def _log(log: LogTail, *, is_open: bool) -> str:
    name = log.path.rpartition("/")[2]
    whole = f'<a href="{href(log.path)}">{esc(name)}</a>, {size(log.size)}'
    text = esc_lines(log.lines)
    where = "" if log.task is None else f" of task {log.task}"
    return (
        f"<details{' open' if is_open else ''}><summary>End of the log{where}</summary>"
        f'<p class="note">{whole}</p>'
        f'<pre class="end" tabindex="0"><code>{text}</code></pre></details>'
    )


def esc_lines(lines: Sequence[str]) -> str:
    """Return lines of text for a `pre` element."""
    return "\n".join(esc(line) for line in lines)
