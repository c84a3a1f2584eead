"""The boxes of a picture: runs of layers without a branch, each a row of its box."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import NamedTuple

from deepforge_hpc.libraries.networks.graph import Graph, GraphInput, LayerCall

_ROWS = 16
"""A longer run goes on in another box."""
_TEXT = 34
_FAMILIES = {
    "recurrent": "LSTM GRU RNN Bidirectional TimeDistributed Attention",
    "conv": "Conv",
    "dense": "Dense Embedding",
    "norm": "Normalization",
    "pool": "Pooling UpSampling",
    "noise": "Dropout Noise",
    "active": "ReLU ELU Softmax Activation",
}
"""Colour, by what the name of a kind holds; of what merges, by more than one source."""


class BoxRow(NamedTuple):
    """One layer, or an input."""

    name: str
    kind: str
    words: str
    """Its most telling arguments."""
    shape: str
    """Empty where it is not known."""
    css: str


@dataclass(frozen=True, slots=True)
class ChainBox:
    """Layers that each pass on to the next alone."""

    name: str
    """Of its last layer: what others are fed by."""
    title: str
    rows: tuple[BoxRow, ...]
    sources: tuple[str, ...]
    """What its first layer is called on, by the names of boxes, in order."""
    is_input: bool = False
    is_output: bool = False


def boxes(graph: Graph, shapes: Mapping[str, str]) -> tuple[ChainBox, ...]:
    """Return the boxes of a network, each after what it is fed by."""
    outputs = {tensor.name for tensor in graph.outputs}
    found = [
        ChainBox(item.name, item.name, (_input(item),), (), True, item.name in outputs)
        for item in graph.inputs
    ]
    for run in _runs(graph, outputs):
        names = [call.name for call in run]
        sources = tuple(tensor.name for tensor in run[0].reads)
        rows = tuple(_row(call, shapes.get(call.name, "")) for call in run)
        is_output = names[-1] in outputs
        found.append(ChainBox(names[-1], _title(names), rows, sources, is_output=is_output))
    titles = Counter(box.title for box in found)
    return tuple(box if titles[box.title] == 1 else replace(box, title=box.name) for box in found)


def _runs(graph: Graph, outputs: set[str]) -> list[list[LayerCall]]:
    """Return the layers in runs: each but the first is called on the one before, and nothing else.

    A run stays within a line of the file, so that its parts keep their names.
    """
    readers = Counter(tensor.name for call in graph.calls for tensor in call.reads)
    by_end: dict[str, list[LayerCall]] = {}
    for call in graph.calls:
        before = call.reads[0].name if len(call.reads) == 1 else ""
        run = by_end.get(before)
        if (
            run is not None
            and readers[before] == 1
            and before not in outputs
            and len(run) < _ROWS
            and _line(run[-1]) == _line(call)
        ):
            del by_end[before]
            by_end[call.name] = [*run, call]
        else:
            by_end[call.name] = [call]
    return list(by_end.values())


def _line(call: LayerCall) -> tuple[object, ...]:
    outermost = call.passages[0].place if call.passages else call.place
    return (outermost.file, *outermost.path[:3])


def _title(names: list[str]) -> str:
    """Return what the names of layers begin with in common, up to a whole word."""
    if len(names) == 1:
        return names[0]
    parts = [name.split("_") for name in names]
    common = []
    for words in zip(*parts, strict=False):
        if len(set(words)) > 1:
            break
        common.append(words[0])
    return "_".join(common) or names[-1]


def _input(item: GraphInput) -> BoxRow:
    sizes = " x ".join("?" if size is None else str(size) for size in item.shape)
    return BoxRow(item.name, "Input", item.dtype, sizes, "input")


def _row(call: LayerCall, shape: str) -> BoxRow:
    shown = [
        _argument(name, item.data)
        for name, item in call.arguments.items()
        if isinstance(item.data, (bool, int, float, str, list))
    ]
    words = ", ".join(shown)
    words = words if len(words) <= _TEXT else f"{words[: _TEXT - 1].rstrip(', ')}…"
    if call.shared:
        words = f"shared with {call.shared}"
    return BoxRow(
        call.name, call.kind, words, shape, "merge" if call.merges else _family(call.kind)
    )


def _argument(name: str, value: object) -> str:
    if name in {"filters", "units", "rate"} or isinstance(value, str):
        return str(value)
    if name == "kernel_size":
        return f"{value}x{value}" if isinstance(value, int) else "x".join(map(str, _list(value)))
    text = str(value).lower() if isinstance(value, bool) else str(value)
    return f"{name} {text}"


def _list(value: object) -> list[object]:
    return value if isinstance(value, list) else [value]


def _family(kind: str) -> str:
    for family, words in _FAMILIES.items():
        if any(word in kind for word in words.split()):
            return family
    return "other"
