"""What a job has of deepforge_hpc: the parts that are made for it; the rest is where dfh runs.

This file is frozen as `deepforge_hpc/__init__.py` of the job, so it imports nothing of ours.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence

PARTS = ("job", "training", "operations")
"""Subpackages that travel, as source, with the executions whose code imports them."""
_ELSEWHERE = ("Pipeline", "load_parts")
_WHY = f"a job has only {', '.join(PARTS)} of deepforge_hpc"


def __getattr__(name: str) -> object:
    """Say why a public name is not here; of any other that it does not exist, as modules do."""
    if name in _ELSEWHERE:
        raise ImportError(f"cannot import {name!r}: {_WHY}", name=f"{__name__}.{name}")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


class _Elsewhere:
    """Asked last, after all that can import."""

    @staticmethod
    def find_spec(name: str, _path: Sequence[str] | None = None, _target: object = None) -> None:
        package, _, part = name.partition(".")
        if package == "deepforge_hpc" and part and part not in PARTS:
            raise ModuleNotFoundError(f"No module named {name!r}: {_WHY}", name=name)


if __name__ == "deepforge_hpc":
    sys.meta_path.append(_Elsewhere)
