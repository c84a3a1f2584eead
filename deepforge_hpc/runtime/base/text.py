"""Values as a person reads them, and text that can drive neither a terminal nor a page."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable

_ESCAPE = (
    r"\x1b\][^\x07\x1b]*(?:\x07|\x1b\\)?"  # OSC: titles and links
    r"|\x1b[PX^_][^\x1b]*(?:\x1b\\)?"  # strings for a device
    r"|\x1b\[[0-?]*[ -/]*[@-~]?"  # CSI: colours, movement
    r"|\x1b[ -/]*[0-~]?"
)
# C0 without tab and newline, DEL, C1, and the marks that reorder or break a line.
_CONTROL = "[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]"
NONE = "\u2013"
"""What stands for a value that is not there."""


def title(job: str, task: int | None) -> str:
    """Return what a job, or a task of an array, is called."""
    return job if task is None else f"{job} task {task}"


def clean(text: str) -> str:
    """Return text without escape sequences and control characters; lines and tabs stay.

    Of a line that was written over (a progress bar), what stood at last is kept.
    """
    if text.isascii() and text.isprintable():
        return text
    text = re.sub(_ESCAPE, "", text)
    if "\r" in text:
        text = "\n".join(_last_written(line) for line in text.split("\n"))
    return drop_controls(text)


def drop_controls(text: str) -> str:
    """Return text without the characters that drive a terminal or reorder a line."""
    return re.sub(_CONTROL, "", text)


def _last_written(line: str) -> str:
    return next((part for part in reversed(line.split("\r")) if part.strip("\b ")), "")


def clean_lines(data: bytes, most: int) -> list[str]:
    """Return the last lines of a log as plain text, credentials cut out."""
    lines = data.decode("utf-8", "replace").rstrip().split("\n")[-most:]
    return [clean_line(line) for line in lines]


def clean_line(line: str, limit: int = 400) -> str:
    """Return a line as plain text with its blanks, credentials cut out."""
    from .redact import filter_text

    return _cut(filter_text(clean(line).replace("\t", "    ").rstrip()), limit)


def plain(value: object, limit: int = 500) -> str:
    """Return any value as one line for a person: no controls, no credentials."""
    from .redact import filter_text

    line = re.sub(_CONTROL, " ", re.sub(_ESCAPE, "", str(value)[: 4 * limit]))
    return _cut(filter_text(" ".join(line.split())), limit)


def _cut(line: str, limit: int) -> str:
    return line if len(line) <= limit else line[: limit - 1] + "…"


def duration(seconds: float | None) -> str:
    """Return `4.2 s`, `30 min`, `6 min 12 s`, `3 h 05 min` or `2 d 4 h`."""
    if seconds is None:
        return NONE
    if seconds < 10:
        return f"{max(0.0, seconds):.1f} s"
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return _two(whole // 60, "min", whole % 60, "s")
    if whole < 86400:
        return _two(whole // 3600, "h", whole % 3600 // 60, "min")
    return _two(whole // 86400, "d", whole % 86400 // 3600, "h")


def _two(amount: int, unit: str, rest: int, smaller: str) -> str:
    return f"{amount} {unit} {rest:02d} {smaller}" if rest else f"{amount} {unit}"


def size(count: object) -> str:
    """Return a number of bytes as `1.4 MiB`."""
    if not isinstance(count, (int, float)) or isinstance(count, bool):
        return NONE
    value = float(min(count, 1 << 80))
    for unit in ("B", "KiB", "MiB", "GiB", "TiB"):
        if value < 1024 or unit == "TiB":
            break
        value /= 1024
    return f"{value:.0f} {unit}" if unit == "B" or value >= 100 else f"{value:.1f} {unit}"


def number(value: float | None) -> str:
    """Return a number with four significant digits; a whole one as it is."""
    if value is None or not math.isfinite(value):
        return "not finite"
    whole = value == int(value) and abs(value) < 1e7
    text = f"{int(value):,}".replace(",", "\u2009") if whole else f"{value:.4g}"
    return minus(text)


def minus(text: str) -> str:
    """Return a number with a proper minus, and an exponent without zeros in front."""
    mantissa, letter, exponent = text.partition("e")
    return f"{mantissa}{letter}{int(exponent) if letter else ''}".replace("-", "\u2212")


def count(amount: int, word: str, several: str = "") -> str:
    """Return `1 task` or `5 tasks`."""
    return f"{amount} {word if amount == 1 else several or word + 's'}"


def listed(names: Iterable[str], most: int = 5, *, last: str = ", ") -> str:
    """Return `a, b, c`, or of more than `most` names `a, b and 7 more`; `last` joins the last."""
    shown = list(names)
    if len(shown) > most:
        shown, last = [*shown[: most - 1], f"{len(shown) - most + 1} more"], " and "
    return last.join(filter(None, [", ".join(shown[:-1]), *shown[-1:]]))
