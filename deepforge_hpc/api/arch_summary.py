"""Architecture files at a glance: numbers and a picture, with what the framework says of them.

Where that is not at hand, nothing is said of its layers.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from deepforge_hpc.api.arch import ShownInput, WrittenFile, network, shown_inputs, write_file
from deepforge_hpc.api.arch_check import check
from deepforge_hpc.errors import UsageError
from deepforge_hpc.libraries.networks.plot.svg import draw
from deepforge_hpc.model.json_result import JsonResult


@dataclass(frozen=True, slots=True, kw_only=True)
class NetworkSummary(JsonResult, schema="dfh/architecture-summary/1"):
    """A network in numbers."""

    name: str
    path: str
    inputs: tuple[ShownInput, ...]
    outputs: tuple[str, ...]
    layers: int
    depth: int
    """Layers on the longest way from an input to an output."""
    parameters: int | None
    """None where the framework is not at hand to count them."""
    kinds: dict[str, int]
    """Layers of each kind, most first."""


def summarize(path: Path) -> NetworkSummary:
    """Return how large a network is, as far as its file tells."""
    graph = network(path)
    checked = check(path)
    depths = {item.name: 0 for item in graph.inputs}
    for call in graph.calls:
        depths[call.name] = 1 + max((depths[tensor.name] for tensor in call.reads), default=0)
    return NetworkSummary(
        name=graph.name,
        path=str(path),
        inputs=shown_inputs(graph),
        outputs=tuple(map(str, graph.outputs)),
        layers=len(graph.calls),
        depth=max((depths[tensor.name] for tensor in graph.outputs), default=0),
        parameters=None if checked.parameters.is_least else checked.parameters.value,
        kinds=dict(Counter(call.kind for call in graph.calls).most_common()),
    )


def plot(path: Path, output: Path | None, *, force: bool = False) -> WrittenFile:
    """Return the picture of a network as SVG, written if there is where."""
    if output is not None and output.suffix != ".svg":
        raise UsageError(f"{output}: the picture is SVG", "Give -o NAME.svg.")
    graph = network(path)
    shapes = {
        layer.name: ", ".join(" x ".join(map(_size, shape[1:])) for shape in layer.output)
        for layer in check(path).layers
    }
    return write_file(draw(graph, shapes), output, force=force)


def _size(size: int | None) -> str:
    return "?" if size is None else str(size)
