"""`index.json` beside the parts of a gathered value."""

# Annotations are types here, which the codec reads.
from pathlib import Path
from typing import NamedTuple

from ..base.codec import ShapeError, parse
from ..base.files import read_own

INDEX = "index.json"
PARTS_SCHEMA = "dfh/parts/1"


class Part(NamedTuple):
    """What one task made of it."""

    file: str
    """Its name in the folder."""
    rows: int | None = None
    """Where they were counted."""
    sha256: str = ""
    size: int = 0


class Parts(NamedTuple):
    """The parts of a value, in the order of the tasks."""

    format: str
    parts: tuple[Part, ...]
    rows: int | None = None
    """Of all of them together."""
    schema: str = PARTS_SCHEMA


def read_parts(folder: Path) -> Parts:
    """Return what the index of a folder says; OSError, or ShapeError if it is damaged."""
    found = parse(Parts, read_own(folder / INDEX), is_open=True)
    for at, part in enumerate(found.parts):
        if part.file in {"", ".", ".."} or "/" in part.file:
            raise ShapeError(f"{part.file!r} is not in the folder", f"parts[{at}].file")
    return found
