"""Numbers as they come: in a job for the report and `dfh status`, elsewhere on the screen."""

from __future__ import annotations

__all__ = ["log"]

try:
    from dfh_runtime import log
except ImportError:  # outside of a job, e.g. in a notebook

    def log(step=None, **values):
        """Show the numbers."""
        print(step, values)  # noqa: T201
