"""The lock of a declared `outputs.to`: one live execution at a time may write there.

`.dfh/claims/KEY.N/claim.json`, KEY being the digest of the path, names an attempt that took the
destination; the highest N counts. It needs no end: it holds as long as its execution is live. Who
finds the holder dead takes the next N, and of two who do one alone can: a folder with something in
it is renamed into its place. An attempt takes its locks once its intent is written, from where on
it is live: so nobody is found dead who is about to submit, and a process that dies holds nothing.

Two paths can be one place, or one lie in the other (`pipeline.places`). So who has its own paths
then looks for a live holder of such a one: of two at the same moment, none gets past the other.
"""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from shlex import quote
from typing import TYPE_CHECKING

from deepforge_hpc.errors import DeepforgeHpcError, StorageError, UsageError
from deepforge_hpc.pipeline.places import ending_of, overlap, places
from deepforge_hpc.plugins.scheduler import scheduler_named
from deepforge_hpc.runtime.base.codec import encode, parse
from deepforge_hpc.runtime.base.failure import os_hint
from deepforge_hpc.runtime.base.files import digest, publish_json, read_own, sync_folder
from deepforge_hpc.runtime.base.layout import ExecutionLayout, LedgerLayout
from deepforge_hpc.runtime.base.plan import JobKind
from deepforge_hpc.runtime.state.closure import other_ledger
from deepforge_hpc.runtime.state.journal import Journal
from deepforge_hpc.submit import journal
from deepforge_hpc.submit.claim import Claim
from deepforge_hpc.submit.frozen import read_info
from deepforge_hpc.submit.inspect import status
from deepforge_hpc.submit.orphans import is_being_submitted

if TYPE_CHECKING:
    from deepforge_hpc.runtime.base.execution import ExecutionInfo
    from deepforge_hpc.runtime.base.plan import Plan

_CLAIM = "claim.json"
_TRIES = 100


def check(info: ExecutionInfo, plan: Plan) -> None:
    """Raise UsageError if a live execution has a destination of a plan. Nothing is written."""
    wanted = _places(info, plan)
    for place in wanted:
        place.require_own(Path(info.ledger))
        number = place.newest()
        if holder := place.read(number):
            place.require_free(number, holder, info.uuid)
    _require_no_overlap(info, wanted)


def lock(info: ExecutionInfo, plan: Plan, attempt: int) -> None:
    """Lock the destinations of a plan for an attempt whose intent is written.

    Raises UsageError if a live execution has one of them; what was taken before it then falls with
    the attempt. StorageError if that cannot be written.
    """
    try:
        wanted = _places(info, plan)
        for place in wanted:
            place.require_own(Path(info.ledger))
            place.take(info, attempt)
        _require_no_overlap(info, wanted)
    except OSError as error:
        message = f"{_folder(info)}: cannot be written: {error.strerror}"
        raise StorageError(message, "Is the file system writable, and not full?") from error


def _folder(info: ExecutionInfo) -> Path:
    return LedgerLayout(Path(info.ledger)).claims


def _places(info: ExecutionInfo, plan: Plan) -> list[_DestinationLock]:
    """Return the destinations in one order: of several who want all of them, one gets them."""
    paths = {}
    for output in plan.outputs:
        if output.to:
            job = plan.job(output.job)
            kind = next((port.type for port in job.outputs if port.name == output.output), "")
            ending = ending_of(kind, is_one=job.kind is JobKind.RUN)
            paths.update(dict.fromkeys(places(output.to, output.name, ending), output.name))
    folder = _folder(info)
    return [_DestinationLock(folder, path, name) for path, name in sorted(paths.items())]


def _require_no_overlap(info: ExecutionInfo, wanted: list[_DestinationLock]) -> None:
    """Raise UsageError if a live execution has a place that may be one of these, or lies in one."""
    for file, holder in _claims(_folder(info)) if wanted else ():
        if holder.uuid != info.uuid and holder.to:
            for mine in wanted:
                if overlap(mine.path, holder.to) and (way_out := _way_out(holder, file)):
                    raise UsageError(mine.held_by(holder), way_out)


def _claims(folder: Path) -> Iterator[tuple[Path, Claim]]:
    """Yield the claims that count, with their files; one that is damaged, or closed to us, stops
    its place alone."""
    newest: dict[str, int] = {}
    for key, number in _numbered(folder):
        newest[key] = max(number, newest.get(key, 0))
    for key, number in newest.items():
        file = folder / f"{key}.{number}" / _CLAIM
        with suppress(FileNotFoundError, PermissionError, ValueError):
            yield file, parse(Claim, read_own(file), is_open=True)


def _numbered(folder: Path) -> Iterator[tuple[str, int]]:
    """Yield key and number of each claim."""
    with suppress(FileNotFoundError):
        for name in os.listdir(folder):  # noqa: PTH208 - names are all that is wanted
            if match := re.fullmatch(r"([0-9a-f]{32})\.([0-9]+)", name):
                yield match[1], int(match[2])


