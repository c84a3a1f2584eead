"""Words of a program's command line: `{inputs.table}` stands for a value, `{{` for a brace.

No shell ever sees them: a word stays one word, whatever the value holds.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

PROGRAMS = ("script", "command")
"""Kinds of operations that are run as programs."""
_PART = re.compile(r"\{\{|\}\}|\{([a-z_]+(?:\.[A-Za-z0-9_]+)?)\}|[{}]")


def placeholders(word: str) -> list[str]:
    """Return the names in a word; ValueError if a brace stands alone."""
    found = list(_PART.finditer(word))
    if any(match[0] in "{}" for match in found):
        raise ValueError(word)
    return [match[1] for match in found if match[1]]


def is_whole(word: str) -> bool:
    """Tell whether a word is one placeholder and nothing else."""
    match = _PART.fullmatch(word)
    return match is not None and bool(match[1])


def fill(word: str, values: Mapping[str, str | list[str]]) -> list[str]:
    """Return what a word becomes: itself with its values, or the items of a list, one word each."""
    if is_whole(word) and isinstance(value := values[word[1:-1]], list):
        return value
    return [_PART.sub(lambda match: str(values[match[1]]) if match[1] else match[0][0], word)]
