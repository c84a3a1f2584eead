"""`figures/index.json`: the figures that a job has drawn."""

# Annotations are types here, which the codec reads.
import re
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from ..base.codec import parse
from ..base.files import digest, read_own
from ..state.record_data import RecordedFigure

SCHEMA = "dfh/figures/1"
INDEX = "index.json"


class FigureEntry(NamedTuple):
    """One figure, and its files in the folder."""

    id: str = ""
    title: str = ""
    updated: str = ""
    """UTC, ISO 8601."""
    png: str = ""
    svg: str | None = None
    data: str | None = None

    def file(self, kind: str) -> str:
        """Return the name of a file of it; empty for none, and for anything but a plain name."""
        name = getattr(self, kind)
        return name if name and re.fullmatch(r"[A-Za-z0-9_-][A-Za-z0-9_.-]*", name) else ""


class FigureIndex(NamedTuple):
    """All of a job, oldest first."""

    figures: tuple[FigureEntry, ...] = ()
    schema: str = SCHEMA


def recorded(folder: Path) -> tuple[RecordedFigure, ...]:
    """Return what the files of a job's figures are now, for its record; of those that can be read.

    As they lie there: a rank that was killed may have drawn one that its index does not know yet.
    """
    try:
        drawn = parse(FigureIndex, read_own(folder / INDEX), is_open=True).figures
    except (OSError, ValueError):
        return ()
    found = []
    names = (item.file(kind) for item in drawn for kind in ("png", "svg", "data"))
    for name in dict.fromkeys(filter(None, names)):
        with suppress(OSError, ValueError):
            content = read_own(folder / name)
            found.append(RecordedFigure(name, digest(content), len(content)))
    return tuple(found)
