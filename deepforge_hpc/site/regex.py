"""Regular expressions of a site file that end: others could hold up every command for ever."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

try:
    from re import _parser  # type: ignore[attr-defined]
except ImportError:  # Python 3.10
    import sre_parse as _parser


_MOST_OPEN = 5
"""Repetitions without an end in one expression: each is a factor of the length of the text."""
_MOST_CHOICES = 12
"""Whatever may match in more than one way: each is a factor of two or more."""
_MANY = 100
_MOST_STEPS = 10**9
_NAME = 50
"""Characters of what a machine calls its things, which nobody else bounds."""
_MOST_OF_A_NAME = 10**11
"""The bound is a coarse one: what is next to each other shares the characters."""


def runs_away(pattern: str) -> bool:
    """Tell whether a sound expression may take a time that doubles with each character.

    That needs something inside of a repetition that can match in more than one way, or very many
    such things in a row. Some that would end are among those: they can be written otherwise.
    """
    found = list(_choices(_parser.parse(pattern), is_inside=False))
    is_nested = any(is_inside for is_inside, _ in found)
    too_open = sum(span > _MANY for _, span in found) > _MOST_OPEN
    too_many = len(found) > _MOST_CHOICES or _steps(pattern, _NAME) > _MOST_OF_A_NAME
    return is_nested or too_open or too_many


def takes_long(pattern: str, text: str) -> bool:
    """Tell whether it may take minutes to say that an expression does not match a long text."""
    return _steps(pattern, len(text)) > _MOST_STEPS


def _steps(pattern: str, length: int) -> int:
    """Return in how many ways a text of some length may be taken apart, at most."""
    choices = _choices(_parser.parse(pattern), is_inside=False)
    return math.prod(min(span, length) + 1 for _, span in choices)


def _choices(parsed: Any, *, is_inside: bool) -> Iterator[tuple[bool, int]]:
    """Yield, of each thing that can match in several ways, if it repeats, and how many more."""
    for operation, value in parsed:
        is_repeat = str(operation).endswith("REPEAT")
        span = int(value[1]) - int(value[0]) if is_repeat else 0
        if str(operation) == "BRANCH":
            span = len(value[1]) - 1
        if span:
            yield is_inside, span
        for part in _parts(value):
            yield from _choices(part, is_inside=is_inside or (is_repeat and value[1] > 1))


def _parts(value: Any) -> Iterator[Any]:
    if isinstance(value, _parser.SubPattern):
        yield value
    elif isinstance(value, (tuple, list)):
        for item in value:
            yield from _parts(item)
