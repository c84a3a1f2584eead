"""The files by which the local adapter and its engine talk: `<execution>/local/`.

jobs.jsonl    submissions, one line each; written by the adapter. Its lock is held for a moment by
              whoever adds to the queue, and by an engine that closes
commands/     one file for each release or cancellation; written by the adapter, removed by the
              engine once `status.jsonl` tells of their effect, or left aside as its log says
status.jsonl  what becomes of each job and array task, a line at each change; written by the engine.
              Executions of earlier versions have `status.json`, and keep it: their jobs read it
engine.json   which process the engine is, and where; left behind by one that was killed
engine.lock   held by the engine as long as it lives
engine.log    what the engine printed: nothing, unless it broke or left a command aside

An engine takes both locks to close, so a job added at that moment is either seen by it, or finds it
gone and starts another.
"""

# Annotations are types here, which the codec reads.
import fcntl
import os
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from deepforge_hpc.errors import SchedulerError
from deepforge_hpc.processes import machine, start_time
from deepforge_hpc.runtime.base.codec import encode, parse
from deepforge_hpc.runtime.base.files import (
    canonical_json,
    opened_own,
    parse_object,
    publish_bytes,
    publish_json,
    read_most,
    read_own,
    temporary_beside,
)
from deepforge_hpc.runtime.base.jsonl import LINES_LIMIT, append_line, append_lines, last_line
from deepforge_hpc.runtime.base.layout import ExecutionLayout
from deepforge_hpc.runtime.base.local_status import (
    FOLDER,
    OLD_STATUS,
    STATUS,
    LocalStatus,
    read_status,
)

STATUS_SCHEMA = "dfh/local-status/1"
ENDED = frozenset({"COMPLETED", "FAILED", "CANCELLED", "TIMEOUT", "NODE_FAIL"})
"""Slurm's words for how a job can end."""
STOPPED = "The process that ran this execution's jobs was killed, or the machine was restarted"


class QueuedJob(NamedTuple):
    """A line of `jobs.jsonl`."""

    id: str
    """`L<number>`"""
    job: str
    name: str
    script: str
    arguments: tuple[str, ...]
    output: str
    after: tuple[str, ...] = ()
    dependency: str = "afterok"
    hold: bool = False
    tasks: tuple[int, ...] | None = None
    """Array indices, or None for a single job."""
    cores: int = 1
    time_s: int | None = None

    @property
    def task_ids(self) -> tuple[str, ...]:
        """Return the native ids that have a state: its tasks', or its own."""
        if self.tasks is None:
            return (self.id,)
        return tuple(f"{self.id}_{task}" for task in self.tasks)


class EngineInfo(NamedTuple):
    """Where the engine is, and which process; without a host: nobody knows."""

    host: str
    pid: int = 0
    start_time: str = ""
    machine: str = ""


class Command(NamedTuple):
    """What the engine is to do with some jobs."""

    command: str
    """release | cancel"""
    ids: tuple[str, ...]


def parse_array(text: str) -> tuple[int, ...] | None:
    """Return the indices of `0-7` or `3,5`; None for an empty text. ValueError otherwise."""
    if not text:
        return None
    indices: list[int] = []
    for part in text.split(","):
        first, dash, last = part.partition("-")
        indices.extend(range(int(first), int(last if dash else first) + 1))
    return tuple(indices)


