"""External inputs: where they are, what they are, and what is known of their bytes."""

from __future__ import annotations

from pathlib import Path

from deepforge_hpc.files.faults import Reader, nearest, shown
from deepforge_hpc.files.project import absolute
from deepforge_hpc.pipeline.file import InputSpec, origin
from deepforge_hpc.pipeline.formats import Formats, by_suffix
from deepforge_hpc.plugins.storage import LATER, PlaceError, scheme_of
from deepforge_hpc.runtime.base.files import OddFileError
from deepforge_hpc.runtime.base.plan import ExternalInput
from deepforge_hpc.runtime.storage.base import FOLDER
from deepforge_hpc.runtime.storage.fault import NOT_PLAIN
from deepforge_hpc.runtime.storage.local import LocalStorage

SMALL_BYTES = 16 << 20
"""Inputs up to this size are hashed when the pipeline is loaded."""
_SMALL_FILES = 1_000


def scheme_problem(text: str) -> str:
    """Say why a place with a scheme cannot be used; empty for a path."""
    scheme = scheme_of(text)
    if scheme in LATER:
        return f"{scheme}:// is not in this version"
    return f"{shown(text[: len(scheme) + 3])} is not known: give a path" if scheme else ""


def locate(spec: InputSpec, folder: Path, formats: Formats, reader: Reader) -> ExternalInput | None:
    """Return an external input as it is on disk; None if a fault was reported."""
    at = ("inputs", spec.name, "uri")
    if not spec.uri:
        return None
    if problem := scheme_problem(spec.uri):
        is_later = scheme_of(spec.uri) in LATER
        hint = "fetch it with an operation, or by hand" if is_later else ""
        reader.fault(at, problem, hint)
        return None
    path = Path(absolute(spec.uri, folder))
    place, name = LocalStorage.at(path)
    try:
        found = place.stat(name)
        is_small = found.size <= SMALL_BYTES and found.files <= _SMALL_FILES
        sha256 = place.digest(name) if is_small else None
        listing = "" if is_small or found.kind != FOLDER else place.listing(name)
    except PlaceError as error:
        if isinstance(error.__cause__, OddFileError):
            odd = error.__cause__
            reader.fault(at, f"{shown(spec.uri)} holds what is {odd.kind}", odd.mend)
        else:
            hint = "" if error.kind == NOT_PLAIN else f"looked for {path}"
            reader.fault(at, error.sentence(shown(spec.uri)), hint)
        return None
    kind = spec.type or ("directory" if found.kind == FOLDER else by_suffix(path.suffix))
    if kind not in formats:
        reader.fault(("inputs", spec.name, "type"), f"no format {kind!r}", nearest(kind, formats))
        return None
    return ExternalInput(
        name=spec.name,
        uri=spec.uri,
        type=kind,
        path=str(path),
        size=found.size,
        mtime_ns=found.mtime_ns,
        sha256=sha256,
        origin=origin(reader.document, "inputs", spec.name),
        listing=listing,
    )
