"""The contract of a scheduler adapter: its half on the login node.

An adapter has no state of its own and does nothing in its constructor. Third parties register one
under the entry point group `deepforge_hpc.schedulers` and prove it with
`deepforge_hpc.testing.scheduler.SchedulerContract`. What nobody else may ask for by the name of a
scheduler is a fact here.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, NamedTuple

from deepforge_hpc.plugins import registry

if TYPE_CHECKING:
    from deepforge_hpc.model.execution import SubmitRequest
    from deepforge_hpc.runtime.base.execution import ExecutionInfo
    from deepforge_hpc.runtime.base.native import NativeStatus
    from deepforge_hpc.runtime.state.journal import Journal


@dataclass(frozen=True, slots=True)
class Conflict:
    """What the cluster would refuse."""

    text: str
    is_certain: bool = True
    """False if that depends on a version of the scheduler that the site's file does not tell."""


class Unheard(NamedTuple):
    """What becomes of a variable of the caller's shell that no job heeds."""

    option: str
    """That its submit command takes it for, as a script's header names it."""
    instead: str
    """How dfh is told the same; `{}` stands for the value."""


@dataclass(frozen=True, slots=True, kw_only=True)
class JobScope:
    """What goes with the ids of an execution: an id alone says nothing of where and whose it is."""

    cluster: str = ""
    """Where its jobs were queued; empty: none was yet, or an earlier version did not note it."""
    site_cluster: str = ""
    """The cluster that its site names; empty: the one that the caller's shell reaches."""
    users: tuple[str, ...] = ()
    """Who submitted its jobs, besides the caller."""

    @classmethod
    def of(cls, info: ExecutionInfo, history: Journal, site_cluster: str) -> JobScope:
        """Return that of an execution; `site_cluster` is the one in its plan."""
        users = {info.user, *(attempt.user for attempt in history.attempts)} - {""}
        return cls(cluster=history.cluster, site_cluster=site_cluster, users=tuple(sorted(users)))


class Scheduler(ABC):
    """Queues scripts, says what became of them, cancels them."""

    title: ClassVar[str]
    """Its name for people."""
    runs: ClassVar[bool] = True
    """False: scripts are rendered for it, and none is submitted."""
    programs: ClassVar[tuple[str, ...]] = ()
    """Commands that have to be on PATH."""
    poll_s: ClassVar[float] = 10.0
    """Least time between two looks: a controller is shared."""
    is_this_machine: ClassVar[bool] = False
    """Jobs run on the machine that submits them."""
    is_probed: ClassVar[bool] = False
    """Package `probe` can ask it what the machine has."""
    enforces_memory: ClassVar[bool] = True
    """A job is held to the memory that it asked for."""
    abbreviates: ClassVar[bool] = False
    """It takes the beginning of an option's name for all of it."""
    configuration: ClassVar[str] = ""
    """Variable by which its commands reach another cluster, with the path of a file."""
    job: ClassVar[str] = ""
    """`module:object` of the half that travels, a `dfh_runtime.schedulers.Scheduler`; empty: its
    jobs need nothing of it."""
    unheard: ClassVar[Mapping[str, Unheard]] = {}
    """Variables of the caller's shell that only its submit command would obey."""
    variables: ClassVar[tuple[str, ...]] = ()
    """Beginnings of the names by which it tells a job about itself: no pipeline may set such."""
    bad_in_paths: ClassVar[str] = ""
    """Characters that the path of a log may not hold, as it would write that to another file."""
    unanswered: str = ""
    """Why its accounting did not answer the last `query`, in which then no absence is an end."""

    @abstractmethod
    def header(self, options: Sequence[tuple[str, str]]) -> list[str]:
        """Return the first lines of a script: how it asks for the options of its job.

        A plan speaks Slurm's words; every name and value was checked to be harmless in a shell.
        Lines of shell may follow. They export DFH_NATIVE_ID and, for a task of an array,
        DFH_ARRAY_TASK_ID, unless these are in the environment of every job.
        """

    def conflicts(
        self, version: str | None, header: Mapping[str, str], argv: Sequence[str]
    ) -> Iterable[Conflict]:
        """Return what it would refuse of the options and the launch line of one job."""
        return ()

    def launch_env(
        self, version: str | None, argv: Sequence[str], cpus_per_task: str
    ) -> dict[str, str]:
        """Return variables without which a launch line would not give the ranks their cores."""
        return {}

    def scoped(self, scope: JobScope) -> Scheduler:
        """Return the adapter for the jobs of one execution: every command of it acts on those."""
        return self

    def cluster(self) -> str:
        """Return the cluster that its commands reach; empty if there is but one.

        Raises SchedulerError if the execution's jobs are on another.
        """
        return ""

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


def scheduler_named(name: str) -> Scheduler:
    """Return an adapter; UsageError as `registry.load`."""
    found: Scheduler = registry.create("schedulers", name)
    return found


def scheduler_class(name: str) -> type[Scheduler]:
    """Return the class of an adapter, for what is true of each; UsageError as `registry.load`."""
    return registry.load("schedulers", name)
