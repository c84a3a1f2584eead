"""What a place that keeps data must do: the contract of storage adapters.

A place is a folder, a bucket, a collection. It keeps files and folders under names such as
`shards/part-00000.h5`. What lies under a name is whole: it came there at once, with the digest that
was asked for, or it did not come. Jobs use this too, with the standard library alone.
"""

from __future__ import annotations

import os
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from ..base.files import canonical_json, digest, digest_path, hash_chunks, is_temporary, walk_files
from .fault import DAMAGED, INVALID, MISSING, NOT_PLAIN, UNSUPPORTED, PlaceError, explained

if TYPE_CHECKING:
    from typing import BinaryIO, ClassVar

    from ..base.notice import Notice

FILE, FOLDER, OTHER = "file", "folder", "other"
_CHUNK = 1 << 20


class Stat(NamedTuple):
    """What a place says of a file or folder without reading it."""

    name: str
    """As it was asked for, or as it is listed: always below the place itself."""
    kind: str
    """file | folder; in a listing also other: a link, a pipe, which is never read"""
    size: int
    """Bytes; of a folder the sum of its files, in a listing 0."""
    mtime_ns: int
    """When it last changed, in nanoseconds since 1970; of a folder the newest of all below it."""
    version: str = ""
    """Changes whenever the content may have (an ETag, inodes and times); "" where none is known."""
    sha256: str = ""
    """`sha256:` and 64 hex digits where the place knows them, as after `put`; else ""."""
    files: int = 1
    """How many; of a folder all below it."""


class ByteRange(NamedTuple):
    """A part of a file."""

    start: int
    """The first byte, from 0."""
    stop: int | None = None
    """The byte after the last; None, or more than there are, is the end of the file."""


class Capabilities(NamedTuple):
    """What a place can do beyond the least; callers ask here, never by trying."""

    exclusive: bool = False
    """Of several writers of one name without `replace`, one wins and the others are told."""
    ranges: bool = False
    """A part of a file is read without reading the rest."""
    server_copy: bool = False
    """`copy` moves no bytes through this machine."""
    in_place: bool = False
    """A job can read what lies there by a path (`path_of`), without `get`."""
    urls: bool = False
    """`url` gives an address that others can read."""
    transfers: bool = False
    """`submit`, `poll` and `cancel` work: transfers outlive the process that asked for them."""


class Move(NamedTuple):
    """One file or folder of a durable transfer."""

    source: str
    """URI."""
    target: str
    """URI."""
    sha256: str = ""
    """What must arrive; "" if it is not known."""


class Transfer(NamedTuple):
    """How far a durable transfer is."""

    id: str
    state: str
    """active | succeeded | failed | cancelled | unknown; unknown is none of the others."""
    done: int = 0
    """Bytes that have arrived."""
    total: int | None = None
    """Bytes in all; None as long as it is not known."""
    text: str = ""
    """What the service says, as one sentence."""


