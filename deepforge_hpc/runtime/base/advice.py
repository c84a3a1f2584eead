"""What to type after an execution that did not succeed; hints, report and `dfh status` ask here."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from .states import State

TO_KEEP = "return it as a pathlib.Path, or name it under outputs: of a program"
"""How a file that was left in the working folder becomes an output."""


class End(NamedTuple):
    """How a job, or a task of one, ended."""

    job: str
    state: State
    is_retryable: bool
    """Whether the same frozen code may do better if it runs again."""
    has_begun: bool = True
    """Whether it came as far as to have a log."""


def limit_advice(identity: str, *, has_checkpoint: bool) -> tuple[str, bool]:
    """Return what to do after a time limit, and whether the same frozen code may get further."""
    if has_checkpoint:
        return _goes_on(identity), True
    hint = "It has kept no checkpoint, so it would meet the same limit: ask for more time "
    return hint + "(resources: {time: ...}) and submit again.", False


def kill_advice(identity: str, *, has_checkpoint: bool) -> tuple[str, bool]:
    """Return what to do after a kill, most often for want of memory, and whether to run it again.

    What was reached is kept for the same execution alone: a new one begins anew.
    """
    from .failure import MEMORY_HINT

    if has_checkpoint:
        return f"{_goes_on(identity)} If that is killed too: {MEMORY_HINT}", True
    return MEMORY_HINT, False


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


def to_edit(ends: Iterable[End]) -> str:
    """Return the first job that would fail again unless the user changes something, or nothing."""
    stopped = (State.FAILED, State.INTERRUPTED)
    return next((end.job for end in ends if end.state in stopped and not end.is_retryable), "")


def next_step(ends: Iterable[End], *, identity: str, submit: str) -> str:
    """Return the next step after an end without success, in one line.

    `dfh resume` runs the same frozen code: right after a node's failure, a time limit, a full disk.
    """
    ends = list(ends)
    if job := to_edit(ends):
        return f"dfh logs {identity} {job}; {edit_step(submit)}"
    failed = next((end.job for end in ends if end.state is State.FAILED and end.has_begun), "")
    look = f"dfh logs {identity} {failed}; then " if failed else ""
    return f"{look}dfh resume {identity}"
