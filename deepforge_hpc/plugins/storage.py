"""Places by the scheme of their URI, and the contract for those that an installed package brings.

Third parties register a class under the entry point group `deepforge_hpc.storage`, named by its
scheme, and prove it with `deepforge_hpc.testing.storage.StorageContract`.
"""

from __future__ import annotations

import re
from pathlib import Path

from deepforge_hpc.errors import UsageError
from deepforge_hpc.plugins import registry
from deepforge_hpc.runtime.storage.base import (
    ByteRange,
    Capabilities,
    Move,
    Stat,
    Storage,
    Transfer,
    checked,
    files_of,
    verify,
)
from deepforge_hpc.runtime.storage.fault import EXISTS, MISSING, PlaceError
from deepforge_hpc.runtime.storage.streams import stream_part

LATER = frozenset({"globus", "s3", "sftp", "http", "https"})
"""Schemes of adapters that are planned: `not in this version` is another answer than `unknown`."""
_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*)://")


def scheme_of(text: str) -> str:
    """Return the scheme of a URI; "" for a path."""
    match = _SCHEME.match(text)
    return match[1].lower() if match else ""


def open_place(root: str | Path) -> Storage:
    """Return the place that a URI or a path names; nothing is asked of it yet.

    UsageError for a scheme that no adapter has, or if it cannot be created.
    """
    scheme = scheme_of(str(root)) or "file"
    if scheme in LATER and scheme not in registry.known("storage"):
        message = f"{root}: {scheme}:// is not in this version"
        raise UsageError(message, "Fetch it with an operation, or by hand.")
    found = registry.create("storage", scheme, root)
    if not isinstance(found, Storage):
        message = (
            f"storage: {registry.target('storage', scheme)} does not keep the contract of places"
        )
        raise UsageError(message, "Update or remove the package that brings it.")
    return found


__all__ = [
    "EXISTS", "MISSING", "ByteRange", "Capabilities", "Move", "PlaceError", "Stat", "Storage",
    "Transfer", "checked", "files_of", "open_place", "scheme_of", "stream_part", "verify",
]  # fmt: skip
