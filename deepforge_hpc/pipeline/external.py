"""External inputs: where they are, what they are, and what is known of their bytes."""

from __future__ import annotations

import os
import re
import stat
from pathlib import Path
from typing import TYPE_CHECKING

from deepforge_hpc.files.faults import nearest, shown
from deepforge_hpc.files.project import ProjectError, absolute
from deepforge_hpc.model.plan import ExternalInput
from deepforge_hpc.pipeline.file import origin
from deepforge_hpc.pipeline.formats import by_suffix
from deepforge_hpc.runtime.base.files import digest_path

if TYPE_CHECKING:
    from deepforge_hpc.files.faults import Reader
    from deepforge_hpc.pipeline.file import InputSpec
    from deepforge_hpc.pipeline.formats import Formats

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
                message = "is neither a file nor a folder"
                raise ProjectError(message)
        is_small = size <= SMALL_BYTES and count <= _SMALL_FILES
        sha256 = digest_path(path)[0] if is_small else None
    except ProjectError as error:
        reader.fault(at, f"{shown(spec.uri)} {error}", error.hint)
        return None
    except OSError as error:
        reader.fault(at, f"{shown(spec.uri)}: {error.strerror}", f"looked for {path}")
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
    """Return the bytes, the latest time and the number of files below a folder.

    ProjectError if there is anything in it that its digest could not cover.
    """
    size, latest, count = 0, folder.stat().st_mtime_ns, 0
    for parent, folders, names in os.walk(folder):
        for name in (*folders, *names):
            path = Path(parent, name)
            status = path.lstat()
            if stat.S_ISDIR(status.st_mode):
                continue
            if not stat.S_ISREG(status.st_mode):
                # A link could point anywhere; a pipe would block who reads it, for ever.
                kind = "a link" if stat.S_ISLNK(status.st_mode) else "neither a file nor a folder"
                message = f"holds what is {kind}"
                raise ProjectError(message, f"replace {path} by its content, or take it away")
            size += status.st_size
            latest = max(latest, status.st_mtime_ns)
            count += 1
    return size, latest, count
