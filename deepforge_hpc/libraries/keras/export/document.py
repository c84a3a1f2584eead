"""A network as the JSON that Keras itself saves and loads, made without Keras.

What is left to the defaults is left out, and shapes too: Keras finds them when it loads.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from deepforge_hpc.libraries.keras.catalogue import shipped
from deepforge_hpc.libraries.networks.catalogue import Thing
from deepforge_hpc.libraries.networks.code import is_object
from deepforge_hpc.libraries.networks.graph import Graph, GraphInput, LayerCall, Tensor

_MODEL = "keras.src.models.functional"
"""Where Keras looks for the class of a functional model."""
_UNKNOWN = {"shape": [None], "dtype": "float32"}
"""Of a tensor. Keras wants something here, and then takes what the layer gives."""


def to_json(graph: Graph) -> str:
    """Return what `keras.models.model_from_json` takes."""
    return json.dumps(_model(graph), indent=1) + "\n"


def _model(graph: Graph) -> dict[str, Any]:
    return _ModelDocument(graph).model()


def _object(module: str, name: str, config: Mapping[str, Any]) -> dict[str, Any]:
    is_own = module.partition(".")[0] != "keras"
    # As the start-up code of a job registers what is the project's.
    registered = {"registered_name": f"{module}>{name}" if is_own else None}
    return {"module": module, "class_name": name, "config": dict(config), **registered}


def _function(name: str) -> dict[str, Any]:
    """Return how Keras saves a function of the project."""
    found = _object("builtins", "function", {})
    return {**found, "config": name.replace(":", ">"), "registered_name": "function"}


class _ModelDocument:
    """One network, in which each call of a layer is a node of it."""

    def __init__(self, graph: Graph) -> None:
        self.graph = graph
        self.nodes: dict[str, tuple[str, int]] = {
            item.name: (item.name, 0) for item in graph.inputs
        }
        self.calls: dict[str, list[LayerCall]] = {}
        for call in graph.calls:
            calls = self.calls.setdefault(call.layer, [])
            self.nodes[call.name] = (call.layer, len(calls))
            calls.append(call)

    def model(self) -> dict[str, Any]:
        """Return the whole network."""
        inputs = list(map(self._input, self.graph.inputs))
        starts = [[item.name, 0, 0] for item in self.graph.inputs]
        ends = [self._history(tensor) for tensor in self.graph.outputs]
        config = {
            "name": self.graph.name,
            "trainable": True,
            "layers": [*inputs, *map(self._layer, self.calls)],
            "input_layers": starts[0] if len(starts) == 1 else starts,
            "output_layers": ends[0] if len(ends) == 1 else ends,
        }
        return {**_object(_MODEL, "Functional", config), "registered_name": "Functional"}

    def _input(self, item: GraphInput) -> dict[str, Any]:
        words = dict(item.options)
        shape = [words.pop("batch_size", None), *item.shape]
        config = {"batch_shape": shape, "dtype": item.dtype, **words, "name": item.name}
        found = _object("keras.layers", "InputLayer", config)
        return {**found, "name": item.name, "inbound_nodes": []}

    def _layer(self, name: str) -> dict[str, Any]:
        first, *_ = calls = self.calls[name]
        if first.model is not None:
            found = _model(first.model)
        else:
            thing = shipped().find("layer", first.kind)
            module, kind = _place(first.kind if ":" in first.kind else first.code)
            given = {key: item.data for key, item in first.arguments.items()}
            found = _object(module, kind, {"name": name, **_config(thing, given)})
        return {**found, "name": name, "inbound_nodes": list(map(self._node, calls))}

    def _node(self, call: LayerCall) -> dict[str, Any]:
        sources = [self._tensor(item) for item in call.sources]
        keywords = {
            name: self._tensor(value)
            if isinstance(value, Tensor)
            else [self._tensor(item) for item in value]
            if isinstance(value, tuple)
            else value
            for name, value in call.keywords.items()
        }
        # Keras has no name for a layer that is called again, and passes over this one.
        name = {"name": call.name} if call.shared else {}
        return {"args": [sources] if call.merges else sources, "kwargs": keywords, **name}

    def _tensor(self, tensor: Tensor) -> dict[str, Any]:
        config = {**_UNKNOWN, "keras_history": self._history(tensor)}
        return {"class_name": "__keras_tensor__", "config": config}

    def _history(self, tensor: Tensor) -> list[str | int]:
        layer, node = self.nodes[tensor.name]
        return [layer, node, tensor.index or 0]


def _config(thing: Thing | None, given: Mapping[str, object]) -> dict[str, Any]:
    sorts = thing.sorts if thing else {}
    return {name: _value(sorts.get(name, "any"), value) for name, value in given.items()}


def _place(name: str) -> tuple[str, str]:
    """Return module and name of `module.Name` and of `MODULE:Name`."""
    module, _, kind = name.replace(":", ".").rpartition(".")
    return module, kind


def _value(sort: str, value: object) -> Any:
    """Return a value; a layer, an initializer, ... with arguments is an object."""
    is_family = sort in shipped().families
    if sort in ("function", "activation") and is_object(value):
        return _function(str(value))
    if isinstance(value, str) and (sort == "layer" or (is_family and is_object(value))):
        value = {value: {}}
    if isinstance(value, dict) and len(value) == 1 and is_family:
        ((name, given),) = value.items()
        thing = shipped().find(sort, name)
        if thing is not None or is_object(name):
            place = _place(thing.code if thing else name)
            return _object(*place, _config(thing, given or {}))
    if isinstance(value, list):
        inner = "layer" if sort == "layers" else "any"
        return [_value(inner, item) for item in value]
    return value
