"""Submissions that broke off: their jobs lie in the queue, held, and nobody will release them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from deepforge_hpc.processes import user_name
from deepforge_hpc.runtime.base.layout import ExecutionLayout
from deepforge_hpc.runtime.base.notice import Notice
from deepforge_hpc.runtime.state import journal
from deepforge_hpc.submit.project import executions_folders


@dataclass(frozen=True, slots=True, kw_only=True)
class HeldOrphan:
    """An execution whose submitter died before it released the jobs."""

    execution: str
    path: str
    queued: int
    """Jobs that are known to be queued; one more may be."""
    jobs: int
    """Jobs that the attempt has."""
    user: str = ""
    """Who submitted it, if that is another user, who alone can go on with it."""

    @property
    def notice(self) -> Notice:
        """Return the warning that it deserves."""
        text = (
            f"{self.execution}: the submission broke off; {self.queued} of {self.jobs} jobs are "
            "known to be queued, held"
        )
        step = f"complete it: dfh resume {self.execution}; or: dfh cancel {self.execution}"
        if self.user:
            step = f"ask {self.user}, who submitted it, to resume or cancel it"
        return Notice("submission_broken", text, subject=self.execution, next=step)


def held_orphans(project: Path) -> tuple[HeldOrphan, ...]:
    """Return the executions of a project whose submission broke off, by name."""
    return tuple(
        sorted(
            (orphan for folder in executions_folders(project) for orphan in _in_folder(folder)),
            key=lambda orphan: orphan.execution,
        )
    )


def _in_folder(folder: Path) -> Iterator[HeldOrphan]:
    try:
        paths = list(folder.iterdir())
    except (OSError, ValueError):  # a path that a file tells may be none
        return
    for path in paths:
        layout = ExecutionLayout(path)
        # What is no execution has none; of damage, the execution's own status tells.
        history = journal.read(layout)
        last = None if history.fault else history.last
        if last is not None and last.is_held and not is_being_submitted(layout):
            yield HeldOrphan(
                execution=path.name,
                path=str(path),
                queued=len(last.ids),
                jobs=len(last.jobs),
                user="" if last.user == user_name() else last.user,
            )


def is_being_submitted(layout: ExecutionLayout) -> bool:
    """Tell whether a live process (or one on another host) holds the submitter's lease."""
    from deepforge_hpc.submit.lease import SUBMITTING, Owner

    try:
        owners = [Owner.parse(path.name) for path in (layout.root / SUBMITTING).iterdir()]
    except (OSError, ValueError):
        return False
    return any(not owner.is_dead for owner in owners)
