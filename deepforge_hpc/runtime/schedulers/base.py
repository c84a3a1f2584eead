"""The contract of the half that travels. Third parties derive theirs from `Scheduler`.

It runs in jobs, with the standard library alone, and is proved with
`deepforge_hpc.testing.scheduler.SchedulerContract`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from ..base.native import NativeStatus

Cell = str | int | None
"""A value of an accounting: None where it says nothing."""


class QueryResult(NamedTuple):
    """What the scheduler says of an execution."""

    jobs: dict[str, NativeStatus] | None
    """By native id; None if nobody answers: that says nothing of how a job ended."""
    rows: Sequence[Mapping[str, Cell]] = ()
    """By its own fields what a record of the ledger keeps of it; empty: nothing is kept."""
    raw: bytes = b""
    """Its own words."""
    clock: str = ""
    """Whose clock the times of the rows are of."""
    has_accounting: bool = True
    """False if an accounting that knows of ends did not answer: then no absence is one."""


class Scheduler:
    """What any scheduler is to a job, unless it says more."""

    grace_s = 6.0
    """Time that ranks may take to end after SIGTERM: the record must come before the SIGKILL."""

    def native_id(self, environ: Mapping[str, str]) -> str:
        """Return the id of this job, `ID_TASK` for a task of an array; empty by hand."""
        return environ.get("DFH_NATIVE_ID", "")

    def nodes(self, environ: Mapping[str, str]) -> str:
        """Return the nodes of this job, in its own words; empty if it does not say."""
        return ""

    def scratch(self, environ: Mapping[str, str]) -> str:
        """Return a folder that it makes on each node of a job and removes; empty if none."""
        return ""

    def query(self, root: Path, ids: set[str]) -> QueryResult:
        """Return how the jobs and array tasks of the execution at `root` ended.

        It is asked once, by the last job, and may wait for an accounting that lags behind. What it
        does not know is left out.
        """
        return QueryResult(None)

    def memory_words(self, log: str) -> str:
        """Return what it has written into the log of a job that it ended for want of memory."""
        return ""

    def look(self, root: Path) -> dict[str, NativeStatus] | None:
        """Return what it can tell at once of processes that are gone; None if it cannot."""
        return None
