"""The only writer to stdout: text or JSON from one call, talk and errors to stderr."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from deepforge_hpc.api.steps import Steps
    from deepforge_hpc.errors import DeepforgeHpcError
    from deepforge_hpc.runtime.base.notice import Notice

_COLOURS = {
    **dict.fromkeys(("succeeded", "reused"), "green"),
    **dict.fromkeys(("running", "publishing"), "cyan"),
    **dict.fromkeys(("failed", "upstream_failed"), "red"),
    **dict.fromkeys(("interrupted", "cancelled", "unknown", "never_ran"), "yellow"),
}


def _clean(text: str) -> str:
    """Return text that cannot drive a terminal."""
    # Imported here: `dfh --help` prints nothing that needs it.
    from deepforge_hpc.runtime.base.text import clean

    return clean(text)


Column = tuple[str, "str | Callable[[Any], str]"]
"""Title, and the attribute of an item, or a function of it, that is shown."""
_THEIRS = frozenset({"attributes", "computed", "defaults", "lines"})
"""Keys of documents below which all is somebody else's, and is told as it is."""
_WIDEST = 48
"""Characters of a column that all rows are padded to."""


class Stated(str):
    """A line in which a state stands. Only that is coloured: the same word may be a name."""

    __slots__ = ("at", "state")

    at: int
    state: str

    def __new__(cls, before: str, state: str, after: str) -> Stated:  # noqa: PYI034 - Self came with Python 3.11
        """Return `before`, the state and `after` as one line."""
        line = super().__new__(cls, f"{before}{state}{after}")
        line.at, line.state = len(before), state
        return line


class Verbatim(str):
    """A line of somebody else's: what looks like a step in it is theirs."""

    __slots__ = ()


def listing(columns: Sequence[Column], items: Sequence[Any]) -> list[str]:
    """Return a table with a line for each item; what is empty is `-`, but for the last column."""

    def cell(item: object, shown: str | Callable[[Any], str]) -> str:
        value = getattr(item, shown) if isinstance(shown, str) else shown(item)
        return value if isinstance(value, str) else str(value)

    *_, last = columns
    rows = [
        [cell(item, column[1]) or ("" if column is last else "-") for column in columns]
        for item in items
    ]
    titles = [title for title, _ in columns]
    return table(titles, rows, [item.state for item in items] if "STATE" in titles else ())


def explained(head: str, text: str, width: int) -> Iterator[str]:
    """Yield a name with what it takes, and below it what is said of it."""
    import textwrap

    yield f"  {head}"
    yield from textwrap.wrap(text, width, initial_indent=" " * 6, subsequent_indent=" " * 6)


def table(
    header: Sequence[str], rows: Iterable[Sequence[str]], states: Sequence[str] = ()
) -> list[str]:
    """Return aligned lines; the last column is as long as it likes.

    `states`: with what the cell of each row begins in the column STATE.

    A cell that is much longer than others pushes what follows in its own row alone.
    """
    cells = [tuple(header), *(tuple(map(_one_line, row)) for row in rows)]
    lengths = [[len(row[column]) for row in cells] for column in range(len(header))]
    widths = [max(n for n in column if n <= _WIDEST or n == column[0]) for column in lengths]
    lines = [
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in cells
    ]
    if not states:
        return lines
    column = header.index("STATE")
    found = lines[:1]
    for line, row, state in zip(lines[1:], cells[1:], states, strict=True):
        at = sum(map(max, map(len, row[:column]), widths)) + 2 * column
        found.append(Stated(line[:at], state, line[at + len(state) :]))
    return found


def _one_line(cell: str) -> str:
    """Return a cell whose own line breaks and tabs are seen, and do not break the table."""
    return _clean(cell).replace("\n", "\\n").replace("\t", "\\t")


def notice_lines(notices: Iterable[Notice]) -> list[str]:
    """Return what a person should know, a line each."""
    return [f"{notice.level}: {notice}" for notice in notices]