@dataclass(frozen=True, slots=True)
class LocalQueue:
    """The folder of one execution's queue."""

    root: Path

    @classmethod
    def of(cls, directory: str) -> "LocalQueue":
        """Return the queue of the execution in that folder."""
        return cls(Path(directory, FOLDER))

    @property
    def log(self) -> Path:
        """What the engine printed: nothing, unless it broke or left a command aside."""
        return self.root / "engine.log"

    @property
    def engine(self) -> Path:
        """An `EngineInfo`."""
        return self.root / "engine.json"

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Hold the lock of the queue."""
        self.root.mkdir(exist_ok=True)
        handle = _open_lock(self.root / "jobs.jsonl")
        try:
            fcntl.flock(handle, fcntl.LOCK_EX)
            yield
        finally:
            os.close(handle)

    def lock_engine(self, wait_s: float = 1.0) -> int | None:
        """Take the lock that an engine holds while it lives; None if another one has it."""
        handle = _open_lock(self.root / "engine.lock")
        deadline = time.monotonic() + wait_s
        # Somebody may hold it for a moment only to ask, see `has_engine`.
        while not _try_lock(handle, fcntl.LOCK_EX):
            if time.monotonic() >= deadline:
                os.close(handle)
                return None
            time.sleep(0.02)
        return handle

    @property
    def has_engine(self) -> bool:
        """Tell whether an engine lives."""
        try:
            # What lies there may be a pipe, which nobody writes to.
            flags = os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK
            handle = os.open(self.root / "engine.lock", flags)
        except OSError:
            return False
        try:
            return not _try_lock(handle, fcntl.LOCK_SH)
        finally:
            os.close(handle)

    @property
    def killed_engine(self) -> EngineInfo | None:
        """Return what `engine.json` says if it was left behind.

        An engine that closes removes the file.
        """
        if self.has_engine:
            return None
        with self._readable("engine.json"), suppress(FileNotFoundError):
            return parse(EngineInfo, read_own(self.engine), is_open=True)
        return None

    @property
    def uuid(self) -> str:
        """Return the uuid of the execution, with which the tokens of its processes begin."""
        from deepforge_hpc.runtime.state.read import read_info

        layout = ExecutionLayout(self.root.parent)
        with self._readable(f"../{layout.execution.name}"):
            return read_info(layout).uuid

    def note_engine(self) -> None:
        """Write down that this process is the engine now."""
        pid = os.getpid()
        me = EngineInfo(os.uname().nodename, pid, start_time(pid), machine())
        self._commands.mkdir(exist_ok=True)  # by who has to take away what others leave there
        # Synced: after a crash of the machine it tells that the machine was started again.
        publish_json(self.engine, me._asdict())

    def add(self, job: QueuedJob) -> None:
        """Append a job; call it with the lock. OSError if it cannot be written whole."""
        append_line(self.root / "jobs.jsonl", encode(job))

    def next_id(self) -> str:
        """Return the id of the next job; call it with the lock."""
        last = last_line(self.root / "jobs.jsonl")
        return f"L{int(parse_object(last)['id'][1:]) + 1}" if last else "L1"

    def jobs(self, offset: int = 0) -> tuple[list[QueuedJob], int]:
        """Return the jobs behind an offset, and the offset behind them."""
        with self._readable("jobs.jsonl"):
            try:
                with opened_own(self.root / "jobs.jsonl") as (handle, _):
                    os.lseek(handle, offset, os.SEEK_SET)
                    text = read_most(handle, LINES_LIMIT)
            except FileNotFoundError:
                return [], 0
            if len(text) == LINES_LIMIT:
                raise ValueError(f"it has more than {LINES_LIMIT} bytes")
            whole = text[: text.rfind(b"\n") + 1]
            jobs = [parse(QueuedJob, line) for line in whole.splitlines()]
        return jobs, offset + len(whole)

    @contextmanager
    def _readable(self, name: str) -> Iterator[None]:
        try:
            yield
        except (ValueError, KeyError, TypeError) as error:
            message = f"{self.root / name}: damaged: {error!r}"
            raise SchedulerError(message, "Submit the pipeline again.") from error

    def command(self, verb: str, ids: Sequence[str]) -> None:
        """Leave a command (`release` or `cancel`) for the engine; call it with the lock."""
        self._commands.mkdir(exist_ok=True)
        path = self._commands / f"{time.time_ns():020d}-{os.urandom(4).hex()}.json"
        # Under its name only once the engine may read it, which can be another user's.
        aside = temporary_beside(path)
        publish_bytes(aside, canonical_json(encode(Command(verb, tuple(ids)))), durable=False)
        if (owner := self.owner) != aside.lstat().st_uid:
            aside.chmod(0o644)
            with suppress(OSError):
                os.chown(aside, owner, -1, follow_symlinks=False)
        aside.rename(path)

    def commands(
        self, refuse: Callable[[Path, Exception], None] = lambda *_: None
    ) -> dict[Path, Command]:
        """Return the commands that wait by their files, oldest first.

        `refuse` is told of what cannot be read: whoever may write here can leave such a file.
        """
        found = {}
        try:
            paths = sorted(path for path in self._commands.iterdir() if path.name[0] != ".")
        except FileNotFoundError:
            paths = []
        except OSError as error:
            refuse(self._commands, error)
            paths = []
        for path in paths:
            # One that is not there any more the engine has taken away meanwhile.
            try:
                with suppress(FileNotFoundError):
                    found[path] = parse(Command, read_own(path))
            except (OSError, ValueError, KeyError, TypeError) as error:  # noqa: PERF203 - a file each
                refuse(path, error)
        return found

    @property
    def _commands(self) -> Path:
        return self.root / "commands"

    @property
    def owner(self) -> int:
        """Return whose the engine is; without one, whose the queue is."""
        with suppress(FileNotFoundError):
            return self.engine.lstat().st_uid
        return self.root.lstat().st_uid

    def released(self) -> frozenset[str]:
        """Return the ids of jobs that the engine has still to release, or to tell so."""
        waiting = self.commands().values()
        return frozenset(i for one in waiting if one.command == "release" for i in one.ids)

    def status(self) -> dict[str, LocalStatus]:
        """Return the engine's last word on each id; empty if there is none."""
        with self._readable(STATUS), suppress(FileNotFoundError):
            return read_status(self.root)
        return {}

    @property
    def stamp(self) -> tuple[int, ...]:
        """Return what is another if the status is."""
        with suppress(FileNotFoundError):
            found = self._status_file.stat()
            return found.st_ino, found.st_size, found.st_mtime_ns
        return ()

    @property
    def _status_file(self) -> Path:
        old = self.root / OLD_STATUS
        return old if old.exists() else self.root / STATUS

    def tidy(self) -> None:
        """Remove what only a living engine needs; call it with both locks."""
        self.engine.unlink(missing_ok=True)
        with suppress(OSError):  # it is not there, or not empty
            self._commands.rmdir()
        with suppress(FileNotFoundError):
            if not self.log.stat().st_size:
                self.log.unlink()

    def publish_status(self, changed: dict[str, LocalStatus]) -> None:
        """Write down what became of each id that has changed."""
        # Not synced: after a crash of the machine no process that it tells of is there any more.
        file = self._status_file
        if file.name == STATUS:
            append_lines(file, ({"id": name, **one.to_dict()} for name, one in changed.items()))
        else:
            jobs = {name: one.to_dict() for name, one in {**self.status(), **changed}.items()}
            publish_json(file, {"schema": STATUS_SCHEMA, "jobs": jobs}, durable=False)


def _try_lock(handle: int, kind: int) -> bool:
    try:
        fcntl.flock(handle, kind | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _open_lock(path: Path) -> int:
    return os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o644)
