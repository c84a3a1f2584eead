"""Layers of one number that everything must pass through."""

from __future__ import annotations

from collections.abc import Iterator

from deepforge_hpc.libraries.networks.graph import Graph, LayerCall
from deepforge_hpc.libraries.networks.trial.judge import Advice, Finding, Outcome
from deepforge_hpc.libraries.networks.trial.result import BuiltLayer, Shape


def bottlenecks(graph: Graph, outcome: Outcome) -> Iterator[Finding]:
    """Yield layers that leave one number of all that later layers learn from."""
    for call in graph.calls:
        built = outcome.get(call.name, BuiltLayer())
        # Behind one number, each number is one: the first layer is told.
        is_first = not any(map(_is_one, built.inputs))
        is_one = any(map(_is_one, built.outputs[:1]))
        if is_one and is_first and built.weights and _parts(graph, call, outcome):
            what = "all that later layers learn from must pass through this one number"
            hint = "give it more units, if it is not meant as a bottleneck"
            yield Finding("bottleneck", call, Advice(what, hint))


def _is_one(shape: Shape) -> bool:
    return len(shape) > 1 and all(size == 1 for size in shape[1:])


def _parts(graph: Graph, one: LayerCall, outcome: Outcome) -> bool:
    """Tell whether weights follow a layer, and no way from the inputs leads around it."""
    after, around = {one.name}, {item.name for item in graph.inputs}
    has_weights = False
    for call in graph.calls:
        read = {tensor.name for tensor in call.reads}
        if read & after:
            after.add(call.name)
            has_weights |= bool(outcome.get(call.name, BuiltLayer()).weights)
        if read & around and call is not one:
            around.add(call.name)
    return has_weights and not any(tensor.name in around for tensor in graph.outputs)
