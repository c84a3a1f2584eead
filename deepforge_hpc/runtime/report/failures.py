"""The part of the report that says what failed, why, and what to do about it."""

from __future__ import annotations

from collections.abc import Sequence

from ..base.advice import edit_hint, to_change
from ..base.states import State
from ..base.text import clean_line, count, listed, plain
from ..state.status import ExecutionStatus, UnitStatus
from .looks import FAILED, LOOKS, Operation, anchor, icon
from .markup import esc

_MAX_FAILURES = 5
_TRACEBACK_LINES = 60


def failures(execution: ExecutionStatus, groups: Sequence[Operation]) -> str:
    """Return what failed, once for each reason: a hundred tasks often fail for the same one."""
    reasons: dict[tuple[State, str], list[tuple[Operation, UnitStatus]]] = {}
    for group in groups:
        for task in group.tasks:
            if task.state in FAILED:
                reason = plain(task.reason, 1000) or _ended_with(task)
                reasons.setdefault((task.state, reason), []).append((group, task))
    if not reasons:
        return ""
    shown = list(reasons.items())[:_MAX_FAILURES]
    said = edit_hint(execution.info.submit_command)
    parts = "".join(
        _failure(state, reason, cases, said=said, is_open=index == 0)
        for index, ((state, reason), cases) in enumerate(shown)
    )
    more = len(reasons) - len(shown)
    note = f'<p class="note">{count(more, "more kind")} of failure below.</p>' if more else ""
    return f'<section class="alert fail">{parts}{note}{_next(execution)}</section>'


def _failure(
    state: State,
    reason: str,
    cases: Sequence[tuple[Operation, UnitStatus]],
    *,
    said: str,
    is_open: bool,
) -> str:
    """Return one kind of failure; `said`: a hint that the next commands tell anyhow."""
    task = cases[0][1]
    error = task.error
    lines = error.traceback if error else ()
    who = f" of rank {error.rank}" if error and error.rank > 0 else ""
    block = (
        f"<details{' open' if is_open else ''}><summary>Traceback{who}</summary>"
        f'<pre tabindex="0">{_traceback(lines[-_TRACEBACK_LINES:])}</pre></details>'
        if lines
        else ""
    )
    hint = f'<p class="hint">{esc(plain(task.hint))}</p>' if task.hint not in {"", said} else ""
    look = LOOKS[state]
    return (
        f'<div class="failure"><h2>{icon(look.icon)}<span>{_cases(cases)} {look.word}</span></h2>'
        f"<p>{esc(reason)}</p>{hint}{block}</div>"
    )


def _cases(cases: Sequence[tuple[Operation, UnitStatus]]) -> str:
    """Return the operations, and which of their tasks, that failed for one reason."""
    tasks: dict[str, list[str]] = {}
    for group, task in cases:
        tasks.setdefault(group.name, []).extend([] if task.task is None else [str(task.task)])
    names = []
    for name, numbers in tasks.items():
        word = "" if not numbers else f" task{'s' if numbers[1:] else ''} {listed(numbers, 9)}"
        names.append(f'<a href="#{anchor(name)}">{esc(name)}</a>{word}')
    return listed(names, 4, last=" and ")


def _traceback(lines: Sequence[str]) -> str:
    """Return a traceback with the frames of the user's own files emphasised."""
    shown, is_own = [], False
    for line in lines:
        if line.startswith('  File "'):
            is_own = not line.startswith(('  File "/', '  File "<'))
        elif not line.startswith("    "):
            is_own = False
        text = esc(clean_line(line, 300))
        shown.append(f"<b>{text}</b>" if is_own else text)
    return "\n".join(shown)


def _ended_with(task: UnitStatus) -> str:
    code = task.exit_code
    return "No reason was left." if code is None else f"It ended with exit code {code}."


def _next(execution: ExecutionStatus) -> str:
    """Return the commands that come next, each with what it does; the advised one first."""
    identity = plain(execution.id, 200)
    submit = (
        execution.info.submit_command,
        "picks up your edits in a new execution, and reuses the results that still hold.",
    )
    if end := to_change(execution.ends()):
        steps = [(f"dfh logs {identity} {end.job}", "shows all that the job printed."), submit]
    else:
        what = "runs what did not succeed again, with the same frozen code. An edit has no effect."
        steps = [(f"dfh resume {identity}", what), submit]
    rows = "".join(
        f"<div><dt><code>{esc(command)}</code></dt><dd>{what}</dd></div>" for command, what in steps
    )
    project = esc(plain(execution.info.project, 200))
    where = f'<p class="hint">Type these in <code>{project}</code>.</p>' if project else ""
    return f'<dl class="next">{rows}</dl>{where}'
