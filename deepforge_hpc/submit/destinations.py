"""The lock of a declared `outputs.to`: one live execution at a time may write there.

`.dfh/claims/KEY.N/claim.json`, KEY being the digest of the path, names an attempt that took the
destination; the highest N counts. It needs no end: it holds as long as its execution is live. Who
finds the holder dead takes the next N, and of two who do one alone can: a folder with something in
it is renamed into its place. An attempt takes its locks once its intent is written, from where on
it is live: so nobody is found dead who is about to submit, and a process that dies holds nothing.
"""

from __future__ import annotations

import os
import re
import shutil
from contextlib import suppress
from pathlib import Path
from shlex import quote
from typing import TYPE_CHECKING

from deepforge_hpc.errors import DeepforgeHpcError, StorageError, UsageError
from deepforge_hpc.plugins.scheduler import scheduler_named
from deepforge_hpc.runtime.base.codec import encode, parse
from deepforge_hpc.runtime.base.files import digest, publish_json, read_own, sync_folder
from deepforge_hpc.runtime.base.layout import ExecutionLayout
from deepforge_hpc.submit import journal
from deepforge_hpc.submit.claim import Claim
from deepforge_hpc.submit.frozen import read_info
from deepforge_hpc.submit.inspect import status

if TYPE_CHECKING:
    from deepforge_hpc.runtime.base.execution import ExecutionInfo
    from deepforge_hpc.runtime.base.plan import Plan

_CLAIM = "claim.json"
_TRIES = 100


def check(info: ExecutionInfo, plan: Plan) -> None:
    """Raise UsageError if a live execution has a destination of a plan. Nothing is written."""
    for place in _places(info, plan):
        number = place.newest()
        if holder := place.read(number):
            place.require_free(number, holder, info.uuid)


def lock(info: ExecutionInfo, plan: Plan, attempt: int) -> None:
    """Lock the destinations of a plan for an attempt whose intent is written.

    Raises UsageError if a live execution has one of them; what was taken before it then falls with
    the attempt. StorageError if that cannot be written.
    """
    try:
        for place in _places(info, plan):
            place.take(info, attempt)
    except OSError as error:
        message = f"{info.ledger}/claims: cannot be written: {error.strerror}"
        raise StorageError(message, "Is the file system writable, and not full?") from error


def _places(info: ExecutionInfo, plan: Plan) -> list[_Place]:
    """Return the destinations in one order: of several who want all of them, one gets them."""
    paths = {os.path.realpath(output.to): output.name for output in plan.outputs if output.to}
    folder = Path(info.ledger, "claims")
    return [_Place(folder, path, name) for path, name in sorted(paths.items())]


class _Place:
    """One destination."""

    def __init__(self, folder: Path, path: str, name: str) -> None:
        self.folder = folder
        self._path = path
        self._what = f"outputs.{name}.to {path}"
        self._key = digest(path.encode()).removeprefix("sha256:")[:32]

    def take(self, info: ExecutionInfo, attempt: int) -> None:
        """Lock it for an attempt, unless that has it already."""
        self.folder.mkdir(exist_ok=True)
        mine = Claim(info.id, info.home, info.uuid, attempt, self._path)
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
        pattern = re.compile(rf"{self._key}\.([0-9]+)")
        try:
            names = os.listdir(self.folder)  # noqa: PTH208 - names are all that is wanted
        except FileNotFoundError:
            return []
        return [int(match[1]) for name in names if (match := pattern.fullmatch(name))]

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
        except ValueError as error:
            message = f"{file}: damaged, so it cannot be told who writes to {self._what}"
            raise StorageError(message, f"Look at it, then: rm {quote(str(file))}") from error

    def require_free(self, number: int, holder: Claim, uuid: str) -> None:
        """Raise UsageError if another execution holds it, and is live."""
        if holder.uuid != uuid and (way_out := _way_out(holder, self._file(number))):
            message = f"{self._what} is being written by {holder.execution}, which is not over"
            raise UsageError(message, way_out)

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
        last = journal.read(layout).last if info.uuid == holder.uuid else None
        if last is None or last.number != (holder.attempt or last.number):
            return ""  # one attempt begins when the other is over, and takes its own locks
        current = status(layout, scheduler_named(info.scheduler))
    except (FileNotFoundError, NotADirectoryError):
        return ""  # removed: dfh executions rm
    except (DeepforgeHpcError, OSError):  # its jobs may run all the same
        return f"It cannot be read; once you know that nothing of it runs: rm {quote(str(file))}"
    if current.is_closed:
        return ""
    if not any(job.state.is_live for job in current.jobs):
        known = "Nobody knows how it ended; once you know that nothing of it runs"
        return f"{known}: dfh executions rm --force {holder.execution}"
    return f"Wait for it, or end it: dfh cancel {holder.execution}"
