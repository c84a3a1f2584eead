"""What a check found."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

OK, WARN, ERROR = "OK", "WARN", "ERROR"


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One line of the report."""

    level: str
    """OK | WARN | ERROR"""
    check: str
    message: str
    next: str = ""
    """What to do; empty for OK."""

    def to_dict(self) -> dict[str, Any]:
        """Return JSON data."""
        return asdict(self)


def ok(check: str, message: str) -> Finding:
    """Return that a check found nothing wrong."""
    return Finding(level=OK, check=check, message=message)


def warn(check: str, message: str, step: str) -> Finding:
    """Return that something may go wrong, or cannot be known."""
    return Finding(level=WARN, check=check, message=message, next=step)


def error(check: str, message: str, step: str) -> Finding:
    """Return that something will go wrong."""
    return Finding(level=ERROR, check=check, message=message, next=step)
