"""What to type after an execution that did not succeed; hints, report and `dfh status` ask here."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from .states import State

TO_KEEP = "return it as a pathlib.Path, or name it under outputs: of a program"
"""How a file that was left in the working folder becomes an output."""


TIME, MEMORY, PACKAGE = "time", "memory", "package"
"""What a job has had too little of, and its frozen plan gives it no more; else code is at fault."""

MEMORY_HINT = (
    "Take less at once, or, where the site limits it, ask for more memory: "
    "resources: {mem_per_node: ...}."
)


class Remedy(NamedTuple):
    """What to do after an end without success."""

    hint: str
    is_retryable: bool
    """Whether the same frozen code may do better if it runs again."""
    lacks: str = ""
    """Else what it had too little of: one of the words above; empty for a fault of the code."""


class End(NamedTuple):
    """How a job, or a task of one, ended."""

    job: str
    state: State
    is_retryable: bool
    """Whether the same frozen code may do better if it runs again."""
    has_begun: bool = True
    """Whether it came as far as to have a log."""
    lacks: str = ""
    """As of a `Remedy`."""
    operation: str = ""


def limit_advice(identity: str, *, has_checkpoint: bool) -> Remedy:
    """Return what to do after a time limit."""
    if has_checkpoint:
        return Remedy(_goes_on(identity), is_retryable=True)
    hint = "It has kept no checkpoint, so it would meet the same limit: ask for more time "
    return Remedy(hint + "(resources: {time: ...}) and submit again.", False, TIME)


def kill_advice(identity: str, *, has_checkpoint: bool) -> Remedy:
    """Return what to do after a kill, most often for want of memory.

    What was reached is kept for the same execution alone: a new one begins anew.
    """
    if has_checkpoint:
        return Remedy(
            f"{_goes_on(identity)} If that is killed too: {MEMORY_HINT}", is_retryable=True
        )
    return Remedy(MEMORY_HINT, False, MEMORY)


def _goes_on(identity: str) -> str:
    return f"dfh resume {identity} goes on from its checkpoint."


def submit_command(pipeline_file: str, options: Sequence[str], site: str) -> str:
    """Return the command that runs a pipeline as it is now, with the options of an execution."""
    return pipeline_command("submit", pipeline_file, options, site)


def pipeline_command(
    verb: str, pipeline_file: str, options: Sequence[str] = (), site: str = ""
) -> str:
    """Return a command on a pipeline, with the options of an execution.

    The command can be pasted: every word is quoted.
    """
    import shlex

    words = options or (["--site", site] if site else [])
    return shlex.join(["dfh", verb, file_word(pipeline_file or "pipeline.yaml"), *words])


def file_word(path: str) -> str:
    """Return a path as a word of a command line, where it is no option."""
    return f"./{path}" if path.startswith("-") else path


def edit_hint(submit: str) -> str:
    """Return what to do about a fault of the user's code, given the command that submits it."""
    return f"Edit it{_or_set(submit)}, then: {submit} (which reuses what still holds)."


def edit_step(submit: str) -> str:
    """Return the same as a step among others."""
    return f"edit{_or_set(submit)}; then {submit}"


def _or_set(submit: str) -> str:
    """Return what besides the files may be at fault, where the command repeats what was set."""
    return ", or give --set another value" if " --set " in submit else ""


def to_change(ends: Iterable[End]) -> End | None:
    """Return the first job that would fail again unless the user changes something, if any.

    Code before all else: after an edit a new execution is wanted anyhow.
    """
    stopped = (State.FAILED, State.INTERRUPTED)
    found = [end for end in ends if end.state in stopped and not end.is_retryable]
    return min(found, key=lambda end: bool(end.lacks), default=None)


def change_step(end: End, submit: str) -> str:
    """Return what to change before a job can succeed, and the command that submits it."""
    key = {TIME: "time", MEMORY: "mem_per_node"}.get(end.lacks)
    if key:
        option = f"--set {end.operation or end.job}.resources.{key}=..."
        what = "memory" if end.lacks == MEMORY else "time"
        return f"give it more {what} in the file, or by {option}; then {submit}"
    return f"install what it misses; then {submit}" if end.lacks else edit_step(submit)


def next_step(ends: Iterable[End], *, identity: str, submit: str) -> str:
    """Return the next step after an end without success, in one line.

    `dfh resume` runs the same frozen code: right after a node's failure, a time limit, a full disk.
    """
    ends = list(ends)
    if end := to_change(ends):
        return f"dfh logs {identity} {end.job}; {change_step(end, submit)}"
    failed = next((end.job for end in ends if end.state is State.FAILED and end.has_begun), "")
    look = f"dfh logs {identity} {failed}; then " if failed else ""
    return f"{look}dfh resume {identity}"
