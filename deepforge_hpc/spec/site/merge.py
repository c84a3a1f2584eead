"""One site from several places: a variant over its file, over the file that it extends.

Mappings are merged key by key; lists and single values replace, but for `errors`: what a message of
Slurm's means holds on every site, and a site adds what its own messages mean. Each value keeps the
place that it came from, so that a fault or an origin names the file that holds it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Sequence

    from deepforge_hpc.errors import Fault
    from deepforge_hpc.spec.schema import Path
    from deepforge_hpc.strictyaml import Document, Mark

OWN_KEYS = frozenset({"extends", "variants", "default_variant"})
"""Keys of a file that say how it is merged, and are not part of the site."""


@dataclass(frozen=True, slots=True)
class Layer:
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


class Merged:
    """Layers, the uppermost first, that answer as one document."""

    def __init__(self, layers: Sequence[Layer]) -> None:
        self._layers = tuple(layers)
        self._values = tuple(layer.value() for layer in layers)
        self._value: dict[str, Any] = {}
        for value in reversed(self._values):
            self._value = _merge(self._value, value)
        if errors := [item for value in self._values for item in _errors(value)]:
            self._value["errors"] = errors

    @property
    def file(self) -> str:
        """The uppermost file."""
        return self._layers[0].document.file

    def value(self) -> dict[str, Any]:
        """Return the merged data."""
        return self._value

    def layer(self, path: Path) -> Layer:
        """Return the uppermost layer that holds a value; the one that holds most of its path."""
        if len(path) > 1 and path[0] == "errors":
            return self._layer_of_error(path)[0]
        depths = [_depth(value, path) for value in self._values]
        return self._layers[depths.index(max(depths))]

    def mark(self, path: Path = (), *, key: bool = False) -> Mark:
        """Return where a value (or its key) stands in the file that it comes from."""
        layer, path = self._place(path)
        return layer.document.mark((*layer.path, *path), key=key)

    def fault(self, message: str, path: Path = (), *, hint: str = "", key: bool = False) -> Fault:
        """Return a fault at the place of a value, or of its key."""
        layer, path = self._place(path)
        return layer.document.fault(message, (*layer.path, *path), hint=hint, key=key)

    def _place(self, path: Path) -> tuple[Layer, Path]:
        """Return the layer that holds a value, and the path of it there."""
        if len(path) > 1 and path[0] == "errors":
            return self._layer_of_error(path)
        return self.layer(path), path

    def _layer_of_error(self, path: Path) -> tuple[Layer, Path]:
        index = path[1] if isinstance(path[1], int) else 0
        for layer, value in zip(self._layers, self._values, strict=True):
            if index < len(_errors(value)):
                return layer, ("errors", index, *path[2:])
            index -= len(_errors(value))
        return self._layers[0], path


def _errors(value: dict[str, Any]) -> list[Any]:
    """Return the hints of one layer; a thing that is no list is left for the reader to refuse."""
    errors = value.get("errors")
    return errors if isinstance(errors, list) else []


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
