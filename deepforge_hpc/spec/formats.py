"""The formats that a pipeline may name: the runtime's own, and those of installed packages."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

from deepforge_hpc.runtime.formats import FORMATS

if TYPE_CHECKING:
    from importlib.metadata import EntryPoint

    from deepforge_hpc.runtime.formats import Format

GROUP = "deepforge_hpc.formats"
ANY = "any"
PICKLE = "pickle"
_SUFFIXES = {
    ".h5": "hdf5",
    ".hdf5": "hdf5",
    ".npy": "npy",
    ".npz": "npz",
    ".json": "json",
    ".keras": "keras",
}
# What may be chosen by `types:` although an annotation says another thing: the Python type is one,
# the way to keep it another.
_REFINED = {
    "file": {"directory"},
    "json": {"npz", "hdf5", "pickle"},
    "text": {"json"},
}


class Formats(Mapping[str, "Format"]):
    """The table of formats; installed packages are asked for an unknown id only."""

    def __init__(self) -> None:
        self._found: dict[str, Format] = dict(FORMATS)
        self._points: dict[str, EntryPoint] | None = None
        self.used: dict[str, str] = {}
        """`module:object` of each third party's format that was asked for."""

    def __getitem__(self, key: str) -> Format:
        if key not in self._found:
            self._found[key] = self._installed()[key].load()()
        return self._found[key]

    def __iter__(self) -> Iterator[str]:
        return iter({**self._found, **self._installed()})

    def __len__(self) -> int:
        return len({**self._found, **self._installed()})

    def __contains__(self, key: object) -> bool:
        if key in FORMATS:
            return True
        point = self._installed().get(key) if isinstance(key, str) else None
        if point is not None:
            self.used[point.name] = point.value
        return point is not None

    def _installed(self) -> dict[str, EntryPoint]:
        if self._points is None:
            from importlib.metadata import entry_points

            self._points = {point.name: point for point in entry_points(group=GROUP)}
        return self._points


def by_suffix(suffix: str) -> str:
    """Return the format of a file with that suffix."""
    return _SUFFIXES.get(suffix.lower(), "file")


def refines(chosen: str, annotated: str) -> bool:
    """Tell whether `types:` may choose a format for a port that is annotated with another."""
    return annotated in (ANY, chosen) or chosen in _REFINED.get(annotated, ())