@contextmanager
def if_interrupted(left: str) -> Iterator[None]:
    """Let Ctrl-C say what is left, where the interrupted work itself does not."""
    try:
        yield
    except KeyboardInterrupt as error:
        error.args = error.args or (f"Stopped. {left}",)
        raise


class Display:
    """Where a command's results go, and in which format."""

    def __init__(self, *, as_json: bool = False) -> None:
        self.as_json = as_json
        self.debug = False
        self.steps: Steps | None = None
        """Of what the command is about: they do here what they say."""

    @property
    def is_terminal(self) -> bool:
        """Tell whether stdout is a terminal that understands cursor movement."""
        return sys.stdout.isatty() and os.environ.get("TERM", "dumb") != "dumb"

    @property
    def has_colour(self) -> bool:
        """Tell whether colours are wanted: on a terminal, unless NO_COLOR is set."""
        return self.is_terminal and not os.environ.get("NO_COLOR")

    def result(self, document: Mapping[str, object], text: Iterable[str]) -> None:
        """Write one result: the document as JSON, or the lines of text."""
        if self.as_json:
            import json

            document = self._typed_within(document)
            self.write(json.dumps(document, indent=2, sort_keys=False) + "\n")
        else:
            self.lines(text)

    def lines(self, text: Iterable[str]) -> None:
        """Write lines of text to stdout."""
        self.write("".join(f"{self._coloured(self.typed(line))}\n" for line in text))

    def typed(self, line: str) -> str:
        """Return a line whose steps, if it has any, are as they are typed in the current folder."""
        if self.steps is None or isinstance(line, (Stated, Verbatim)):
            return line
        return self.steps.typed(line)

    def _typed_within(self, value: Any) -> Any:
        """Return a document with such steps."""
        if isinstance(value, (list, tuple)):
            return [self._typed_within(item) for item in value]
        if not isinstance(value, Mapping) or self.steps is None:
            return value
        return {
            key: self.typed(item)
            if key in {"next", "hint"} and isinstance(item, str)
            else item
            if key in _THEIRS
            else self._typed_within(item)
            for key, item in value.items()
        }

    def write(self, text: str) -> None:
        """Write text that is safe already to stdout, now."""
        sys.stdout.write(text)
        sys.stdout.flush()

    def talk(self, text: str) -> None:
        """Write a remark to stderr: what a script that reads stdout must not see."""
        sys.stderr.write(f"{_clean(self.typed(text))}\n")
        sys.stderr.flush()

    def notices(self, notices: Iterable[Notice]) -> None:
        """Write what the user should know, besides the result."""
        for line in notice_lines(notices):
            self.talk(line)

    def discard(self) -> None:
        """Send all further output nowhere: the reader, or the terminal, is gone.

        Without this the interpreter fails once more when it flushes its streams at its end.
        """
        null = os.open(os.devnull, os.O_WRONLY)
        for stream in (sys.stdout, sys.stderr):
            with suppress(OSError, ValueError):
                os.dup2(null, stream.fileno())
        os.close(null)

    def error(self, error: DeepforgeHpcError) -> None:
        """Write an error to stderr, and as a document to stdout if JSON was asked for."""
        faults = getattr(error, "faults", ())
        for message in [str(fault) for fault in faults] or [error.message]:
            self.talk(f"error: {message}")
        if error.hint:
            self.talk(f"hint: {error.hint}")
        if self.as_json:
            self.result({"schema": "dfh/error/1", "error": _error_document(error, faults)}, ())

    def _coloured(self, line: str) -> str:
        if not isinstance(line, Stated) or line.state not in _COLOURS or not self.has_colour:
            return _clean(line)
        state = click.style(line.state, fg=_COLOURS[line.state])
        return _clean(line[: line.at]) + state + _clean(line[line.at + len(line.state) :])


def _error_document(error: DeepforgeHpcError, faults: Iterable[object]) -> dict[str, object]:
    names = ("message", "file", "line", "column", "hint")
    return {
        "type": type(error).__name__,
        "message": error.message,
        "hint": error.hint,
        "exit_code": error.exit_code,
        "faults": [{name: getattr(fault, name) for name in names} for fault in faults],
    }
