"""What is known of a launcher, on the login node: the class that travels serves both sides."""

from __future__ import annotations

from typing import cast

from deepforge_hpc.files.kinds import Text
from deepforge_hpc.plugins import registry
from deepforge_hpc.plugins.travel import as_in_a_job
from deepforge_hpc.runtime.launchers import LAUNCHERS, Launcher

PATTERN = r"[A-Za-z][A-Za-z0-9_-]{0,31}"
NAME = Text("the name of a launcher", PATTERN)


def launcher_named(name: str) -> Launcher:
    """Return what is known of a launcher; UsageError as `registry.create`."""
    if name in LAUNCHERS:
        return LAUNCHERS[name]
    if name not in registry.installed("launchers"):
        return Launcher()  # a site's own: data alone
    with as_in_a_job():
        return cast("Launcher", registry.create("launchers", name))
