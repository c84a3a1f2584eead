"""Can data be moved by Globus from here?"""

from __future__ import annotations

from collections.abc import Iterator

from deepforge_hpc.doctor.finding import ok, warn
from deepforge_hpc.runtime.base.notice import Notice
from deepforge_hpc.schedulers.command import Completed
from deepforge_hpc.site.model import SiteSpec
from deepforge_hpc.site.place import GlobusCollection
from deepforge_hpc.site.unknown import known

WHOAMI_ARGV = ("globus", "whoami")


def collections(site: SiteSpec) -> tuple[GlobusCollection, ...]:
    """Return those that the site's file knows."""
    return known(site.transfer.globus) or ()


def check_globus(site: SiteSpec, answer: Completed | None) -> Iterator[Notice]:
    """See whether one is logged in; `answer` is that of WHOAMI_ARGV, None without the command."""
    names = ", ".join(item.name for item in collections(site) if item.name)
    if answer is None:
        step = "only if data goes that way: pip install globus-cli, then globus login"
        yield warn("globus", f"collections of the site: {names}; no command globus answers", step)
    elif answer.returncode:
        step = "only if data goes that way: globus login"
        yield warn("globus", f"collections of the site: {names}; not logged in to Globus", step)
    else:
        yield ok(
            "globus", f"logged in as {' '.join(answer.stdout.split())[:80]}; collections: {names}"
        )
