"""How fast jobs may be submitted, where a site says so."""

from __future__ import annotations

import time
from collections import deque
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

_MINUTE_S = 60.0


class Pace:
    """At most so many in any 60 seconds: few jobs go at once, many wait for their turn."""

    def __init__(
        self,
        per_minute: int | None,
        *,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._recent: deque[float] = deque(maxlen=per_minute)
        self._is_limited = bool(per_minute)
        self._clock, self._sleep = clock, sleep

    def wait(self) -> None:
        """Return when one more may be submitted, and count it."""
        if not self._is_limited:
            return
        if len(self._recent) == self._recent.maxlen:
            rest = self._recent[0] + _MINUTE_S - self._clock()
            if rest > 0:
                self._sleep(rest)
        self._recent.append(self._clock())
