"""Text and paths as HTML."""

from __future__ import annotations

import html
from urllib.parse import quote

from ..base.text import drop_controls


def esc(value: object) -> str:
    """Return text for HTML, as content or as a quoted attribute; controls are left out."""
    # A name of a file may hold bytes that are no text.
    text = drop_controls(str(value)).encode("utf-8", "backslashreplace").decode()
    return html.escape(text, quote=True)


def href(*parts: str) -> str:
    """Return a relative link to a file of the execution."""
    return esc("/".join(quote(part, safe="") for path in parts for part in path.split("/")))
