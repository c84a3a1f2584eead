"""Digests of data that no job made: computed by the first job that reads it, then remembered.

An entry `<ledger>/digests/<key>.json` holds for as long as a file's path, inode, size and times are
those of the key. It is a cache: it may be lost or removed at any time.
"""

from __future__ import annotations

import os
import stat
import time
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from .files import canonical_json, digest, digest_path, publish_json, read_json

SCHEMA = "dfh/digest/1"
# A file changed this shortly before it was read may change again without a change of its times.
_SETTLED_S = 2.0


class Measure(NamedTuple):
    """What tells without reading whether a file, or a folder, is still the same."""

    size: int
    """Bytes; of a folder, the sum of its files."""
    mtime_ns: int
    """Of a folder, the newest of its own and its files'."""
    identity: str
    """Digest of path, inodes, sizes and times of all files."""


def measure(path: Path) -> Measure:
    """Return the size and times of a file, or of all files below a folder."""
    status = path.stat()
    size, newest, entries = 0, status.st_mtime_ns, []
    for file, info in _files_below(path) if stat.S_ISDIR(status.st_mode) else [(path, status)]:
        size += info.st_size
        newest = max(newest, info.st_mtime_ns)
        # The device is left out: one network file system has another number on each node.
        entries.append([str(file), info.st_ino, info.st_size, info.st_mtime_ns, info.st_ctime_ns])
    return Measure(size, newest, digest(canonical_json(entries)).removeprefix("sha256:"))


def _files_below(folder: Path) -> list[tuple[Path, os.stat_result]]:
    found = sorted(Path(place, name) for place, _, names in os.walk(folder) for name in names)
    return [(file, file.lstat()) for file in found]


def lookup(ledger: Path, measured: Measure) -> str | None:
    """Return the remembered digest of a file or folder; None if there is none."""
    try:
        entry = read_json(_entry(ledger, measured))
    except (OSError, ValueError):
        return None
    sha256 = entry.get("sha256")
    holds = entry.get("schema") == SCHEMA and isinstance(sha256, str)
    return sha256 if holds else None


def compute(ledger: Path, path: Path) -> tuple[str, Measure]:
    """Return the digest of a file or folder, remembered or computed now, and its measure.

    ValueError if it changes while it is read.
    """
    before = measure(path)
    known = lookup(ledger, before)
    if known is not None:
        return known, before
    sha256, _ = digest_path(path)
    if measure(path) != before:
        message = f"{path} changed while its digest was computed"
        raise ValueError(message)
    if time.time() - before.mtime_ns / 1e9 > _SETTLED_S:
        entry = {"schema": SCHEMA, "sha256": sha256, "path": str(path), "size": before.size}
        with suppress(OSError):  # a read-only or full ledger: the next job computes it again
            _entry(ledger, before).parent.mkdir(parents=True, exist_ok=True)
            publish_json(_entry(ledger, before), entry, durable=False)
    return sha256, before


def _entry(ledger: Path, measured: Measure) -> Path:
    return ledger / "digests" / f"{measured.identity}.json"
