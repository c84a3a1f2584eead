"""What runs inside a job.

A copy of this package travels with every execution as `code/dfh_runtime`, so it uses the standard
library alone, imports its own modules relatively, and is the lowest layer of `deepforge_hpc`.
Operations may `import dfh_runtime`; the public names are `log` and nothing else.
"""

from __future__ import annotations

__all__ = ["log"]


def __getattr__(name: str) -> object:
    """Import `log` when it is first used: hundreds of ranks import this package at once."""
    if name == "log":
        from .base.metrics import log

        return log
    message = f"module {__name__!r} has no attribute {name!r}"
    raise AttributeError(message)
