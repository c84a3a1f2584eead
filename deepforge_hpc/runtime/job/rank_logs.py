"""The logs of ranks, kept from growing without an end while the job runs."""

from __future__ import annotations

import os
import time
from contextlib import suppress

from ..base.context import Context
from ..base.files import opened

MAX_BYTES = 64 << 20
_EVERY_S = 60.0


class RankLogs:
    """Of each rank's own log that has grown too large, the middle is left out.

    Its beginning and its end tell most; a rank that prints at each step for days must not fill the
    disk of all.
    """

    def __init__(self, context: Context) -> None:
        self._context = context
        self._next = time.monotonic() + _EVERY_S

    def tend(self) -> None:
        """Look at them, once in a while: each costs a call on the shared file system."""
        if self._context.by_hand or time.monotonic() < self._next:
            return
        self._next = time.monotonic() + _EVERY_S
        self.shorten()

    def shorten(self, most: int = MAX_BYTES) -> None:
        """Shorten those that are longer."""
        context = self._context
        ranks = context.job.launch.world_size
        for rank in range(ranks if ranks > 1 else 0):
            path = context.layout.rank_log(context.name, context.attempt, rank, context.task)
            with suppress(OSError):
                size = path.stat().st_size
                if size > most:
                    with opened(path, os.O_RDWR | os.O_APPEND) as log:
                        _leave_out_the_middle(log, size, most)


def _leave_out_the_middle(log: int, size: int, most: int) -> None:
    head, tail = most // 2, most // 8
    last = os.pread(log, tail, size - tail)
    os.ftruncate(log, head)  # the rank appends, so it goes on behind what is written here
    note = f"\n[dfh: {size - head - tail} bytes are left out here]\n".encode()
    os.write(log, note + last)
