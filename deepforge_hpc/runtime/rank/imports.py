"""Imports of frozen code from its sources alone, whose digests were checked.

Python would take the bytecode in a `__pycache__` for them if size and time of the source fit, and
both can be forged. The bytecode of this runtime lies in its archive, which is checked as a whole.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from importlib.machinery import (
    EXTENSION_SUFFIXES,
    SOURCE_SUFFIXES,
    ExtensionFileLoader,
    FileFinder,
    SourceFileLoader,
)
from pathlib import Path


class FrozenLoader(SourceFileLoader):
    """Compiles the source; bytecode is neither read nor written."""

    def path_stats(self, path: str) -> Mapping[str, float]:
        """Refuse to say what bytecode would have to fit: then Python looks for none."""
        raise OSError(path)


def use_sources_only(code: Path) -> None:
    """Import whatever lies below `code/`, but the runtime, from its sources."""
    below = f"{code}/"
    runtime = f"{below}{__package__.partition('.')[0]}"
    loaders = ((ExtensionFileLoader, EXTENSION_SUFFIXES), (FrozenLoader, SOURCE_SUFFIXES))

    def hook(path: str) -> FileFinder:
        if not path.startswith(below) or path.startswith(runtime) or not os.path.isdir(path):  # noqa: PTH112
            raise ImportError(path)
        return FileFinder(path, *loaders)

    sys.path_hooks.insert(0, hook)