class _DestinationLock:
    """One destination."""

    def __init__(self, folder: Path, path: str, name: str) -> None:
        self.folder = folder
        self.path = path
        self._what = f"outputs.{name}.to {path}"
        self._key = digest(path.encode()).removeprefix("sha256:")[:32]

    def take(self, info: ExecutionInfo, attempt: int) -> None:
        """Lock it for an attempt, unless that has it already."""
        self.folder.mkdir(exist_ok=True)
        mine = Claim(info.id, info.home, info.uuid, attempt, self.path)
        number = self.newest()
        for _ in range(_TRIES):
            holder = self.read(number)
            if holder and holder[:4] == mine[:4]:
                return
            if holder:
                self.require_free(number, holder, info.uuid)
            if self._make(number + 1, mine):
                newest = self.newest()
                if newest == number + 1:
                    self._tidy(newest)
                    return
                number = newest  # somebody was ahead: what we saw was old
            else:
                number += 1
        raise StorageError(f"{self._what}: its claims change too fast: {self.folder}", "Try again.")

    def newest(self) -> int:
        """Return the number that counts; 0 for none, or one of an earlier version."""
        return max(self._numbers(), default=0)

    def _numbers(self) -> list[int]:
        return [number for key, number in _numbered(self.folder) if key == self._key]

    def _file(self, number: int) -> Path:
        """Return who has that number; without one, the file of an earlier version."""
        return self.folder / (f"{self._key}.{number}/{_CLAIM}" if number else f"{self._key}.json")

    def read(self, number: int) -> Claim | None:
        """Return the holder; None if there is none, or one that was tidied away by a newer one."""
        file = self._file(number)
        try:
            return parse(Claim, read_own(file), is_open=True)
        except FileNotFoundError:
            return None
        except PermissionError as error:
            message = f"{file}: {error.strerror}, so it cannot be told who writes to {self._what}"
            raise StorageError(message, os_hint(error)) from error
        except ValueError as error:
            message = f"{file}: damaged, so it cannot be told who writes to {self._what}"
            raise StorageError(message, f"Look at it, then: rm {quote(str(file))}") from error

    def require_free(self, number: int, holder: Claim, uuid: str) -> None:
        """Raise UsageError if another execution holds it, and is live."""
        if holder.uuid != uuid and (way_out := _way_out(holder, self._file(number))):
            raise UsageError(self.held_by(holder), way_out)

    def require_own(self, ledger: Path) -> None:
        """Raise UsageError if a result of another project lies there: claims are each project's."""
        there = Path(self.path.removesuffix(".*"))
        if os.path.lexists(there) and (other := other_ledger(there, ledger)):
            message = f"{self._what} holds a result of another project: {Path(other).parent}"
            raise UsageError(
                message, f"Write elsewhere, or move it away with its {there.name}.prov"
            )

    def held_by(self, holder: Claim) -> str:
        """Return that a live execution has it, or a place that it shares."""
        as_what = "" if holder.to in {"", self.path} else f" (as {holder.to})"
        return f"{self._what} is being written by {holder.execution}{as_what}, which is not over"

    def _make(self, number: int, claim: Claim) -> bool:
        fresh = self.folder / f".{self._key}.{os.urandom(6).hex()}"
        fresh.mkdir()
        publish_json(fresh / _CLAIM, encode(claim))
        target = self._file(number).parent
        try:
            fresh.rename(target)
        except OSError:
            shutil.rmtree(fresh, ignore_errors=True)
            if not target.is_dir():
                raise
            return False
        sync_folder(self.folder)
        return True

    def _tidy(self, newest: int) -> None:
        """Remove what counts no more. Never the newest: numbers only grow."""
        for number in self._numbers():
            if number < newest:
                shutil.rmtree(self._file(number).parent, ignore_errors=True)
        with suppress(OSError):
            self._file(0).unlink(missing_ok=True)


def _way_out(holder: Claim, file: Path) -> str:
    """Return how a holder that may be live gets out of the way; empty if it is over."""
    layout = ExecutionLayout(Path(holder.home))
    try:
        layout.root.lstat()
        info = read_info(layout)
        history = journal.read(layout) if info.uuid == holder.uuid else Journal()
        last, is_lost = history.last, history.is_lost  # an intent preceded the lock
        own = holder.attempt or (last.number if last else 0)
        if not is_lost and (last is None or last.number != own):
            return ""  # one attempt begins when the other is over, and takes its own locks
        current = status(layout, scheduler_named(info.scheduler))
    except (FileNotFoundError, NotADirectoryError):
        return ""  # removed: dfh executions rm
    except (DeepforgeHpcError, OSError):  # its jobs may run all the same
        return f"It cannot be read; once you know that nothing of it runs: rm {quote(str(file))}"
    if current.is_closed and not is_lost:
        return ""
    is_live = any(job.state.is_live for job in current.jobs)
    if not is_live and not is_being_submitted(layout):
        known = "Nobody knows how it ended; once you know that nothing of it runs"
        return f"{known}: dfh executions rm --force {holder.execution}"
    return f"Wait for it, or end it: dfh cancel {holder.execution}"
