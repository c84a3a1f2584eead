"""Values as a person reads them, and text that is safe to put into a page."""

from __future__ import annotations

import html
import math
import re
from datetime import datetime, timezone
from urllib.parse import quote

from .redact import filter_text

_ESCAPE = re.compile(
    r"\x1b\][^\x07\x1b]*(?:\x07|\x1b\\)?"  # OSC: titles and links
    r"|\x1b[PX^_][^\x1b]*(?:\x1b\\)?"  # strings for a device
    r"|(?:\x1b\[|\x9b)[0-?]*[ -/]*[@-~]?"  # CSI: colours, movement
    r"|\x1b[ -/]*[0-~]?"
)
# Controls, and marks that reverse the direction of what follows.
_CONTROL = re.compile(
    "[\x00-\x08\x0a-\x1f\x7f-\x9f\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069\ud800-\udfff]"
)
_LINE = 400
NONE = "\u2013"
"""What stands for a value that is not there."""


def esc(value: object) -> str:
    """Return text for HTML, as content or as a quoted attribute; controls are left out."""
    return html.escape(_CONTROL.sub("", str(value)), quote=True)


def href(*parts: str) -> str:
    """Return a relative link to a file of the execution."""
    return esc("/".join(quote(part, safe="") for path in parts for part in path.split("/")))


def clean_lines(data: bytes, count: int) -> list[str]:
    """Return the last lines of a log as plain text, credentials cut out.

    Of a line that was written over (a progress bar), what stood at last is kept.
    """
    text = _ESCAPE.sub("", data.decode("utf-8", "replace").replace("\r\n", "\n"))
    lines = text.rstrip().split("\n")[-count:]
    return [_last_written(line) for line in lines]


def _last_written(line: str) -> str:
    shown = next((part for part in reversed(line.split("\r")) if part.strip("\b ")), "")
    shown = filter_text(_CONTROL.sub("", shown.replace("\t", "    ")).rstrip())
    return shown if len(shown) <= _LINE else shown[: _LINE - 1] + "…"


def plain(value: object, limit: int = 500) -> str:
    """Return any value as one line for a person: no controls, no credentials."""
    line = filter_text(_CONTROL.sub(" ", _ESCAPE.sub("", str(value)[: 4 * limit])))
    return line if len(line) <= limit else line[: limit - 1] + "…"


def parse_time(value: object) -> datetime | None:
    """Return a time written in ISO 8601, as UTC; None if it is none."""
    if not isinstance(value, str):
        return None
    try:
        time = datetime.fromisoformat(value.replace("Z", "+00:00"))
        if time.tzinfo is None:
            time = time.replace(tzinfo=timezone.utc)
        return time.astimezone(timezone.utc)
    except (ValueError, OverflowError):
        return None


def moment(time: datetime | None) -> str:
    """Return `2026-11-01 12:03 UTC`."""
    return NONE if time is None else time.strftime("%Y-%m-%d %H:%M UTC")


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


def as_list(value: object) -> list[object]:
    """Return a JSON list; an empty one for anything else."""
    return value if isinstance(value, list) else []
