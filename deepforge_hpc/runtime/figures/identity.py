"""The id that each file of a figure carries, so that a copy tells which attempt of a job drew it.

`dfh:redshift-0007/train[3]/1/loss.png#0123456789abcdef0123456789abcdef`: execution, job and task,
attempt, file, and the uuid of the execution, which no other project has. It is plain text in each:
under `Identifier` in a PNG (tEXt; none of PNG's own keywords means an id: its `Source` is a device)
and in an SVG (Dublin Core's word), `identifier` in the data. So a copy, whoever made it, is looked
through for that text; nothing in it is unpacked or parsed.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NamedTuple

from ..base.files import JSON_LIMIT, opened_own, read_most
from ..state.record_data import label

if TYPE_CHECKING:
    from pathlib import Path

KEY = "Identifier"
_WORD = rb"([A-Za-z0-9_.-]{1,100})"
_ID = re.compile(
    rb"dfh:%b/%b(?:\[(\d{1,5})\])?/(\d{1,9})/%b#([0-9a-f]{32})" % (_WORD, _WORD, _WORD)
)


class FigureId(NamedTuple):
    """Who drew a figure."""

    execution: str
    job: str
    task: int | None
    attempt: int
    uuid: str
    """Of the execution."""
    file: str = ""

    def __str__(self) -> str:
        return f"dfh:{self.label}/{self.attempt}/{self.file}#{self.uuid}"

    @property
    def label(self) -> str:
        """Return what a person calls the job: `redshift-0007/train[3]`."""
        return label(self.execution, self.job, self.task)

    @property
    def place(self) -> tuple[str, str, int | None]:
        """Return whose it is: the uuid of the execution, the job and the array task."""
        return self.uuid, self.job, self.task


def carried(path: Path) -> list[FigureId]:
    """Return the ids that a file carries, each once; none of what is no plain file.

    Of its first 32 MiB: what we write is smaller.
    """
    try:
        with opened_own(path) as (handle, _):
            content = read_most(handle, JSON_LIMIT)
    except (OSError, ValueError):
        return []
    return list(dict.fromkeys(_said(match) for match in _ID.finditer(content)))


def _said(match: re.Match[bytes]) -> FigureId:
    execution, job, task, attempt, file, uuid = (
        None if part is None else part.decode() for part in match.groups()
    )
    number = None if task is None else int(task)
    return FigureId(str(execution), str(job), number, int(attempt or 0), str(uuid), str(file))
