"""A graph as what the trial reads: inputs, layers and nested models, in an order to build them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from deepforge_hpc.libraries.networks.graph import CallValue, Graph, GraphInput, LayerCall, Tensor

Item = tuple[GraphInput | LayerCall, dict[str, Any]]


class BuildRequest:
    """What is sent, and the layer call that each item of it stands for; None of an input.

    Layers with code of the project are left out, unless `user_code` may be imported; and those with
    a fault of their own, which no framework needs to see.
    """

    def __init__(self, graph: Graph, *, user_code: bool = False) -> None:
        items = list(_items(graph, ""))
        self.calls = tuple(one if isinstance(one, LayerCall) else None for one, _ in items)
        self.inputs = {i: one for i, (one, _) in enumerate(items) if isinstance(one, GraphInput)}
        """By their place among the items."""
        self.left_out = () if user_code else tuple(_users(items))
        self.network: dict[str, Any] = {
            "inputs": [item.name for item in graph.inputs],
            "items": [{"name": i["name"]} if self._is_out(one, i) else i for one, i in items],
            "outputs": [_tensor(item, "") for item in graph.outputs],
            "last": sorted(_last(graph, "")),
        }

    def _is_out(self, one: GraphInput | LayerCall, item: dict[str, Any]) -> bool:
        is_broken = isinstance(one, LayerCall) and one.is_broken
        return item["name"] in self.left_out or is_broken


def _last(graph: Graph, prefix: str) -> Iterator[str]:
    """Yield the layers that give the outputs, those of a nested model too."""
    calls = {call.name: call for call in graph.calls}
    for call in filter(None, (calls.get(tensor.name) for tensor in graph.outputs)):
        yield prefix + call.layer
        if call.model is not None:
            yield from _last(call.model, f"{prefix}{call.layer}.")


def _users(items: list[Item]) -> Iterator[str]:
    return (item["name"] for _, item in items if item.get("modules"))


def _items(graph: Graph, prefix: str) -> Iterator[Item]:
    for one in graph.inputs:
        said = {"shape": list(one.shape), "dtype": one.dtype, "options": dict(one.options)}
        yield one, {"name": prefix + one.name, **said}
    for call in graph.calls:
        item = _item(call, prefix)
        if call.model is not None and not call.shared:
            within = f"{prefix}{call.name}."
            yield from _items(call.model, within)
            item["model"] = {
                "inputs": [within + one.name for one in call.model.inputs],
                "outputs": [_tensor(one, within) for one in call.model.outputs],
            }
        yield call, item


def _item(call: LayerCall, prefix: str) -> dict[str, Any]:
    shares = {"shares": prefix + call.shared} if call.shared else {}
    return {
        "name": prefix + call.name,
        "code": call.code,
        "modules": sorted({name.partition(":")[0] for name in call.objects}),
        "words": ", ".join(call.words),
        "sources": [_tensor(one, prefix) for one in call.sources],
        "merges": call.merges,
        "keywords": {name: _value(value, prefix) for name, value in call.keywords.items()},
        **shares,
    }


def _tensor(tensor: Tensor, prefix: str) -> list[Any]:
    return [prefix + tensor.name, tensor.index]


def _value(value: CallValue, prefix: str) -> dict[str, Any]:
    if isinstance(value, Tensor):
        return {"one": _tensor(value, prefix)}
    if isinstance(value, tuple):
        return {"many": [_tensor(one, prefix) for one in value]}
    return {"plain": value}
