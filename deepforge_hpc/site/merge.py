"""One site from several places: a variant over its file, over the file that it extends.

Mappings are merged key by key; lists and single values replace. Two things add up: `errors`, for
what a message of Slurm's means holds on every site, and a site adds what its own messages mean; and
the `facts` of a section that is itself merged, for each file names the sources of what it says.
Each value keeps the place that it came from, so that a fault or an origin names the file.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from deepforge_hpc.errors import Fault
from deepforge_hpc.files.faults import Path
from deepforge_hpc.files.yaml12 import Document, Mark

OWN_KEYS = frozenset({"base", "extends", "variants", "default_variant"})
"""Keys of a file that say how it is merged, and are not part of the site."""


@dataclass(frozen=True, slots=True)
class Overlay:
    """A part of a document that is laid over others."""

    document: Document
    path: Path = ()

    def value(self) -> dict[str, Any]:
        """Return its mapping, without the keys that say how to merge; {} if it is none."""
        found: object = self.document.value()
        for step in self.path:
            found = found.get(step) if isinstance(found, dict) else None
        if not isinstance(found, dict):
            return {}
        return {key: item for key, item in found.items() if key not in OWN_KEYS}


@dataclass(frozen=True, slots=True)
class Addition:
    """Items that one layer adds to a list."""

    items: list[Any]
    is_list: bool = True
    """Whether its file has a list there, or the item alone."""


class Merged:
    """Layers, the uppermost first, that answer as one document."""

    def __init__(self, layers: Sequence[Overlay]) -> None:
        self._layers = tuple(layers)
        self._values = tuple(layer.value() for layer in layers)
        self._value: dict[str, Any] = {}
        for value in reversed(self._values):
            self._value = _merge(self._value, value)
        errors = [Addition(_errors(value)) for value in self._values]
        self._added: dict[Path, list[Addition]] = {("errors",): errors}
        if items := [item for part in errors for item in part.items]:
            self._value["errors"] = items
        if isinstance(facts := self._value.get("facts"), dict):
            self._value["facts"] = dict(self._add_facts(facts))

    def _add_facts(self, facts: dict[str, Any]) -> Iterator[tuple[str, Any]]:
        """Yield each section's sources; those of what a file above has replaced are gone."""
        for key, uppermost in facts.items():
            parts = list(_facts(self._layers, self._values, key))
            added = [item for part in parts for item in part.items]
            if sum(bool(part.items) for part in parts) > 1:
                self._added["facts", key] = parts
                yield key, added
            elif added:
                yield key, uppermost

    @property
    def file(self) -> str:
        """The uppermost file."""
        return self._layers[0].document.file

    @property
    def files(self) -> list[str]:
        """All files, the uppermost first."""
        return list(dict.fromkeys(layer.document.file for layer in self._layers))

    def value(self) -> dict[str, Any]:
        """Return the merged data."""
        return self._value

    def layer(self, path: Path) -> Overlay:
        """Return the uppermost layer that holds a value; the one that holds most of its path."""
        return self._place(path)[0]

    def mark(self, path: Path = (), *, key: bool = False) -> Mark:
        """Return where a value (or its key) stands in the file that it comes from."""
        layer, path = self._place(path)
        return layer.document.mark((*layer.path, *path), key=key)

    def fault(self, message: str, path: Path = (), *, hint: str = "", key: bool = False) -> Fault:
        """Return a fault at the place of a value, or of its key."""
        layer, path = self._place(path)
        return layer.document.fault(message, (*layer.path, *path), hint=hint, key=key)

    def _place(self, path: Path) -> tuple[Overlay, Path]:
        """Return the layer that holds a value, and the path of it there."""
        for size in (1, 2):
            if len(path) > size and path[:size] in self._added:
                return self._place_of_item(path[:size], path[size], path[size + 1 :])
        depths = [_depth(value, path) for value in self._values]
        return self._layers[depths.index(max(depths))], path

    def _place_of_item(self, start: Path, step: str | int, rest: Path) -> tuple[Overlay, Path]:
        """Return the place of an item of a list that several layers add to."""
        index = step if isinstance(step, int) else 0
        for layer, part in zip(self._layers, self._added[start], strict=True):
            if index < len(part.items):
                return layer, (*start, index, *rest) if part.is_list else (*start, *rest)
            index -= len(part.items)
        return self._layers[0], (*start, step, *rest)


def _errors(value: dict[str, Any]) -> list[Any]:
    """Return the hints of one layer; a thing that is no list is left for the reader to refuse."""
    errors = value.get("errors")
    return errors if isinstance(errors, list) else []


def _facts(
    layers: Sequence[Overlay], values: Sequence[dict[str, Any]], key: str
) -> Iterator[Addition]:
    """Yield the sources of a section in each layer, down to a file that replaced what lay below.

    A file names its sources once for all its variants.
    """
    section = key.partition(".")[0]
    replaced_by: Document | None = None
    for layer, value in zip(layers, values, strict=True):
        facts = value.get("facts")
        counts = replaced_by is None or layer.document is replaced_by
        found = facts.get(key) if isinstance(facts, dict) and counts else None
        is_list = found is None or isinstance(found, list)
        yield Addition((found or []) if is_list else [found], is_list)
        if replaced_by is None and not isinstance(value.get(section, {}), dict):
            replaced_by = layer.document


def _merge(below: dict[str, Any], above: dict[str, Any]) -> dict[str, Any]:
    merged = dict(below)
    for key, value in above.items():
        under = merged.get(key)
        both = isinstance(value, dict) and isinstance(under, dict)
        merged[key] = _merge(under, value) if both and under is not None else value
    return merged


def _depth(value: object, path: Path) -> int:
    """Return how many steps of a path a value has; a list is left whole, as it is merged whole."""
    for depth, step in enumerate(path):
        if isinstance(value, dict) and step in value:
            value = value[step]
        elif isinstance(value, list):
            return len(path)
        else:
            return depth
    return len(path)