class Storage(ABC):
    """One place. Nothing is opened or asked before it is needed, and any method may raise
    PlaceError and nothing else."""

    scheme: ClassVar[str]
    """Of its URIs; the name of the entry point in the group `deepforge_hpc.storage`."""
    capabilities: ClassVar[Capabilities] = Capabilities()

    def __init__(self, root: str | os.PathLike[str]) -> None:
        self.root = os.fspath(root)

    @abstractmethod
    def files(self, name: str) -> Iterator[Stat]:
        """Yield the file of that name, or all files below the folder in the order of their names.

        "" is the place itself; nothing is yielded where nothing is.
        """

    def stat(self, name: str) -> Stat:
        """Say what lies under a name."""
        below = list(self.files(checked(name)))
        if not below:
            raise PlaceError(MISSING, self.where(name), "is not there")
        if below[0].name == name:
            return below[0]
        return Stat(
            name=name,
            kind=FOLDER,
            size=sum(item.size for item in below),
            mtime_ns=max(item.mtime_ns for item in below),
            version=digest(canonical_json([[item.name, item.version] for item in below])),
            files=len(below),
        )

    def listing(self, name: str) -> str:
        """Return the digest of the names, sizes and times of a folder's files.

        Its own time is the newest: a file that is replaced by one with an older time leaves it.
        """
        below = self.files(checked(name))
        return digest(canonical_json([[item.name, item.size, item.mtime_ns] for item in below]))

    def list(self, name: str = "", *, deep: bool = False) -> Iterator[Stat]:
        """Yield what lies in a folder in the order of the names; "" is the place itself.

        With `deep` all files below it, and no folders. A folder that is not there is a fault.
        """
        if name and self.stat(name).kind != FOLDER:
            raise PlaceError(NOT_PLAIN, self.where(name), "is not a folder")
        if deep:
            yield from self.files(name)
            return
        above = f"{name}/" if name else ""
        found: dict[str, Stat] = {}
        for item in self.files(name):
            first, slash, _ = item.name.removeprefix(above).partition("/")
            found[first] = Stat(above + first, FOLDER, 0, item.mtime_ns) if slash else item
        yield from (found[first] for first in sorted(found))

    @abstractmethod
    def open(self, name: str, part: ByteRange | None = None) -> BinaryIO:
        """Open a file, or a part of it, for reading."""

    @abstractmethod
    def put(self, source: Path, name: str, *, expect: str = "", replace: bool = False) -> Stat:
        """Keep a copy of a file or folder of this machine under a name; say what lies there now.

        Folders above it are made. `expect` is the digest that the bytes must have. An existing name
        is a fault unless it may be replaced. Whatever goes wrong, or if this process is killed:
        what lay under the name still does, and nothing else.
        """

    @contextmanager
    def prepared(
        self, source: Path, name: str, *, expect: str = "", replace: bool = False
    ) -> Iterator[Callable[[], Stat]]:
        """Do all of a `put` that may want room or time, and give the call that does the rest.

        For those who must write something else in between; without the call, nothing happened.
        """
        verify(source, expect)
        yield lambda: self.put(source, name, expect=expect, replace=replace)

    @abstractmethod
    def delete(self, name: str) -> None:
        """Take a file or a folder away; what is not there is a fault."""

    def digest(self, name: str) -> str:
        """Return the digest of what lies under a name; where none is known, it is read for that.

        A folder's is that of the canonical JSON of {relative path: digest of the file}.
        """
        found = self.stat(name)
        if found.sha256:
            return found.sha256
        if found.kind == FILE:
            return self._hash(name)
        below = {
            item.name.removeprefix(f"{name}/"): item.sha256 or self._hash(item.name)
            for item in self.files(name)
        }
        return digest(canonical_json(below))

    def _hash(self, name: str) -> str:
        with self.open(name) as stream:
            return hash_chunks(iter(lambda: stream.read(_CHUNK), b""))

    def get(self, name: str, target: Path, *, expect: str = "", replace: bool = False) -> Stat:
        """Bring a file or folder to this machine; `target` is treated as `put` treats a name."""
        from ..base.files import sync_path
        from .landing import arriving
        from .landing import name as give_name

        found = self.stat(name)
        with explained(target), arriving(target, replace=replace) as temporary:
            if found.kind == FILE:
                self._fetch(name, temporary)
            else:
                temporary.mkdir()
                for item in self.files(name):
                    below = temporary / item.name.removeprefix(f"{name}/")
                    below.parent.mkdir(parents=True, exist_ok=True)
                    self._fetch(item.name, below)
            sha256 = verify(temporary, expect or found.sha256, target)
            sync_path(temporary)
            give_name(temporary, target, replace=replace)
        return found._replace(sha256=sha256)

    def _fetch(self, name: str, target: Path) -> None:
        with self.open(name) as stream, target.open("xb") as writer:
            while chunk := stream.read(_CHUNK):
                writer.write(chunk)

    def copy(self, name: str, to: str, *, expect: str = "", replace: bool = False) -> Stat:
        """Keep what lies under a name under another one too, as `put` does."""
        import tempfile

        with tempfile.TemporaryDirectory(prefix="dfh-") as folder:
            passing = Path(folder, "passing")
            found = self.get(name, passing, expect=expect)
            return self.put(passing, to, expect=found.sha256, replace=replace)

    def url(self, name: str, *, seconds: int = 3600) -> str:  # noqa: ARG002 - for those who can
        """Return an address of a file that others can read for so long."""
        raise self._cannot(name, "gives no address that others can read")

    def submit(self, moves: Sequence[Move], *, label: str = "") -> str:  # noqa: ARG002 - as above
        """Ask for a durable transfer and return its id; the same moves and label are the same."""
        raise self._cannot(label, "has no durable transfers")

    def poll(self, transfer: str) -> Transfer:
        """Say how far a durable transfer is."""
        raise self._cannot(transfer, "has no durable transfers")

    def cancel(self, transfer: str) -> None:
        """End a durable transfer; one that has ended is no fault."""
        raise self._cannot(transfer, "has no durable transfers")

    def check(self) -> Sequence[Notice]:
        """Say what stands in the way of using the place: no login, no rights, no room."""
        return ()

    def where(self, name: str) -> str:
        """Return what messages call a name."""
        return f"{self.scheme}://{self.root}/{name}".rstrip("/")

    def _cannot(self, name: str, what: str) -> PlaceError:
        return PlaceError(UNSUPPORTED, self.where(name), what)


def checked(name: str) -> str:
    """Return a name, if it is one: a relative path without `.`, `..` and empty parts."""
    parts = name.split("/")
    if not name or not {"", ".", ".."}.isdisjoint(parts):
        what = "is no name of something below a place: no '/' at its ends, no '.', no '..'"
        raise PlaceError(INVALID, repr(name), what)
    try:
        name.encode()
    except UnicodeEncodeError as error:
        raise PlaceError(INVALID, repr(name), "is not Unicode") from error
    if "\0" in name:
        raise PlaceError(INVALID, repr(name), "holds a NUL character")
    if any(is_temporary(part) for part in parts):
        raise PlaceError(INVALID, repr(name), "is kept for what has not arrived yet")
    return name


def checked_range(part: ByteRange) -> ByteRange:
    """Return a range, if it is one."""
    if part.start < 0 or (part.stop is not None and part.stop < part.start):
        what = "is no range: it begins at 0 or later, and ends where it begins or later"
        raise PlaceError(INVALID, f"{part.start}-{part.stop}", what)
    return part


def verify(path: Path, expect: str, where: object = "") -> str:
    """Return the digest of a file or folder of this machine, if it is as expected ("": any)."""
    with explained(Path(str(where or path))):
        sha256, _ = digest_path(path)
    if expect not in ("", sha256):
        what = f"has the digest {sha256}, and {expect} is expected"
        raise PlaceError(DAMAGED, where or path, what)
    return sha256


def files_of(source: Path) -> dict[str, Path]:
    """Return the files of a folder by their relative paths; of a file itself, by ""."""
    with explained(source):
        if not source.is_dir():
            return {"": source}
        return {below: Path(path) for below, path, _ in walk_files(source)}
