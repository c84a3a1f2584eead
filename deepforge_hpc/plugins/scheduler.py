"""The contract of a scheduler adapter.

An adapter has no state of its own and does nothing in its constructor. Third parties register one
under the entry point group `deepforge_hpc.schedulers` and prove it with
`deepforge_hpc.testing.SchedulerContract`.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, ClassVar

if TYPE_CHECKING:
    from collections.abc import Sequence

    from deepforge_hpc.model.execution import NativeStatus, SubmitRequest


class Scheduler(ABC):
    """Queues scripts, says what became of them, cancels them."""

    name: ClassVar[str]

    def require_submit(self) -> None:  # noqa: B027 - most adapters submit
        """Raise SchedulerError if this adapter submits nothing; asked before a file is written."""

    @abstractmethod
    def describe(self, request: SubmitRequest) -> list[str]:
        """Return the words of the very command that `submit` runs; a dry run prints them."""

    @abstractmethod
    def submit(self, request: SubmitRequest) -> str:
        """Queue a script and return its native id.

        Raises SchedulerError (refused), SubmitLimitError, TransientSchedulerError (not reached; it
        is unknown whether the job was queued: look for its token before trying again).
        """

    @abstractmethod
    def release(self, directory: str, native_ids: Sequence[str]) -> None:
        """Let held jobs start; a job that is not held any more is no error."""

    @abstractmethod
    def cancel(self, directory: str, native_ids: Sequence[str]) -> None:
        """Cancel jobs; one that has ended or is unknown is no error."""

    @abstractmethod
    def query(self, directory: str, native_ids: Sequence[str]) -> dict[str, NativeStatus]:
        """Return what is known of each job, array tasks as `<id>_<task>`.

        An id that the scheduler knows nothing of is absent. Absence never means success.
        """

    @abstractmethod
    def find(self, directory: str, token: str) -> dict[str, list[str]]:
        """Return the native ids of the queued or running jobs whose name ends in `.<token>`.

        The key is the job's name in the plan, the part before the token.
        """
