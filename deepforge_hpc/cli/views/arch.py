"""How `dfh arch` shows a network."""

from __future__ import annotations

import re
from collections.abc import Iterator

from deepforge_hpc.api.arch import ShownNetwork
from deepforge_hpc.cli.views.display import table
from deepforge_hpc.runtime.base.text import count

_HEADER = ("LAYER", "KIND", "FROM", "ARGUMENTS")
_MODULE = re.compile(r"\bkeras\.\w+\.")


def network_lines(found: ShownNetwork) -> Iterator[str]:
    """Yield what the network is, and a line for each input and layer."""
    parts = (
        count(len(found.inputs), "input"),
        count(len(found.layers), "layer"),
        count(len(found.outputs), "output"),
    )
    yield f"{found.name}: {', '.join(parts)}: {', '.join(found.outputs)}"
    inputs = [
        (item.name, "Input", "-", f"{sizes(item.shape)} {item.dtype}") for item in found.inputs
    ]
    layers = [
        (item.name, item.kind, ", ".join(item.sources), _MODULE.sub("", ", ".join(item.arguments)))
        for item in found.layers
    ]
    yield from table(_HEADER, [*inputs, *layers])


def sizes(shape: tuple[int | None, ...]) -> str:
    """Return `64 x 64 x 5`; `?` is any size."""
    return " x ".join("?" if size is None else str(size) for size in shape) or "scalar"
