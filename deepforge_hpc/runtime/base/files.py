"""Files that others may read while they are written: canonical JSON, digests, publication."""

from __future__ import annotations

import hashlib
import json
import os
import stat
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator

_CHUNK = 1 << 20


def _chunks(path: Path) -> Iterator[bytes]:
    # Not path.open(): it asks for the status of the file twice, and each job reads all of its code.
    # A pipe that was planted in its place must not hold us up (O_NONBLOCK): it reads as empty.
    handle = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    try:
        while chunk := os.read(handle, _CHUNK):
            yield chunk
    finally:
        os.close(handle)


def read_bytes(path: Path) -> bytes:
    """Return the bytes of a file by one file-system call."""
    return b"".join(_chunks(path))


def canonical_json(data: object) -> bytes:
    """Return the one JSON text of `data`: sorted keys, UTF-8, no NaN, a newline at the end.

    Raises ValueError for NaN and infinities, TypeError for what JSON cannot hold.
    """
    text = json.dumps(
        data, sort_keys=True, ensure_ascii=False, allow_nan=False, separators=(",", ":")
    )
    return text.encode() + b"\n"


def read_json(path: Path) -> dict[str, Any]:
    """Return the object in a JSON file; ValueError if it is damaged or not an object."""
    data = json.loads(read_bytes(path))
    if not isinstance(data, dict):
        message = f"{path}: not a JSON object"
        raise ValueError(message)
    return data


def digest(data: bytes) -> str:
    """Return `sha256:` and the hex digest of the bytes."""
    return "sha256:" + hashlib.sha256(data).hexdigest()


def digest_file(path: Path) -> str:
    """Return `sha256:` and the hex digest of a file's bytes."""
    state = hashlib.sha256()
    for chunk in _chunks(path):
        state.update(chunk)
    return "sha256:" + state.hexdigest()


def digest_path(path: Path) -> tuple[str, int]:
    """Return digest and size in bytes of a file, or of a folder and all below it.

    A folder's digest is that of the canonical JSON of {relative path: digest of the file}. Links
    inside a folder are refused with ValueError, as they could point anywhere, and so is what is
    neither a file nor a folder.
    """
    status = path.stat()
    if stat.S_ISREG(status.st_mode):
        return digest_file(path), status.st_size
    if not stat.S_ISDIR(status.st_mode):
        message = f"{path} is neither a file nor a folder"
        raise ValueError(message)
    entries: dict[str, str] = {}
    size = 0
    for folder, names, files in os.walk(path):
        for name in names:
            own_status(Path(folder, name))
        for name in files:
            file = Path(folder, name)
            size += own_status(file).st_size
            entries[file.relative_to(path).as_posix()] = digest_file(file)
    return digest(canonical_json(entries)), size


def own_status(path: Path) -> os.stat_result:
    """Return the status of a file or folder; ValueError if it is anything else."""
    status = path.lstat()
    if not (stat.S_ISREG(status.st_mode) or stat.S_ISDIR(status.st_mode)):
        what = "a link" if stat.S_ISLNK(status.st_mode) else "neither a file nor a folder"
        message = f"{path} is {what}, and a folder of data holds its own files only"
        raise ValueError(message)
    return status


def sync_folder(folder: Path) -> None:
    """Make the names in a folder durable."""
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def publish_bytes(path: Path, data: bytes, *, durable: bool = True, mode: int = 0o644) -> None:
    """Write a file so that no reader ever sees a part of it under its name.

    Temporary name in the same folder, fsync, rename, fsync of the folder (without the two fsyncs
    if not `durable`). A planted link under the temporary name is refused (O_EXCL | O_NOFOLLOW).
    """
    temporary = path.with_name(f".{path.name}.{os.urandom(6).hex()}.tmp")
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
