"""Layers of a block that read each other, as they stand in the file."""

from __future__ import annotations

from collections.abc import Iterator

from deepforge_hpc.files.faults import Path
from deepforge_hpc.libraries.networks.architecture import REUSE, Block, Layer


def circle(block: Block, path: Path, name: str) -> list[str]:
    """Return the layers on the way from the line at a path, which reads `name`, back to itself.

    Empty if there is no such way.
    """
    start = next((one for one in block.layers if path[: len(one.path)] == one.path), None)
    if start is None:
        return []
    above: Layer | None = None
    reads: dict[str, tuple[str, ...]] = {}
    for layer in block.layers:
        reads[layer.name] = tuple(_reads(layer, above))
        above = layer
    if name == start.name:
        return [name, name]
    came, ahead = {name: start.name}, [name]
    while ahead and start.name not in came:
        now = ahead.pop()
        for one in reads.get(now, ()):
            if one not in came:
                came[one] = now
                ahead.append(one)
    return _way(came, start.name, name)


def _way(came: dict[str, str], start: str, first: str) -> list[str]:
    """Return what lies on the way that was found, both ends included."""
    if start not in came:
        return []
    found = [start]
    while found[-1] != first:
        found.append(came[found[-1]])
    return [start, *reversed(found)]


def _reads(layer: Layer, above: Layer | None) -> Iterator[str]:
    """Yield the lines that a line reads; the one above where it names none."""
    if not layer.steps[0].sources and above is not None:
        yield above.name
    for step in layer.steps:
        named = [*step.sources, *(one for one in step.call.values() if isinstance(one, str))]
        yield from (one.partition(".")[0] for one in named)
        if step.kind == REUSE and isinstance(step.arguments, str):
            yield step.arguments
