"""Architecture files: the networks that they stand for."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from deepforge_hpc.model.json_result import JsonResult

if TYPE_CHECKING:
    from deepforge_hpc.libraries.keras.graph import Graph


class ShownInput(NamedTuple):
    """An input of a network."""

    name: str
    shape: tuple[int | None, ...]
    dtype: str


class ShownLayer(NamedTuple):
    """One layer, when all blocks are expanded."""

    name: str
    kind: str
    sources: tuple[str, ...]
    arguments: tuple[str, ...]
    """As source text: `filters=64`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ShownNetwork(JsonResult, schema="dfh/architecture/1"):
    """A network, when all blocks are expanded."""

    name: str
    path: str
    inputs: tuple[ShownInput, ...]
    layers: tuple[ShownLayer, ...]
    outputs: tuple[str, ...]


def network(path: Path) -> Graph:
    """Return the network of a file; InvalidInputError with all faults."""
    from deepforge_hpc.files.characters import decode
    from deepforge_hpc.files.project import read_input
    from deepforge_hpc.libraries.keras.library import KerasLibrary

    return KerasLibrary().graph(decode(read_input(path), str(path)), str(path))


def show(path: Path) -> ShownNetwork:
    """Return what a file expands to."""
    graph = network(path)
    return ShownNetwork(
        name=graph.name,
        path=str(path),
        inputs=tuple(ShownInput(item.name, item.shape, item.dtype) for item in graph.inputs),
        layers=tuple(
            ShownLayer(call.name, call.kind, tuple(map(str, call.sources)), call.words)
            for call in graph.calls
        ),
        outputs=tuple(map(str, graph.outputs)),
    )
