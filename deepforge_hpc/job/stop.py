"""A request to stop, looked at between two steps instead of raised in the middle of one."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

_SIGNALS = (signal.SIGUSR1, signal.SIGTERM)


class StopRequest:
    """Whether the job was asked to stop: by its time limit, a preemption or a cancellation."""

    def __init__(self) -> None:
        self.signal: signal.Signals | None = None
        """SIGUSR1 is the warning before the time limit; None as long as nobody asked."""

    @property
    def asked(self) -> bool:
        """Tell whether this rank was; ranks hear of it at different steps, so let them agree."""
        return self.signal is not None

    def _note(self, number: int, _frame: FrameType | None) -> None:
        self.signal = self.signal or signal.Signals(number)


@contextmanager
def stopping() -> Iterator[StopRequest]:
    """Hold a request to stop back until the end of the block, where it is raised after all.

    with stopping() as stop:
        for batch in batches:
            step(batch)
            if stop.asked:
                save()
                break

    A job has 30 seconds from the warning on and less after a SIGTERM: look at each step. Only the
    main thread can hold signals; in another one nothing changes, and `asked` stays False.
    """
    request = StopRequest()
    if threading.current_thread() is not threading.main_thread():
        yield request
        return
    before = {number: signal.signal(number, request._note) for number in _SIGNALS}  # noqa: SLF001
    try:
        yield request
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    if request.signal is not None:
        signal.raise_signal(request.signal)
