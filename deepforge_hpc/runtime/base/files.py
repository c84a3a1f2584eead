"""Files that others may read while they are written: canonical JSON, digests, publication."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import stat
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

_CHUNK = 1 << 20
_SMALL = 1 << 14
"""More than most files of JSON: a larger buffer costs more than to read them."""
_TEMPORARY = ".dfh-", ".tmp"
JSON_LIMIT = 32 << 20
"""The largest file of JSON that is read."""
# O_NONBLOCK: opening a named pipe must not wait for a writer.
OWN = os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK


@contextmanager
def opened(
    path: Path | str, flags: int = os.O_RDONLY, mode: int = 0o644, *, folder: int | None = None
) -> Iterator[int]:
    """Open a file by one call, where `open()` makes three; `folder` as in `opened_own`."""
    handle = os.open(path, flags | os.O_CLOEXEC, mode, dir_fd=folder)
    try:
        yield handle
    finally:
        os.close(handle)


@contextmanager
def opened_own(
    name: Path | str, *, folder: int | None = None, owner: int | None = None
) -> Iterator[tuple[int, int]]:
    """Open a file that a job or the submitter wrote; handle, and size in bytes.

    OSError (FileNotFoundError if there is none), or ValueError for what nobody wrote there: a link
    or a device, which may have no end, a pipe, a folder. By one file-system call: the status of
    what is open costs none. `folder` is an open folder that the name lies in, `owner` the one user
    whose it may be.
    """
    try:
        with opened(name, OWN, folder=folder) as handle:
            status = os.fstat(handle)
            if not stat.S_ISREG(status.st_mode):
                raise ValueError("it is no plain file")
            if owner not in {None, status.st_uid}:
                raise ValueError("it belongs to another user")
            yield handle, status.st_size
    except OSError as error:
        if error.errno in {errno.ELOOP, errno.ENXIO}:
            raise ValueError("it is a link or a socket") from error
        raise


def read_most(handle: int, limit: int) -> bytes:
    """Return up to `limit` bytes from where an open file stands."""
    parts = []
    most = _SMALL
    while limit > 0 and (part := os.read(handle, min(limit, most))):
        parts.append(part)
        limit -= len(part)
        most = _CHUNK
    return b"".join(parts)


def read_own(
    name: Path | str,
    *,
    folder: int | None = None,
    owner: int | None = None,
    limit: int = JSON_LIMIT,
    tail: int = 0,
) -> bytes:
    """Return a file that a job or the submitter wrote, or its last `tail` bytes.

    As `opened_own`; ValueError also for one that is larger than `limit`.
    """
    with opened_own(name, folder=folder, owner=owner) as (handle, size):
        if tail:
            os.lseek(handle, max(0, size - tail), os.SEEK_SET)
        data = read_most(handle, limit + 1)
    if len(data) > limit:
        raise ValueError(f"it has more than {limit} bytes")
    return data


def load_json(data: bytes | str) -> Any:
    """Return what a JSON text holds; ValueError also for one that is nested too deep."""
    try:
        return json.loads(data)
    except RecursionError as error:
        raise ValueError(str(error)) from error


def parse_object(data: bytes | str) -> dict[str, Any]:
    """Return a JSON object; ValueError if it is damaged or another thing."""
    value = load_json(data)
    if not isinstance(value, dict):
        raise ValueError("it holds no JSON object")
    return value


_OPTIONS: dict[str, Any] = {"sort_keys": True, "allow_nan": False, "separators": (",", ":")}
_CANONICAL = json.JSONEncoder(ensure_ascii=False, **_OPTIONS)
_ESCAPED = json.JSONEncoder(**_OPTIONS)


def canonical_json(data: object) -> bytes:
    """Return the one JSON text of `data`: sorted keys, UTF-8, no NaN, a newline at the end.

    Raises ValueError for NaN and infinities, TypeError for what JSON cannot hold.
    """
    try:
        return _CANONICAL.encode(data).encode() + b"\n"
    except UnicodeEncodeError:  # a lone surrogate, which an escape alone can say
        return _ESCAPED.encode(data).encode() + b"\n"


def read_json(path: Path) -> dict[str, Any]:
    """Return the object in a JSON file; ValueError if it is damaged or not an object."""
    try:
        return parse_object(read_own(path))
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from error


def digest(data: bytes) -> str:
    """Return `sha256:` and the hex digest of the bytes."""
    return "sha256:" + hashlib.sha256(data).hexdigest()


def hash_chunks(chunks: Iterable[bytes]) -> str:
    """Return `sha256:` and the hex digest of bytes that come in pieces."""
    state = hashlib.sha256()
    for chunk in chunks:
        state.update(chunk)
    return "sha256:" + state.hexdigest()


def digest_file(path: Path) -> str:
    """Return `sha256:` and the hex digest of a file's bytes."""
    return hash_chunks(_chunks(path))


def _chunks(path: Path) -> Iterator[bytes]:
    # Not path.open(): it asks for the status of the file twice.
    # A pipe that was planted in its place must not hold us up (O_NONBLOCK): it reads as empty.
    with opened(path, os.O_RDONLY | os.O_NONBLOCK) as handle:
        while chunk := os.read(handle, _CHUNK):
            yield chunk


