"""Times as files hold them, and as a person reads them."""

from __future__ import annotations

from datetime import datetime, timezone

from .text import NONE


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
