"""What of a network is not what it seems where several ranks train it."""

from __future__ import annotations

from collections.abc import Iterator

from deepforge_hpc.errors import Fault
from deepforge_hpc.libraries.networks.graph import Graph, LayerCall

_CURE = (
    "leave it out, and write synchronize: true for deepforge_hpc.operations:Train, or call "
    "deepforge_hpc.training.synchronize_batch_normalization(model)"
)


def alone(graph: Graph) -> Iterator[Fault]:
    """Yield layers that claim to see all ranks' rows and, in Keras, see their own rank's alone."""
    for call in graph.calls:
        if call.model is not None:
            yield from alone(call.model)
        if any(map(_is_synchronized, ({call.kind: _data(call)}, *_data(call).values()))):
            message = f"{call.name}: synchronized: true does nothing between the ranks of a job"
            yield call.place.fault(message, _CURE)


def _data(call: LayerCall) -> dict[str, object]:
    return {name: item.data for name, item in call.arguments.items()}


def _is_synchronized(value: object) -> bool:
    """Tell whether a layer, or one that it wraps, is such a BatchNormalization."""
    if isinstance(value, list):
        return any(map(_is_synchronized, value))
    if not isinstance(value, dict):
        return False
    own = value.get("BatchNormalization")
    is_one = isinstance(own, dict) and own.get("synchronized") is True
    return is_one or any(map(_is_synchronized, value.values()))
