"""UNKNOWN, the value of a fact that nobody has told: neither no, nor 0, nor absent."""

from __future__ import annotations

from enum import Enum
from typing import Final, Literal, TypeVar

from deepforge_hpc.site.frozen import Frozen

T = TypeVar("T")


class Unknown(Enum):
    """The type of UNKNOWN, the one value that says that a fact is not known."""

    UNKNOWN = "unknown"

    def __str__(self) -> str:
        """Return the word of the files, for messages."""
        return str(self.value)

    def __bool__(self) -> bool:
        """Refuse to be taken for a yes or a no."""
        raise TypeError("unknown is neither true nor false; ask known() first")


UNKNOWN: Final = Unknown.UNKNOWN
UnknownType = Literal[Unknown.UNKNOWN]


def known(value: T | UnknownType | None) -> T | None:
    """Return the value, or None if it is unknown or not given."""
    return None if value is UNKNOWN else value


Count = int | UnknownType | None
Flag = bool | UnknownType | None
Word = str | UnknownType | None


class Range(Frozen):
    """Inclusive limits: counts, seconds or MiB, as the field that holds it says."""

    min: Count = None
    max: Count = None


ANY: Final = Range()
