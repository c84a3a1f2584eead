"""The commands that an engine obeys, each once."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

    from .local_queue import Command, LocalQueue


class Inbox:
    """What others left for an engine.

    What it cannot read or take away it leaves aside, and says so in its log: one file of another
    user must not end the engine, and the jobs with it.
    """

    def __init__(self, queue: LocalQueue) -> None:
        self._queue = queue
        self._waiting: dict[Path, Command] = {}
        self._aside: set[Path] = set()

    def look(self) -> list[Command]:
        """Return the commands that wait, oldest first."""
        found = self._queue.commands(self._leave).items()
        self._waiting = {path: one for path, one in found if path not in self._aside}
        return list(self._waiting.values())

    def clear(self) -> None:
        """Take away the commands of the last look: their effect has been told."""
        for path in self._waiting:
            try:
                path.unlink(missing_ok=True)
            except OSError as error:  # noqa: PERF203 - a command or two
                self._leave(path, error)

    def _leave(self, path: Path, error: Exception) -> None:
        if path not in self._aside:
            self._aside.add(path)
            sys.stderr.write(f"{path}: left aside: {error}\n")
            sys.stderr.flush()
