"""What stops a training, in a sentence for the person who started it."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

LEAST_SCALE: Final = 2.0**-14
"""Of a loss for float16: less, and it would not hold the loss either."""
SKIPPED: Final = (
    "precision mixed_float16: the optimizer makes no step, for the gradients are not all numbers "
    "of 16 bits, however little the loss is scaled. Take mixed_bfloat16, train for more steps if "
    "these were few, or look for values in the data that are no numbers"
)


class TrainingError(RuntimeError):
    """Something that the person who started a training can mend: it says what and how."""


def meant(name: str, known: Iterable[str]) -> str:
    """Return the known name that may have been meant; empty if none is near."""
    import difflib

    lower = {item.lower(): item for item in known}
    near = difflib.get_close_matches(name.lower(), lower, 1)
    return lower[near[0]] if near else ""