def digest_path(path: Path, status: os.stat_result | None = None) -> tuple[str, int]:
    """Return digest and size in bytes of a file, or of a folder and all below it.

    A folder's digest is that of the canonical JSON of {relative path: digest of the file}.
    ValueError as `walk_files`, and for what is neither a file nor a folder.
    """
    status = status or path.stat()
    if stat.S_ISREG(status.st_mode):
        return digest_file(path), status.st_size
    if not stat.S_ISDIR(status.st_mode):
        raise ValueError(f"{path} is neither a file nor a folder")
    entries: dict[str, str] = {}
    size = 0
    for below, file, status in walk_files(path):
        size += status.st_size
        entries[below] = digest_file(Path(file))
    return digest(canonical_json(entries)), size


def walk_files(
    folder: str | os.PathLike[str], above: str = ""
) -> Iterator[tuple[str, str, os.stat_result]]:
    """Yield relative path, path and status of all files below a folder, in the order of the first.

    OddFileError for what is none, a link above all.
    """
    with os.scandir(folder) as found:
        entries = sorted(found, key=lambda entry: entry.name + "/" * _is_folder(entry))
    for entry in entries:
        require_text(entry)
        below = above + entry.name
        if _is_folder(entry):
            yield from walk_files(entry.path, f"{below}/")
        else:
            require_plain(entry)
            yield below, entry.path, entry.stat(follow_symlinks=False)


class OddFileError(ValueError):
    """What a folder of data cannot hold, as no digest covers it: a link, a device, a name in bytes.

    `path` is escaped where it is no text, so that it can be printed and recorded.
    """

    def __init__(self, path: str, kind: str, rule: str, mend: str) -> None:
        self.path = os.fsencode(path).decode("utf-8", "backslashreplace")
        self.kind = kind
        self.what = f"is {kind}, and a folder of data {rule}"
        self.mend = mend.format(self.path)
        super().__init__(f"{self.path} {self.what}")


def require_text(entry: os.DirEntry[str]) -> None:
    """Raise OddFileError for a name that JSON, and so a digest and a record, cannot hold."""
    try:
        entry.name.encode()
    except UnicodeEncodeError as error:
        kind, rule = "named in bytes that are not UTF-8", "has names in UTF-8"
        raise OddFileError(entry.path, kind, rule, "rename {}") from error


def require_plain(entry: os.DirEntry[str]) -> None:
    """Raise OddFileError for what is no file."""
    if not entry.is_file(follow_symlinks=False):
        # A link could point anywhere.
        kind = "a link" if entry.is_symlink() else "neither a file nor a folder"
        mend = "replace {} by its content, or take it away"
        raise OddFileError(entry.path, kind, "holds its own files only", mend)


def _is_folder(entry: os.DirEntry[str]) -> bool:
    return entry.is_dir(follow_symlinks=False)


def remove(path: Path) -> None:
    """Remove a file or a folder, as far as it is there and can be removed."""
    if not path.is_dir() or path.is_symlink():
        with suppress(OSError):
            path.unlink()
        return
    for folder, names, files in os.walk(path, topdown=False):
        for name in files:
            with suppress(OSError):
                os.unlink(f"{folder}/{name}")  # noqa: PTH108 - a str in, thousands of times
        for name in names:
            _remove_folder(f"{folder}/{name}")
    _remove_folder(str(path))


def _remove_folder(folder: str) -> None:
    with suppress(OSError):
        if os.path.islink(folder):  # noqa: PTH114 - as above
            os.unlink(folder)  # noqa: PTH108
        else:
            os.rmdir(folder)  # noqa: PTH106


def sync_folder(folder: Path) -> None:
    """Make the names in a folder durable."""
    _sync(folder, os.O_DIRECTORY)


def make_folder(folder: Path) -> None:
    """Make a folder and those above it; the names of all that are new are durable."""
    new = []
    for path in (folder, *folder.parents):
        if path.is_dir():
            break
        new.append(path)
    folder.mkdir(parents=True, exist_ok=True)
    for path in new:
        sync_folder(path.parent)


def _sync(path: Path | str, flags: int = 0) -> None:
    handle = os.open(path, os.O_RDONLY | os.O_CLOEXEC | flags)  # `opened` costs as much again
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def sync_path(path: Path) -> None:
    """Make a file, or a folder and all below it, durable."""
    if not path.is_dir():
        _sync(path)
    for folder, _, names in os.walk(path):
        for name in names:
            _sync(f"{folder}/{name}")
        _sync(folder)


def temporary_beside(path: Path) -> Path:
    """Return a free name in the same folder; short, as the name itself may be as long as can be."""
    return path.with_name(f"{_TEMPORARY[0]}{os.urandom(6).hex()}{_TEMPORARY[1]}")


def is_temporary(name: str) -> bool:
    """Tell whether a file name is that of something that is not whole yet."""
    return name.startswith(_TEMPORARY[0]) and name.endswith(_TEMPORARY[1])


def publish_bytes(path: Path, data: bytes, *, durable: bool = True, mode: int = 0o644) -> None:
    """Write a file so that no reader ever sees a part of it under its name.

    Temporary name in the same folder, fsync, rename, fsync of the folder (without the two fsyncs
    if not `durable`). A planted link under the temporary name is refused (O_EXCL | O_NOFOLLOW).
    """
    temporary = temporary_beside(path)
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    handle = os.open(temporary, flags, mode)
    try:
        try:
            view = memoryview(data)
            while view:
                view = view[os.write(handle, view) :]
            if durable:
                os.fsync(handle)
        finally:
            os.close(handle)
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    if durable:
        sync_folder(path.parent)


def publish_json(path: Path, data: object, *, durable: bool = True) -> None:
    """Publish `data` as canonical JSON."""
    publish_bytes(path, canonical_json(data), durable=durable)
