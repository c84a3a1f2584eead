"""Where to write down what a plan says is unknown of the site."""

from __future__ import annotations

import re

# As the plan's warnings end: `queue cpu of here: unknown and not checked: chaining, time.max`.
_UNKNOWN = re.compile(
    r"(?:queue (?P<queue>\S+) of )?.*\bunknown\b.*: (?P<keys>[a-z_.]+(?:, [a-z_.]+)*)"
)


def next_step(warning: str, site: str) -> str:
    """Return what to do about a warning of a plan."""
    found = _UNKNOWN.fullmatch(warning)
    if found is None:
        return "dfh plan --origins"
    above = f"queues.{found['queue']}." if found["queue"] else ""
    keys = ", ".join(f"{above}{key}" for key in found["keys"].split(", "))
    return f"look it up, and write it into the file of site {site}: {keys}"
