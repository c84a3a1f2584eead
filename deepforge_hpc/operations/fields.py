"""Fields of text as the numbers that they are written as, and what stands for no value."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from typing import Any

import numpy as np

from deepforge_hpc.operations.errors import OperationError

MISSING = frozenset({"", "nan", "NaN", "NA", "N/A", "null"})
"""What stands for no value, in a column of numbers or of text."""
EXACT = 2**53
"""Floating point has all whole numbers up to this one, and not all beyond."""
_masks: Any = np.ma  # numpy has no types for it
_WHOLE = re.compile(r"[+-]?(0|[1-9][0-9]*)")
_REAL = re.compile(
    r"[+-]?(inf|infinity|nan|([0-9]+\.[0-9]*|\.[0-9]+|0|[1-9][0-9]*)(e[+-]?[0-9]+)?)", re.IGNORECASE
)
_DIGITS = 21
"""With a sign, what no number of 64 bits is longer than."""


def typed(name: str, fields: Sequence[str], lines: Sequence[int]) -> tuple[Any, str]:
    """Return whole numbers (masked where there is none), else floating point, else text.

    Digits with `_` between them or with a 0 before them are text, as the names of things are. And
    what is wrong, `LINE: ...`: the first number that floating point would round or lose.
    """
    bare = [field.strip() for field in fields]
    known = [field for field in bare if field not in MISSING]
    found = _whole(bare) if known and all(map(_WHOLE.fullmatch, known)) else None
    if found is not None:
        return found, ""
    if not all(map(is_number, known)):
        return np.asarray(fields, dtype="U"), ""
    real = [math.nan if field in MISSING else float(field) for field in bare]
    for field, value, line in zip(bare, real, lines, strict=True):
        if why := _lost(field, value):
            return None, f"{line}: {name!r} has {field}, which {why}"
    return np.asarray(real, dtype=np.float64), ""


def is_number(field: str) -> bool:
    """Return whether a field may stand in a column of numbers: it is one, or stands for none."""
    return field.strip() in MISSING or _REAL.fullmatch(field.strip()) is not None


def _whole(bare: Sequence[str]) -> Any:
    """Return 64-bit numbers, signed or not, masked where a field is missing; None if none hold."""
    if max(map(len, bare)) > _DIGITS:
        return None
    gaps = [field in MISSING for field in bare]
    found = [0 if gap else int(field) for gap, field in zip(gaps, bare, strict=True)]
    for kind in (np.int64, np.uint64):
        if np.iinfo(kind).min <= min(found) and max(found) <= np.iinfo(kind).max:
            return with_gaps(np.asarray(found, dtype=kind), gaps)
    return None


def _lost(field: str, value: float) -> str:
    """Return what floating point makes of a number; empty if that is the number."""
    if math.isinf(value) and "inf" not in field.lower():
        return "is beyond the range of floating point"
    if abs(value) >= EXACT and _WHOLE.fullmatch(field) and int(value) != int(field):
        return "floating point would round: no 64-bit number holds it, or others have a fraction"
    return ""


def with_gaps(values: Any, gaps: Any) -> Any:
    """Return values, masked where there is none."""
    return _masks.masked_array(values, mask=gaps) if np.any(gaps) else values


def unknown(found: Any) -> Any:
    """Return in which rows of an array, (n,) or (n, ...), something is not known.

    That is NaN, a masked value, and text that stands for no value.
    """
    plain = _masks.getdata(found)
    if not plain.size or plain.dtype.kind == "V":
        return np.zeros(len(plain), dtype=bool)
    gaps = _masks.getmaskarray(found)
    if plain.dtype.kind in "fc":
        gaps = gaps | np.isnan(plain)
    elif plain.dtype.kind in "mM":
        gaps = gaps | np.isnat(plain)
    elif plain.dtype.kind in "US":
        words = np.asarray(sorted(MISSING)).astype(plain.dtype.kind)
        gaps = gaps | np.isin(np.char.strip(plain), words)
    return gaps.reshape(len(plain), -1).any(axis=1)


def without_gaps(name: str, found: Any, keep: Any) -> Any:
    """Return a column as a plain array: with a gap in a row of `keep` in floating point, NaN there.

    Raises OperationError of whole numbers that would be rounded.
    """
    if not _masks.isMaskedArray(found):
        return found
    plain = _masks.getdata(found)
    if plain.dtype.kind not in "iuf" or not (unknown(found) & keep).any():
        return plain
    beyond = (plain > EXACT) | (plain < -EXACT)
    if plain.dtype.kind != "f" and beyond.any():
        raise OperationError(
            f"{name!r} has rows without a value, so it needs NaN, and floating point would round "
            f"its {plain[beyond][0]}: missing: drop leaves such rows out"
        )
    return np.where(_masks.getmaskarray(found), np.nan, plain.astype(np.float64))
