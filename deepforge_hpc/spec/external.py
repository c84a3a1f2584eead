"""External inputs: where they are, what they are, and what is known of their bytes."""

from __future__ import annotations

import errno
import os
import re
import stat
from pathlib import Path
from typing import TYPE_CHECKING

from deepforge_hpc.model.plan import ExternalInput
from deepforge_hpc.runtime.files import digest_path
from deepforge_hpc.spec.formats import by_suffix
from deepforge_hpc.spec.pipeline import origin
from deepforge_hpc.spec.project import absolute
from deepforge_hpc.spec.schema import nearest, shown

if TYPE_CHECKING:
    from deepforge_hpc.spec.formats import Formats
    from deepforge_hpc.spec.pipeline import InputSpec
    from deepforge_hpc.spec.schema import Reader

SMALL_BYTES = 16 << 20
"""Inputs up to this size are hashed when the pipeline is loaded."""
_SMALL_FILES = 1_000
_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*)://")
_LATER = frozenset({"globus", "s3", "sftp", "http", "https"})


def scheme_problem(text: str) -> str:
    """Say why a place with a scheme cannot be used; empty for a path."""
    match = _SCHEME.match(text)
    if match is None:
        return ""
    scheme = match[1].lower()
    if scheme in _LATER:
        return f"{scheme}:// is not in this version"
    return f"{shown(match[0])} is not known: give a path"


def locate(spec: InputSpec, folder: Path, formats: Formats, reader: Reader) -> ExternalInput | None:
    """Return an external input as it is on disk; None if a fault was reported."""
    at = ("inputs", spec.name, "uri")
    if not spec.uri:
        return None
    if problem := scheme_problem(spec.uri):
        hint = "fetch it with an operation, or by hand" if "version" in problem else ""
        reader.fault(at, problem, hint)
        return None
    path = Path(absolute(spec.uri, folder))
    try:
        status = path.stat()
        if stat.S_ISDIR(status.st_mode):
            size, mtime_ns, count = _measure(path)
        else:
            size, mtime_ns, count = status.st_size, status.st_mtime_ns, 1
            if not stat.S_ISREG(status.st_mode):
                reader.fault(at, f"{shown(spec.uri)} is neither a file nor a folder")
                return None
        is_small = size <= SMALL_BYTES and count <= _SMALL_FILES
        sha256 = _digest(path) if is_small else None
    except OSError as error:
        inside = error.filename not in (None, str(path))
        where = f"in it, {error.filename}" if inside else f"looked for {path}"
        reader.fault(at, f"{shown(spec.uri)}: {error.strerror}", where)
        return None
    kind = spec.type or ("directory" if stat.S_ISDIR(status.st_mode) else by_suffix(path.suffix))
    if kind not in formats:
        reader.fault(("inputs", spec.name, "type"), f"no format {kind!r}", nearest(kind, formats))
        return None
    return ExternalInput(
        name=spec.name,
        uri=spec.uri,
        type=kind,
        path=str(path),
        size=size,
        mtime_ns=mtime_ns,
        sha256=sha256,
        origin=origin(reader.document, "inputs", spec.name),
    )


def _measure(folder: Path) -> tuple[int, int, int]:
    """Return the bytes, the latest time and the number of files below a folder."""
    size, latest, count = 0, folder.stat().st_mtime_ns, 0
    for parent, _, names in os.walk(folder):
        for name in names:
            path = Path(parent, name)
            status = path.lstat()
            if not stat.S_ISREG(status.st_mode) and not stat.S_ISLNK(status.st_mode):
                # A pipe would block who reads it, for ever.
                raise OSError(errno.EINVAL, "neither a file nor a folder nor a link", str(path))
            size += status.st_size
            latest = max(latest, status.st_mtime_ns)
            count += 1
    return size, latest, count


def _digest(path: Path) -> str | None:
    try:
        return digest_path(path)[0]
    except ValueError:  # a link inside the folder: what it points to is not under this name
        return None
