"""Values of the user's secrets, so that they can be kept out of records and reports."""

from __future__ import annotations

import os
from functools import lru_cache
from pathlib import Path

_LEAST, _MOST = 6, 65536
"""Characters and bytes: what is shorter is in any text by chance."""


@lru_cache(maxsize=1)
def secret_values() -> tuple[str, ...]:
    """Return the secrets of `~/.config/deepforge-hpc/secrets/`, the longest first."""
    try:
        home = os.environ.get("XDG_CONFIG_HOME") or Path.home() / ".config"
        files = list(Path(home, "deepforge-hpc", "secrets").iterdir())
    except (OSError, RuntimeError):
        return ()
    found = {text for file in files if len(text := _text(file)) >= _LEAST}
    return tuple(sorted(found, key=len, reverse=True))


def _text(file: Path) -> str:
    try:
        if file.is_file() and file.stat().st_size <= _MOST:
            return file.read_text(encoding="utf-8", errors="replace").strip()
    except OSError:
        pass  # what cannot be read here, nobody has put into a text
    return ""
