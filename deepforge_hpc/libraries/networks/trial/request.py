"""A graph as what the trial reads: inputs, layers and nested models, in an order to build them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace
from typing import Any

from deepforge_hpc.errors import Fault
from deepforge_hpc.libraries.networks.graph import CallValue, Graph, LayerCall, Place, Tensor

Item = tuple[LayerCall | None, dict[str, Any]]


class BuildRequest:
    """What is sent, and the layer call that each item of it stands for; None of an input.

    Layers with code of the project are left out, unless `user_code` may be imported.
    """

    def __init__(self, graph: Graph, *, user_code: bool = False) -> None:
        items = list(_items(graph, ""))
        self.calls = tuple(call for call, _ in items)
        self.left_out = () if user_code else tuple(_users(items))
        self.network: dict[str, Any] = {
            "inputs": [item.name for item in graph.inputs],
            "items": [{"name": i["name"]} if self._is_out(i) else i for _, i in items],
            "outputs": [_tensor(item, "") for item in graph.outputs],
        }

    def _is_out(self, item: dict[str, Any]) -> bool:
        return item["name"] in self.left_out


def without(graph: Graph, faults: Iterable[Fault]) -> Graph:
    """Return a network without the layers that have a fault of their own, or came through one."""
    lines = {(place.file, place.line) for call in graph.calls for place in _places(call)}
    faulty = set()
    for fault in faults:
        # An argument may stand on a line below its layer's.
        above = [line for file, line in lines if file == fault.file and line <= fault.line]
        faulty.add((fault.file, max(above, default=0)))
    calls = (
        call
        for call in graph.calls
        if not any((place.file, place.line) in faulty for place in _places(call))
    )
    return replace(graph, calls=tuple(calls))


def _places(call: LayerCall) -> tuple[Place, ...]:
    return (call.place, *(passage.place for passage in call.passages))


def _users(items: list[Item]) -> Iterator[str]:
    return (item["name"] for _, item in items if item.get("modules"))


def _items(graph: Graph, prefix: str) -> Iterator[Item]:
    for one in graph.inputs:
        yield None, {"name": prefix + one.name, "shape": list(one.shape), "dtype": one.dtype}
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
