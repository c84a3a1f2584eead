"""Where the package's own data, the user's settings and a project's root are."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from stat import S_ISLNK

_PACKAGE = Path(__file__).parent
_MAX_LINKS = 40
LEDGER = ".dfh"
LEDGER_FORMAT = 1
"""Of that folder; a reader refuses another."""
PROJECT_FILE = "dfh.yaml"
EXECUTIONS = "executions"
"""Default folder of a project's executions."""


def data_folder(name: str) -> Path:
    """Return the folder `site-configs` or `job-templates` of this installation.

    A wheel holds them as `deepforge_hpc/_data/NAME`; an editable install has none of it, and reads
    the repository's own.
    """
    packaged = _PACKAGE / "_data" / name
    return packaged if packaged.is_dir() else _PACKAGE.parent / name


def user_folder() -> Path:
    """Return `~/.config/deepforge-hpc`, or what XDG_CONFIG_HOME makes of it."""
    base = os.environ.get("XDG_CONFIG_HOME")
    return (Path(base) if base else Path.home() / ".config") / "deepforge-hpc"


def project_root(start: Path, trusted: Sequence[str] = ()) -> tuple[Path, Path | None]:
    """Return the nearest folder from `start` upwards with `.dfh/` or `dfh.yaml`, else `start`.

    With what is not followed, if it is another user's: what lies there would act as the caller.
    """
    resolved = start.resolve()
    for folder in (resolved, *resolved.parents):
        marks = [folder / name for name in (LEDGER, PROJECT_FILE) if (folder / name).exists()]
        if not all(is_trusted(path, resolved, trusted) for path in (folder, *marks)):
            return resolved, next(iter(marks), None)
        if marks:
            return folder, None
    return resolved, None


def on_the_way(path: Path, start: Path) -> Iterator[Path]:
    """Yield each folder and link that one passes on the way to a path, as it lies, and the last.

    `start`: a folder's real path; what lies below it is looked at from there on.
    """
    path = Path.cwd() / path
    here = start if path.is_relative_to(start) else Path(path.anchor)
    todo = list(reversed(path.relative_to(here).parts))
    links = 0
    while todo:
        if (part := todo.pop()) == "..":
            here = here.parent
            continue
        there = here / part
        yield there
        try:
            target = there.readlink()
        except OSError:  # it is no link, or not there
            here = there
            continue
        if (links := links + 1) > _MAX_LINKS:  # the kernel follows no more
            return
        here = Path(target.anchor) if target.is_absolute() else here
        todo += reversed(target.parts[1:] if target.is_absolute() else target.parts)


def is_trusted(
    path: Path, start: Path | None, trusted: Sequence[str] = (), *, opened: int | None = None
) -> bool:
    """Tell whether a path is the caller's, root's, or of who owns the folder that was named.

    `trusted`: folders of which the user's settings say so. `opened`: what was opened there. It
    alone is sure to be what is read: others may put another file in its place at any moment.
    """
    own = _owners(path)  # none: it is gone, and may be another's by the time it is read
    if own and opened is not None:
        own.add(os.fstat(opened).st_uid)
    owners = {os.geteuid(), 0, *(_owners(start) if start else ())}
    named = (os.path.expanduser(folder) for folder in trusted)  # noqa: PTH111 - raises for ~nobody
    return bool(own and own <= owners) or any(path.is_relative_to(folder) for folder in named)


def trust_hint(folder: Path) -> str:
    """Return what to do if what is another user's, in a folder, is meant."""
    return f"if it is meant: trust: [{folder}] in ~/.config/deepforge-hpc/settings.yaml"


def _owners(path: Path) -> set[int]:
    """Return the uid that a path belongs to, and that of where it leads as a link.

    Who made a link says what is there: root's folder that it leads to may be `/tmp`.
    """
    found = set()
    with suppress(OSError):
        found.add((status := path.lstat()).st_uid)
        if S_ISLNK(status.st_mode):
            found.add(path.stat().st_uid)
    return found
