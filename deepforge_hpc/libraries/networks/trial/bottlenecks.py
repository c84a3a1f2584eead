"""Layers of one number, in all or for each step or pixel, that everything must pass through."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from deepforge_hpc.libraries.networks.graph import Graph, LayerCall
from deepforge_hpc.libraries.networks.trial.judge import Advice, Finding, Outcome
from deepforge_hpc.libraries.networks.trial.result import BuiltLayer, Shape

_SPREADS = ("Flatten", "Reshape", "Permute", "Unflatten", "permute", "transpose")
"""Layers that make one of the numbers of many steps or pixels what later layers see together."""
_HINT = "give it more units, if it is not meant as a bottleneck"


def bottlenecks(
    graph: Graph, outcome: Outcome, channels: Callable[[LayerCall], int]
) -> Iterator[Finding]:
    """Yield layers that leave one number of all that later layers learn from.

    `channels`: which dimension of what a layer gives counts the numbers of one step or pixel.
    """
    for call in graph.calls:
        built = outcome.get(call.name, BuiltLayer())
        if not built.weights:
            continue
        # Behind one number, each number is one: the first layer is told.
        is_first = not any(map(_is_one, built.inputs))
        if is_first and any(map(_is_one, built.outputs[:1])):
            what = "all that later layers learn from must pass through this one number"
            is_bottleneck = _parts(graph, call, outcome)
        else:
            what = "each step or pixel is one number here, and later layers learn from it alone"
            is_narrow = _narrows(built, channels(call))
            is_bottleneck = is_narrow and _parts(graph, call, outcome, *_SPREADS)
        if is_bottleneck:
            yield Finding("bottleneck", call, Advice(what, _HINT))


def _is_one(shape: Shape) -> bool:
    return len(shape) > 1 and all(size == 1 for size in shape[1:])


def _narrows(built: BuiltLayer, channels: int) -> bool:
    """Tell whether a layer makes one number of several, at many steps or pixels."""
    was, now = (shapes[0] if len(shapes) == 1 else () for shapes in (built.inputs, built.outputs))
    if not 2 < len(now) == len(was) or _is_one(now):
        return False
    return now[channels] == 1 != was[channels]


def _parts(graph: Graph, one: LayerCall, outcome: Outcome, *ends: str) -> bool:
    """Tell whether weights follow a layer, and no way from the inputs leads around it.

    `ends`: kinds of layers behind which is not looked for weights.
    """
    after, around = {one.name}, {item.name for item in graph.inputs}
    has_weights = False
    for call in graph.calls:
        read = {tensor.name for tensor in call.reads}
        if read & after and call.kind not in ends:
            after.add(call.name)
            has_weights |= bool(outcome.get(call.name, BuiltLayer()).weights)
        if read & around and call is not one:
            around.add(call.name)
    return has_weights and not any(tensor.name in around for tensor in graph.outputs)
