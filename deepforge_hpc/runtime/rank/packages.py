"""Which packages an operation could import: the answer to "which TensorFlow was that?".

From the names of folders alone: importlib.metadata would open a file for each of hundreds.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

from ..base.files import publish_bytes, read_own
from ..base.layout import PACKAGES

METADATA = re.compile(
    r"([A-Za-z0-9][A-Za-z0-9._-]*?)-(\d[A-Za-z0-9._+!]*?)(?:-py\d[\d.]*)?\.(?:dist|egg)-info"
)


def normalized(name: str) -> str:
    """Return the name of a package as all of its spellings are compared."""
    return re.sub(r"[-_.]+", "-", name).lower()


def list_packages(search: Iterable[str]) -> list[str]:
    """Return `name==version` of what is installed in the folders of a search path, sorted.

    Of a package that is in several folders, the one that an import finds.
    """
    found: dict[str, str] = {}
    for folder in search:
        names: list[str] = []
        with suppress(OSError):  # not there, or a zip file
            names = sorted(path.name for path in Path(folder).iterdir()) if folder else []
        for name in names:
            if match := METADATA.fullmatch(name):
                found.setdefault(normalized(match[1]), match[2])
    return [f"{name}=={version}" for name, version in sorted(found.items())]


def note_packages(work: Path, search: Iterable[str]) -> None:
    """Leave the list for the supervisor, which may run outside the container of the ranks."""
    content = "".join(f"{line}\n" for line in list_packages(search)).encode()
    with suppress(OSError):  # a full disk: what matters more will say so
        publish_bytes(work / PACKAGES, content, durable=False)


def keep_packages(work: Path, ledger: Path) -> str | None:
    """Keep the list in the ledger, once for all jobs that have the same, and return its digest."""
    from ..state.record import write_blob

    with suppress(OSError):  # the ranks were killed; or the record will not be written either
        return write_blob(ledger, read_own(work / PACKAGES))
    return None
