"""`figures/index.json`: the figures that a job has drawn."""

# Annotations are types here, which the codec reads.
import re
from typing import NamedTuple

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
