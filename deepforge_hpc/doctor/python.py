"""Will a compute node find the interpreter?"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

from deepforge_hpc.doctor.finding import error, ok, warn

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from deepforge_hpc.doctor.finding import Finding
    from deepforge_hpc.model.site import SiteSpec

_OF_ONE_NODE = ("/tmp/", "/var/tmp/", "/dev/shm/", "/run/")  # noqa: S108 -- named, not used


def check_python(site: SiteSpec, which: Callable[[str], str | None]) -> Iterator[Finding]:
    """See whether the site's interpreter is there, and where other nodes can see it."""
    environment = site.environment
    if environment is None or not (environment.python or environment.venv):
        yield ok("python", "the pipeline or the site's container, conda or modules bring it")
        return
    path = environment.python
    if environment.venv:
        path = str(Path(environment.venv).expanduser() / "bin" / "python")
    if path == "submitter":
        path = sys.executable
    found = which(path)
    if not found:
        yield error("python", f"{path}: no such program", "change `environment` of the site")
    elif site.scheduler != "local" and found.startswith(_OF_ONE_NODE):
        message = f"{found}: compute nodes do not see this folder"
        yield warn("python", message, "install dfh in your home folder or project space")
    else:
        yield ok("python", f"{found} runs the operations")
