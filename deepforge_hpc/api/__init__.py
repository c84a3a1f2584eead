"""What the command line and other front ends call. Returns data, prints nothing.

Each name is imported when it is first used: `status` must not pay for a YAML parser.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from deepforge_hpc.api.find import Found, find_execution
    from deepforge_hpc.api.logs import read_log
    from deepforge_hpc.api.manage import (
        cancel,
        disk_usage,
        executions,
        least_pause_s,
        other_orphans,
        remove,
        report,
        resume,
        status,
        usual_pause_s,
    )
    from deepforge_hpc.api.pipelines import Request, check, plan, render
    from deepforge_hpc.api.provenance import explain, trace, verify
    from deepforge_hpc.api.site import check_site, describe_site, detect_site, schema, sites
    from deepforge_hpc.api.submission import dry_run, submit

_MODULES = {
    "manage": (
        "cancel",
        "disk_usage",
        "executions",
        "least_pause_s",
        "other_orphans",
        "remove",
        "report",
        "resume",
        "status",
        "usual_pause_s",
    ),
    "find": ("Found", "find_execution"),
    "logs": ("read_log",),
    "site": ("check_site", "describe_site", "detect_site", "schema", "sites"),
    "pipelines": ("Request", "check", "plan", "render"),
    "submission": ("dry_run", "submit"),
    "provenance": ("explain", "trace", "verify"),
}
_HOMES = {name: module for module, names in _MODULES.items() for name in names}

__all__ = [
    "Found",
    "Request",
    "cancel",
    "check",
    "check_site",
    "describe_site",
    "detect_site",
    "disk_usage",
    "dry_run",
    "executions",
    "explain",
    "find_execution",
    "least_pause_s",
    "other_orphans",
    "plan",
    "read_log",
    "remove",
    "render",
    "report",
    "resume",
    "schema",
    "sites",
    "status",
    "submit",
    "trace",
    "usual_pause_s",
    "verify",
]


def __getattr__(name: str) -> object:
    """Import a name of this package from the module that holds it."""
    home = _HOMES.get(name)
    if home is None:
        message = f"module {__name__!r} has no attribute {name!r}"
        raise AttributeError(message)
    return getattr(importlib.import_module(f"{__name__}.{home}"), name)
