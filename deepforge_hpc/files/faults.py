"""Faults of a YAML file, each at its place, and how a user's values stand in messages."""

from __future__ import annotations

import re
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Final, Protocol

if TYPE_CHECKING:
    from collections.abc import Iterable

    from deepforge_hpc.errors import Fault
    from deepforge_hpc.files.yaml12 import Mark

Path = tuple[str | int, ...]
BAD: Final = object()
"""The answer of a kind whose value is wrong."""

NAME = re.compile(r"[A-Za-z][A-Za-z0-9_]{0,63}")
NAME_RULE = "letters, digits and _ after a first letter, 64 at most"

_BESIDE = 25
"""Names before and after one, by its beginning and by its end, that may be meant."""


class Marked(Protocol):
    """Data of which each part stands at a place: one document, or several laid over each other."""

    @property
    def file(self) -> str:
        """The file, as the user would name it."""

    def value(self) -> Any:
        """Return the plain data."""

    def mark(self, path: Path = (), *, key: bool = False) -> Mark:
        """Return where a value (or its key) stands."""

    def fault(self, message: str, path: Path = (), *, hint: str = "", key: bool = False) -> Fault:
        """Return a fault at the place of a value, or of its key."""


class Reader:
    """Collects the faults of one document."""

    def __init__(self, document: Marked) -> None:
        self.document = document
        self.faults: list[Fault] = []
        self.broken: set[Path] = set()
        """Places whose value is not of its kind; what is missing in them is not told as well."""

    def fault(self, path: Path, message: str, hint: str = "", *, key: bool = False) -> None:
        """Keep a fault; the message names the value by its dotted path."""
        where = dotted(path[:-1] if key else path)
        text = f"{where}: {message}" if where else message
        # A block that begins below its key is found by the key.
        of_key = self.document.mark(path, key=True)
        key = key or of_key.line != self.document.mark(path).line
        self.faults.append(self.document.fault(text, path, hint=hint, key=key))

    def wrong(self, path: Path, expected: str, value: object, hint: str = "") -> object:
        """Report that another thing was expected, and answer BAD."""
        self.fault(path, f"expected {expected}, not {shown(value)}", hint)
        self.broken.add(path)
        return BAD


def unquoted(value: object) -> str:
    """Return what to do about a value where any text is taken: a word that YAML reads as none."""
    return "quote it" if isinstance(value, (bool, int, float)) else ""


def dotted(path: Path) -> str:
    """Return `operations.train.inputs` for a path; keys that are no names are quoted."""
    text = ""
    for step in path:
        if isinstance(step, int):
            text += f"[{step}]"
        else:
            part = step if re.fullmatch(r"[A-Za-z0-9_-]{1,64}", step) else shown(step)
            text += f".{part}" if text else part
    return text


def shown(value: object) -> str:
    """Return a user's value for a message: escaped, short."""
    if value is None:
        return "nothing"
    if isinstance(value, dict):
        return "a mapping"
    if isinstance(value, list):
        return "a list"
    if isinstance(value, bool):
        return str(value).lower()
    text = ascii(value) if isinstance(value, str) and not value.isprintable() else repr(value)
    return text if len(text) <= 60 else f"{text[:40]}...{text[-8:]}"


def nearest(name: str, known: object) -> str:
    """Return `did you mean 'x'?`, or the list of what is known when it is short, or nothing."""
    names = tuple(map(str, known)) if hasattr(known, "__iter__") else ()
    listed = f"known: {', '.join(sorted(names))}" if 0 < len(names) <= 12 else ""
    return meant(name, names) or listed


def meant(name: str, known: Iterable[object]) -> str:
    """Return `did you mean 'x'?`, or nothing if no known name is near."""
    found = near(name, known)
    return f"did you mean {found!r}?" if found else ""


def near(name: str, known: Iterable[object], least: float = 0.6) -> str:
    """Return the known name that may have been meant; empty if none is that much like it."""
    import difflib

    names = tuple(map(str, known))
    folded = name.lower()
    begins, ends = _in_order(names)
    alike = {*_around(folded, begins), *(item[::-1] for item in _around(folded[::-1], ends))}
    found = difflib.get_close_matches(folded, sorted(alike), 1, least)
    return min((item for item in names if item.lower() in found), default="")


@lru_cache(maxsize=4)
def _in_order(names: tuple[str, ...]) -> tuple[list[str], list[str]]:
    """Return names in small letters, by how they begin; and backwards, by how they end."""
    folded = {name.lower() for name in names}
    return sorted(folded), sorted(item[::-1] for item in folded)


def _around(name: str, names: list[str]) -> list[str]:
    """Return the names beside one: of a large pipeline, each of many is not compared with all."""
    from bisect import bisect

    place = bisect(names, name)
    return names[max(0, place - _BESIDE) : place + _BESIDE]
