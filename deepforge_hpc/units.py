"""Durations and memory sizes as people and Slurm write them."""

from __future__ import annotations

import re
from functools import lru_cache

_SUFFIX_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86400}
_MEMORY_KIB = {"K": 1, "M": 1 << 10, "G": 1 << 20, "T": 1 << 30}
_DECIMAL_BYTES = {"K": 10**3, "M": 10**6, "G": 10**9, "T": 10**12}

DURATION = (
    r"[0-9]{1,9} ?[smhd]|([0-9]{1,6}-)?[0-9]{1,6}:[0-5][0-9]:[0-5][0-9]|[0-9]{1,6}-[0-9]{1,2}"
)
"""Regular expression of what parse_duration takes."""
MEMORY = r"[0-9]{1,9} ?[KMGT](iB|B)?"
"""Regular expression of what parse_memory takes."""


@lru_cache(maxsize=1024)
def parse_duration(text: str) -> int:
    """Return the seconds of `90m`, `2h`, `1d`, `HH:MM:SS`, `D-HH:MM:SS`, `D-HH`.

    `MM:SS` and a bare number are refused with ValueError: Slurm reads them as minutes (and
    seconds), people often mean hours.
    """
    if match := re.fullmatch(r"([0-9]{1,9}) ?([smhd])", text):
        return int(match[1]) * _SUFFIX_SECONDS[match[2]]
    if match := re.fullmatch(r"(?:([0-9]{1,6})-)?([0-9]{1,6}):([0-5][0-9]):([0-5][0-9])", text):
        days, hours, minutes, seconds = (int(part or 0) for part in match.groups())
        return ((days * 24 + hours) * 60 + minutes) * 60 + seconds
    if match := re.fullmatch(r"([0-9]{1,6})-([0-9]{1,2})", text):
        return (int(match[1]) * 24 + int(match[2])) * 3600
    raise ValueError(f"{text!r} is not a duration; write 90m, 2h, 08:00:00 or 1-12:00:00")


def format_duration(seconds: int) -> str:
    """Return a duration as Slurm writes it: `08:00:00`, `1-12:00:00`."""
    days, rest = divmod(seconds, 86400)
    clock = f"{rest // 3600:02d}:{rest // 60 % 60:02d}:{rest % 60:02d}"
    return f"{days}-{clock}" if days else clock


@lru_cache(maxsize=1024)
def parse_memory(text: str) -> int:
    """Return the MiB of `4GiB`, `4G` (as Slurm: 2^30), `512M`, `16 GB` (10^9 bytes), rounded up.

    ValueError for anything else, a bare number included: its unit is a guess.
    """
    match = re.fullmatch(r"([0-9]{1,9}) ?([KMGT])(iB|B)?", text)
    if not match:
        raise ValueError(f"{text!r} is not a memory size; write 4GiB, 512MiB or 16GB")
    number, unit, kind = int(match[1]), match[2], match[3]
    if kind == "B":
        return -(-number * _DECIMAL_BYTES[unit] // (1 << 20))
    return -(-number * _MEMORY_KIB[unit] // (1 << 10))
