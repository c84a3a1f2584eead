"""Follow an execution in the terminal until it is over.

On a terminal the view is redrawn in place; elsewhere a line is added for each change; as JSON the
status at the end is written. The jobs are not this process's children: whatever ends the watching
leaves them running.
"""

from __future__ import annotations

import shutil
import signal
import time
from typing import TYPE_CHECKING

from deepforge_hpc.api import manage
from deepforge_hpc.cli.views.status import change_line, rows_of, screen_lines, status_lines
from deepforge_hpc.runtime.base.states import State

if TYPE_CHECKING:
    from types import FrameType

    from deepforge_hpc.api.find import FoundExecution
    from deepforge_hpc.cli.views.display import Display
    from deepforge_hpc.runtime.base.notice import Notice
    from deepforge_hpc.runtime.state.status import ExecutionStatus

NOT_SUCCEEDED = 9
"""Exit code of a watched execution that ended, but not with success of every job."""
_HANGUP = 129
_MANY = 5
"""Jobs that another may wait for and still be told of whenever one of them ends."""
_LAST_LOOKS = 6
"""How often an execution in which nothing can move is looked at before it is given up: accounting
lags behind the queue."""


class _HangupError(BaseException):
    """The terminal is gone."""


def watch(
    display: Display,
    found: FoundExecution,
    *,
    interval: float | None = None,
    notices: tuple[Notice, ...] = (),
) -> int:
    """Follow an execution; return 0 if every job succeeded, NOT_SUCCEEDED if it ended otherwise.

    `notices`: what a person was told before, and a program is to find in the one document.
    Raises KeyboardInterrupt after it has said how to follow again.
    """
    again = f"The jobs go on. To follow again: dfh status {found.id} --watch"
    before = signal.signal(signal.SIGHUP, _hang_up)
    try:
        return _follow(display, found, interval, _view(display, notices))
    except KeyboardInterrupt:
        display.talk(f"\n{again}")
        raise
    except _HangupError:
        display.discard()
        return _HANGUP
    finally:
        signal.signal(signal.SIGHUP, before)


def _follow(display: Display, found: FoundExecution, interval: float | None, view: _Closing) -> int:
    pause = interval or manage.usual_pause_s(found)
    least = manage.least_pause_s(found)
    if interval and interval < least:
        display.talk(f"The site wants {least:g} s between looks (login.poll_s): so it is.")
    pause = max(pause, least)
    stuck = 0
    while True:
        current = manage.status(found)
        stuck = 0 if current.can_move else stuck + 1
        if current.is_closed or stuck > _LAST_LOOKS:
            view.close(current)
            return 0 if current.state.is_success else NOT_SUCCEEDED
        view.show(current)
        time.sleep(pause)


def _view(display: Display, notices: tuple[Notice, ...]) -> _Redrawn | _Appended | _Closing:
    if display.as_json:
        return _Closing(display, notices)
    return _Redrawn(display) if display.is_terminal else _Appended(display)


class _Closing:
    """One document, at the end: for programs."""

    def __init__(self, display: Display, notices: tuple[Notice, ...] = ()) -> None:
        self._display = display
        self._notices = notices

    def show(self, current: ExecutionStatus) -> None:
        """Show what is so now; a document waits for the end."""

    def close(self, current: ExecutionStatus) -> None:
        """Write the last status."""
        self._display.result(current.with_warnings(self._notices).to_dict(), ())


class _Redrawn(_Closing):
    """The whole status, drawn over itself."""

    _height = 0

    def show(self, current: ExecutionStatus) -> None:
        size = shutil.get_terminal_size()
        lines = screen_lines(current, size.lines - 1, size.columns)
        lines = [self._display.typed(line) for line in lines]
        if rows_of(lines, size.columns) >= size.lines:
            # A screen that scrolls could not be drawn over.
            lines = [line[: size.columns] for line in lines[: size.lines - 1]]
        self._erase()
        self._display.lines(lines)
        self._height = rows_of(lines, size.columns)

    def close(self, current: ExecutionStatus) -> None:
        self._erase()
        self._display.lines(status_lines(current))

    def _erase(self) -> None:
        if self._height:
            self._display.write(f"\x1b[{self._height}A\x1b[J")


class _Appended(_Closing):
    """A line for each job that has changed: for logs and pipes."""

    def __init__(self, display: Display) -> None:
        super().__init__(display)
        self._said: dict[str, str] = {}

    def show(self, current: ExecutionStatus) -> None:
        """Add a line for each job whose state or metrics are not those of the last line.

        A job that waits for many others is told once: each of these that ends says so itself.
        """
        changed = []
        at_work = {job.name for job in current.jobs if not job.state.is_final}
        for job in current.work:
            line = said = change_line(job)
            if job.state is State.PENDING and len(at_work.intersection(job.plan.after)) > _MANY:
                said = job.detail
            if self._said.get(job.name, "planned") != said:
                self._said[job.name] = said
                changed.append(f"{time.strftime('%H:%M:%S')}  {line}")
        self._display.lines(changed)

    def close(self, current: ExecutionStatus) -> None:
        self.show(current)
        self._display.lines(["", *status_lines(current)])


def _hang_up(number: int, frame: FrameType | None) -> None:  # noqa: ARG001 -- a handler's signature
    raise _HangupError
