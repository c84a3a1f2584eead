"""Regular expressions of a site file that end: others could hold up every command for ever."""

from __future__ import annotations

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


def runs_away(pattern: str) -> bool:
    """Tell whether a sound expression may take a time that doubles with each character.

    That needs something inside of a repetition that can match in more than one way, or very many
    such things in a row. Some that would end are among those: they can be written otherwise.
    """
    parsed = _parser.parse(pattern)
    found = list(_choices(parsed, is_inside=False))
    is_nested = any(is_inside for is_inside, _ in found)
    too_open = sum(span > _MANY for _, span in found) > _MOST_OPEN
    return is_nested or too_open or len(found) > _MOST_CHOICES


def takes_long(pattern: str, text: str) -> bool:
    """Tell whether it may take minutes to say that an expression does not match a long text."""
    spans = [span for _, span in _choices(_parser.parse(pattern), is_inside=False)]
    steps: int = len(text) ** sum(span > _MANY for span in spans)
    return steps > _MOST_STEPS


def _choices(parsed: Any, *, is_inside: bool) -> Iterator[tuple[bool, int]]:
    """Yield, of each thing that can match in several ways, if it repeats, and how much it spans."""
    for operation, value in parsed:
        is_repeat = str(operation).endswith("REPEAT")
        span = int(value[1]) - int(value[0]) if is_repeat else 0
        if span or str(operation) == "BRANCH":
            yield is_inside, span
        for part in _parts(value):
            yield from _choices(part, is_inside=is_inside or (is_repeat and value[1] > 1))


def _parts(value: Any) -> Iterator[Any]:
    if isinstance(value, _parser.SubPattern):
        yield value
    elif isinstance(value, (tuple, list)):
        for item in value:
            yield from _parts(item)
