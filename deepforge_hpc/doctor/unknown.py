"""Where to write down what a plan says is unknown of the site."""

from __future__ import annotations

from typing import TYPE_CHECKING

from deepforge_hpc.plan.facts import SITE_UNKNOWN

if TYPE_CHECKING:
    from deepforge_hpc.runtime.base.notice import Notice


def next_step(warning: Notice, site: str) -> str:
    """Return what to do about a warning of a plan."""
    if warning.kind == SITE_UNKNOWN:
        keys = ", ".join(warning.keys)
        return f"look it up, and write it into the file of site {site}: {keys}"
    return warning.next or "dfh plan --origins"
