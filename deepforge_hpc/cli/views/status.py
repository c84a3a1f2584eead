"""How the status of an execution looks as text."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

from deepforge_hpc.cli.views.display import Stated, listing, notice_lines
from deepforge_hpc.runtime.base.layout import LAYOUT
from deepforge_hpc.runtime.base.states import WAITING, State
from deepforge_hpc.runtime.base.text import clean, duration, listed

if TYPE_CHECKING:
    from deepforge_hpc.runtime.state.status import ExecutionStatus, JobStatus

_MAX_NAMES = 8
_MAX_COPIES = 5
_LOOKED_AT = {
    state: place
    for place, state in enumerate(
        (
            *(State.FAILED, State.INTERRUPTED, State.UNKNOWN, State.PUBLISHING, State.RUNNING),
            *(State.HELD, State.PENDING, State.PLANNED),
        )
    )
}
"""The states that a person looks at first, in this order; then the rest."""


def status_lines(found: ExecutionStatus) -> Iterator[str]:
    """Yield the headline, a line for each job, reasons, warnings and the next command."""
    yield from _head(found)
    yield from listing(COLUMNS, found.jobs)
    if sentences := list(_sentences(found.work)):
        yield ""
        yield from sentences
    if found.warnings:
        yield ""
        yield from notice_lines(found.warnings)
    yield from _foot(found)


def screen_lines(found: ExecutionStatus, height: int, width: int) -> list[str]:
    """Return the status on a screen; if it does not fit, the jobs that a person looks at first.

    No line is cut, for a path must be whole to be copied: the terminal wraps what is too long.
    """
    lines = list(status_lines(found))
    if rows_of(lines, width) <= height:
        return lines
    head, foot = list(_head(found)), list(_foot(found))
    header, *rows = listing(COLUMNS, found.jobs)
    room = height - rows_of([*head, header, *foot], width) - 1  # less the line of what is left
    ranked = sorted(
        zip(found.jobs, rows, strict=True),
        key=lambda item: _LOOKED_AT.get(item[0].state, len(_LOOKED_AT)),
    )
    shown: set[str] = set()
    for job, row in ranked:
        room -= rows_of([row], width)
        if room < 0 and shown:
            break
        shown.add(job.name)
    rest = Counter(job.state for job in found.jobs if job.name not in shown)
    more = ", ".join(f"{number} {state}" for state, number in rest.most_common())
    kept = [row for job, row in zip(found.jobs, rows, strict=True) if job.name in shown]
    return [*head, header, *kept, f"... and {rest.total()} more jobs: {more}", *foot]


def rows_of(lines: Iterable[str], width: int) -> int:
    """Return how many rows of a terminal the lines take."""
    return sum(max(1, -(-len(clean(line)) // width)) for line in lines)


def _head(found: ExecutionStatus) -> Iterator[str]:
    yield headline(found)
    for label, text in (("name", found.info.name), ("note", found.info.note)):
        if text:
            yield f"{label}  {text}"
    yield ""


def _foot(found: ExecutionStatus) -> Iterator[str]:
    yield ""
    if found.next:
        yield f"next    {found.next}"
    if found.state.is_success:
        lines = [f"copy    {name}: {to}" for name, to in found.copies.items()]
        yield from lines[:_MAX_COPIES]
        if more := lines[_MAX_COPIES:]:
            yield f"copy    and {len(more)} more, see --json"
    yield f"report  {found.path}/{LAYOUT.report.name}"


def headline(found: ExecutionStatus) -> str:
    """Return the execution in one line."""
    again = f"  attempt {found.attempt}" if found.attempt > 1 else ""
    rest = f"  {found.done}/{len(found.operations)} operations done  on {found.info.site}{again}"
    return Stated(f"{found.id}  ", found.state, rest)


def change_line(job: JobStatus) -> str:
    """Return what a watcher without a terminal is told when a job has changed."""
    parts = [job.name, job.detail, _remark(job)]
    if _needs_a_reason(job):
        parts.append(job.reason)
    return "  ".join(part for part in parts if part)


def _needs_a_reason(job: JobStatus) -> bool:
    return job.state is State.UNKNOWN or (job.state.is_final and not job.state.is_success)


_NOT_FINITE = ("nan", "inf", "-inf")


def _remark(job: JobStatus) -> str:
    if job.state is State.REUSED:
        return f"from {job.reused_from}"
    if job.state in WAITING and job.reason:
        return job.reason
    if not job.metrics:
        return ""
    from deepforge_hpc.runtime.base.epochs import is_about_running

    bad = job.metrics.get("not_finite")
    metrics = job.metrics | (bad if isinstance(bad, dict) else {})
    shown = [
        f"{name} {value:.4g}" if isinstance(value, float) else f"{name} {value}"
        for name, value in metrics.items()
        if name != "t"
        and not is_about_running(name)
        and (isinstance(value, (int, float)) or value in _NOT_FINITE)
    ]
    return "  ".join(shown[:5])


COLUMNS = (
    ("JOB", "name"),
    ("STATE", "detail"),
    ("ID", "native_id"),
    ("TIME", lambda job: "" if job.elapsed_s is None else duration(job.elapsed_s)),
    ("", _remark),
)
"""Of a job, for the table of `dfh status`; all that a job is known to be stands in `--json`."""


def _sentences(jobs: Iterable[JobStatus]) -> Iterator[str]:
    """Yield each reason once, with the jobs that it holds for, and each hint below its reasons."""
    by_hint: dict[str, dict[str, list[str]]] = {}
    for job in jobs:
        if _needs_a_reason(job) and job.reason:
            by_hint.setdefault(job.hint, {}).setdefault(job.reason, []).append(job.name)
    for hint, reasons in by_hint.items():
        for reason, names in reasons.items():
            yield f"{listed(names, _MAX_NAMES)}: {reason}"
        if hint:
            yield f"    {hint}"
