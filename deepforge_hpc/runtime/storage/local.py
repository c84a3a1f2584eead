"""A folder of this machine, or of a file system that it shares, as a place: `file://`."""

from __future__ import annotations

import errno
import os
import stat as modes
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from ..base.files import (
    canonical_json,
    digest,
    digest_path,
    is_temporary,
    remove,
    sync_path,
    temporary_beside,
    walk_files,
)
from .base import (
    FILE,
    FOLDER,
    OTHER,
    ByteRange,
    Capabilities,
    Stat,
    Storage,
    checked,
    checked_range,
    verify,
)
from .fault import INVALID, NOT_PLAIN, PlaceError, explained

if TYPE_CHECKING:
    from typing import BinaryIO

    from ..base.notice import Notice


class LocalStorage(Storage):
    """Names are paths below the folder. The folder itself may be reached by links; below it none is
    followed."""

    scheme = "file"
    capabilities = Capabilities(
        exclusive=True, ranges=True, server_copy=True, in_place=True, urls=True
    )

    def __init__(self, root: str | os.PathLike[str]) -> None:
        super().__init__(os.fspath(root).removeprefix("file://"))

    @classmethod
    def at(cls, path: Path) -> tuple[LocalStorage, str]:
        """Return place and name of a file or folder that a person named; links lead to it."""
        is_link = os.path.islink(path)  # noqa: PTH114 - not all that a person writes can be a name
        real = Path(os.path.realpath(path)) if is_link or path.name == ".." else path
        return cls(real.parent), real.name

    def where(self, name: str) -> str:
        return f"{self.root}/{name}" if name else self.root

    def path_of(self, name: str) -> Path:
        """Return the path of a name; a fault if a folder above it, below the place, is a link."""
        parts = checked(name).split("/")
        above = self.root
        for part in parts[:-1]:
            above = f"{above}/{part}"
            if os.path.islink(above):  # noqa: PTH114 - a str in and none out, for each of many
                raise PlaceError(NOT_PLAIN, above, "is a link, which may lead out of the place")
        return Path(self.root, name)

    def stat(self, name: str) -> Stat:
        path = self.path_of(name)
        with explained(path):
            status = path.lstat()
            if modes.S_ISREG(status.st_mode):
                return _stat(name, FILE, [(str(path), status)], status)
            if not modes.S_ISDIR(status.st_mode):
                raise _odd(path, status)
            below = [(file, info) for _, file, info in walk_files(path)]
            return _stat(name, FOLDER, below, status)

    def files(self, name: str) -> Iterator[Stat]:
        path = self.path_of(name) if name else Path(self.root)
        if name and not path.is_dir():
            if os.path.lexists(path):
                yield self.stat(name)
            return
        with explained(path):
            if name and path.is_symlink():
                raise _odd(path, path.lstat())
            for below, file, status in walk_files(path, f"{name}/" if name else ""):
                if not is_temporary(os.path.basename(below)):  # noqa: PTH119 - as above
                    yield _stat(below, FILE, [(file, status)], status)

    def list(self, name: str = "", *, deep: bool = False) -> Iterator[Stat]:
        if deep:
            yield from super().list(name, deep=True)
            return
        folder = self.path_of(name) if name else Path(self.root)
        kinds = {modes.S_IFDIR: FOLDER, modes.S_IFREG: FILE}
        with explained(folder):
            if name and folder.is_symlink():
                raise _odd(folder, folder.lstat())
            with os.scandir(folder) as found:
                entries = sorted(found, key=lambda entry: entry.name)
            for entry in entries:
                status = entry.stat(follow_symlinks=False)
                kind = kinds.get(modes.S_IFMT(status.st_mode), OTHER)
                if not is_temporary(entry.name):
                    files = [(entry.path, status)] if kind == FILE else []
                    yield _stat(f"{name}/{entry.name}".lstrip("/"), kind, files, status)

    def open(self, name: str, part: ByteRange | None = None) -> BinaryIO:
        from .streams import stream_part

        path = self.path_of(name)
        whole = ByteRange(0) if part is None else checked_range(part)
        with explained(path):
            # A pipe in its place must not hold us up, and a link must not lead us away.
            handle = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK)
            status = os.fstat(handle)
            if not modes.S_ISREG(status.st_mode):
                os.close(handle)
                raise _odd(path, status)
            return stream_part(os.fdopen(handle, "rb"), whole)

    def digest(self, name: str) -> str:
        path = self.path_of(name)
        with explained(path):
            status = path.lstat()
            if modes.S_ISLNK(status.st_mode):
                raise _odd(path, status)
            return digest_path(path, status)[0]

    def put(self, source: Path, name: str, *, expect: str = "", replace: bool = False) -> Stat:
        with self.prepared(source, name, expect=expect, replace=replace) as publish:
            return publish()

    @contextmanager
    def prepared(
        self, source: Path, name: str, *, expect: str = "", replace: bool = False
    ) -> Iterator[Callable[[], Stat]]:
        from . import landing

        target = self.path_of(name)
        if source == target or source in target.parents:
            raise PlaceError(INVALID, target, f"is {source} itself, or lies in it")
        with ExitStack() as stack:
            with explained(target):
                temporary = stack.enter_context(landing.arriving(target, replace=replace))
                source.stat()  # whether it is there at all
                sha256 = expect or verify(source, "")
                landing.copy_path(source, temporary)
                verify(temporary, sha256, target)  # what lies there, not what was sent
                sync_path(temporary)

            def publish() -> Stat:
                with explained(target):
                    landing.name(temporary, target, replace=replace)
                return self.stat(name)._replace(sha256=sha256)

            yield publish

    def get(self, name: str, target: Path, *, expect: str = "", replace: bool = False) -> Stat:
        self.stat(name)
        place = LocalStorage(target.parent)
        found = place.put(self.path_of(name), target.name, expect=expect, replace=replace)
        return found._replace(name=name)

    def copy(self, name: str, to: str, *, expect: str = "", replace: bool = False) -> Stat:
        self.stat(name)
        return self.put(self.path_of(name), to, expect=expect, replace=replace)

    def link(self, source: Path, name: str) -> None:
        """Give data that never changes again a name here too, without a second copy if it can be.

        Not synced: who needs that calls `put`.
        """
        from .landing import link_path

        target = self.path_of(name)
        with explained(target):
            status = source.lstat()
            if modes.S_ISLNK(status.st_mode):
                raise _odd(source, status)
            try:
                link_path(source, target)
            except FileNotFoundError:
                target.parent.mkdir(parents=True, exist_ok=True)
                link_path(source, target)

    def adopt(self, source: Path, name: str, *, sha256: str = "") -> Stat:
        """Take over a file or folder that is synced already: renamed, or copied where need be.

        `sha256` is its digest if that is known; else it is read for that.
        """
        from . import landing

        target = self.path_of(name)
        with explained(target):
            sha256 = sha256 or verify(source, "")
            try:
                landing.name(source, target, replace=True)
            except OSError as error:
                if error.errno != errno.EXDEV:  # BeeGFS and old Lustre, between any two folders
                    raise
                return self.put(source, name, expect=sha256, replace=True)
        return self.stat(name)._replace(sha256=sha256)

    def delete(self, name: str) -> None:
        path = self.path_of(name)
        with explained(path):
            status = path.lstat()
            if not (modes.S_ISREG(status.st_mode) or modes.S_ISDIR(status.st_mode)):
                raise _odd(path, status)
            aside = temporary_beside(path)
            path.rename(aside)  # at once, however much lies below
            remove(aside)

    def url(self, name: str, *, seconds: int = 3600) -> str:  # noqa: ARG002 - it never ends
        self.stat(name)
        return self.path_of(name).absolute().as_uri()

    def check(self) -> Sequence[Notice]:
        from .look import look

        return look(Path(self.root))


def _stat(
    name: str, kind: str, files: Sequence[tuple[str, os.stat_result]], own: os.stat_result
) -> Stat:
    # The device is left out: one network file system has another number on each node.
    entries = [[path, s.st_ino, s.st_size, s.st_mtime_ns, s.st_ctime_ns] for path, s in files]
    return Stat(
        name=name,
        kind=kind,
        size=sum(status.st_size for _, status in files),
        mtime_ns=max(own.st_mtime_ns, *(status.st_mtime_ns for _, status in files), 0),
        version=digest(canonical_json(entries)).removeprefix("sha256:"),
        files=len(files),
    )


def _odd(path: Path, status: os.stat_result) -> PlaceError:
    what = "a folder"
    if not modes.S_ISDIR(status.st_mode):
        what = "a link" if modes.S_ISLNK(status.st_mode) else "neither a file nor a folder"
    return PlaceError(NOT_PLAIN, path, f"is {what}")
