"""Values as Slurm prints them. Pure."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import field, fields
from typing import Any, TypeVar

_T = TypeVar("_T")
_NOTHING = frozenset({"", "(null)", "N/A", "n/a", "NONE", "None", "UNLIMITED", "INFINITE"})
ODD = "\ufffd"


def keyed(name: str, read: Callable[[str | None], Any]) -> Any:
    """Declare a field by the key of Slurm's that holds it; without the key, None is read."""
    return field(default_factory=lambda: read(None), metadata={"key": name, "read": read})


def made(kind: type[_T], record: Mapping[str, str], **others: Any) -> _T:
    """Return what a record of Slurm's tells in the fields that are `keyed`; `others`: the rest."""
    declared: Any = kind
    found = {
        item.name: item.metadata["read"](record.get(item.metadata["key"]))
        for item in fields(declared)
        if item.metadata
    }
    return kind(**found, **others)


def marked(text: str) -> str:
    """Return text with ODD for each character that drives a terminal, or that YAML refuses."""
    lines = text.replace("\r\n", "\n").replace("\t", " ").split("\n")
    return "\n".join(
        line
        if line.isprintable()
        else "".join(character if character.isprintable() else ODD for character in line)
        for line in lines
    )


def word(value: str | None) -> str:
    """Return a value, empty if it says that there is none."""
    return "" if value is None or value in _NOTHING else value


def count(value: str | None) -> int | None:
    """Return a number, None for `UNLIMITED` and what is no number."""
    match = re.match(r"\d{1,15}\b", word(value))
    return int(match[0]) if match else None


def seconds(value: str | None) -> int | None:
    """Return the seconds of `[D-]HH:MM:SS`, None for `UNLIMITED`, `NONE` and what is no time."""
    match = re.fullmatch(r"(?:(\d{1,6})-)?(\d{1,6}):(\d\d):(\d\d)", word(value))
    if not match:
        return None
    days, hours, minutes, rest = (int(part or 0) for part in match.groups())
    return ((days * 24 + hours) * 60 + minutes) * 60 + rest


def tres(value: str | None) -> dict[str, int]:
    """Return `cpu=32,mem=100G,gres/gpu=4` as numbers; memory is in MiB."""
    found: dict[str, int] = {}
    for name, _, text in (item.partition("=") for item in (value or "").split(",")):
        if match := re.fullmatch(r"([0-9]{1,15})([MGTP]?)", text):
            unit = _MIB[match[2]] if name == "mem" else not match[2]
            found |= {name: int(match[1]) * unit} if unit else {}
    return found


_MIB = {"": 1, "M": 1, "G": 1024, "T": 1024**2, "P": 1024**3}


def names(value: str | None) -> tuple[str, ...]:
    """Return the items of a list with commas; none for `ALL`."""
    text = word(value)
    return () if text in {"", "ALL"} else tuple(filter(None, text.split(",")))
