"""What a check found: a notice whose kind is the check; `info` is what is as it should be."""

from __future__ import annotations

from deepforge_hpc.plan.facts import SITE_UNKNOWN
from deepforge_hpc.runtime.base.notice import ERROR, INFO, WARNING, Notice


def ok(check: str, text: str) -> Notice:
    """Return that a check found nothing wrong."""
    return Notice(check, text, level=INFO)


def warn(check: str, text: str, step: str) -> Notice:
    """Return that something may go wrong, or cannot be known."""
    return Notice(check, text, next=step, level=WARNING)


def error(check: str, text: str, step: str) -> Notice:
    """Return that something will go wrong."""
    return Notice(check, text, next=step, level=ERROR)


def of_plan(warning: Notice, site: str, explained: str) -> Notice:
    """Return a warning of a plan with what to do about it; `explained`: the command that tells."""
    step = warning.next or explained
    if warning.kind == SITE_UNKNOWN:
        keys = ", ".join(warning.keys)
        step = f"look it up, and write it into the file of site {site}: {keys}"
    return warning._replace(next=step)
