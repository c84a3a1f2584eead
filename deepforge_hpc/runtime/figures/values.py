"""Values of matplotlib's artists as JSON can hold them."""

from __future__ import annotations

import math
import sys
from typing import Any

_MAX_TEXT = 2_000


def text_of(value: object) -> str:
    """Return any value as text of a bounded length."""
    return str(value)[:_MAX_TEXT]


def plain(value: Any) -> object:
    """Return a value as JSON can hold it; None for what is masked, NaN or infinite."""
    if isinstance(value, (bool, int)) or value is None:
        return value
    if isinstance(value, float):
        # Ten digits are finer than any picture, and half the bytes.
        return float(f"{value:.10g}") if math.isfinite(value) else None
    if isinstance(value, (list, tuple)):
        return [plain(item) for item in value]
    if hasattr(value, "tolist"):
        return plain(value.tolist())
    return value.isoformat() if hasattr(value, "isoformat") else text_of(value)


def color_of(value: Any) -> object:
    """Return one colour as `#rrggbbaa`; None for none or for many."""
    colors: Any = sys.modules["matplotlib.colors"]
    if hasattr(value, "ndim") and value.ndim == 2:
        if len(value) != 1:
            return None
        value = value[0]
    try:
        return str(colors.to_hex(value, keep_alpha=True))
    except (TypeError, ValueError):
        return None


def dates_of(original: Any, numbers: Any) -> Any:
    """Return the user's own x values where they are dates or names, else the numbers."""
    first = next(iter(original), None)
    if hasattr(first, "isoformat") or isinstance(first, str):
        return list(original)
    if getattr(getattr(original, "dtype", None), "kind", "") == "M":
        return original.astype(str)
    return numbers
