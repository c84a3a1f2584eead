"""What a scheduler says of a job, and the ids by which Slurm names the tasks of job arrays."""

from __future__ import annotations

import re
from typing import NamedTuple


class NativeStatus(NamedTuple):
    """What the scheduler says of one job or array task."""

    native_id: str
    """`123`, or `123_4` for a task."""
    state: str
    """One of the values of `State`."""
    raw_state: str = ""
    """The scheduler's own word, e.g. `CANCELLED by 1000`."""
    raw_reason: str = ""
    explanation: str = ""
    """One sentence for a person: why it waits, how it ended."""
    name: str = ""
    """The job's name, which holds the token; empty if not known."""
    exit_code: str = ""
    """The scheduler's own form, e.g. `3:0`."""
    wants_memory: bool = False
    """Whether it ended for want of memory, so that it needs more of it before it runs again."""


ID = re.compile(r"\d{1,10}(_\d{1,10})?")
"""One job, or one task of an array."""
WHOLE_LISTS = ("SLURM_BITSTR_LEN", "0")
"""Set for Slurm's commands: they cut longer lists of tasks to 64 bytes and `...` otherwise."""
_LIST = re.compile(r"(\d+)_\[([\d,:-]*)(?:,?\.\.\.)?(?:%\d+)?\]")
_SPAN = re.compile(r"(\d+)(?:-(\d+)(?::(\d+))?)?")


def expand(text: str) -> list[str]:
    """Return the ids that `123`, `123_4`, `123_[0-2,7]`, `123_[0-7:2%3]` stand for; [] if none."""
    if ID.fullmatch(text):
        return [text]
    match = _LIST.fullmatch(text)
    if not match:
        return []
    tasks: list[int] = []
    for part in filter(None, match[2].split(",")):
        span = _SPAN.fullmatch(part)
        if not span:
            return []
        first = int(span[1])
        tasks.extend(range(first, int(span[2] or first) + 1, int(span[3] or 1) or 1))
    return [f"{match[1]}_{task}" for task in tasks]
