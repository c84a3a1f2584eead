"""The nodes of a model that Keras saved: what each call of a layer is given."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple


class History(NamedTuple):
    """Where a tensor comes from."""

    layer: str
    number: int
    """Of the layer's call."""
    output: int
    """Of what the call gives."""


def history(item: Any) -> History:
    """Return where a tensor comes from; the last parts may be missing in what is no tensor."""
    layer, number, index = item["config"]["keras_history"] if isinstance(item, dict) else item
    return History(str(layer), int(number), int(index))


def histories(value: Any) -> Sequence[Any]:
    """Return the ends of a model, of which Keras saves a single one without a list."""
    if isinstance(value, dict):
        raise ValueError("its inputs or outputs are a mapping, which no file can say")
    return [value] if value and isinstance(value[0], str) else value


def is_tensor(item: object) -> bool:
    """Tell whether a value stands for a tensor."""
    return isinstance(item, dict) and item.get("class_name") == "__keras_tensor__"


def call_arguments(node: Any) -> tuple[list[Any], dict[str, Any]]:
    """Return what a call is given by position and by name; nothing that is None."""
    # Keras writes down how it has traced a layer, and takes no notice of it when it trains.
    given = {
        name: item
        for name, item in node.get("kwargs", {}).items()
        if item is not None and not (name == "training" and item is False)
    }
    return list(node["args"]), given


def tensors(value: Any) -> Iterator[Any]:
    """Yield the tensors of an argument: one, or those of a list."""
    yield from (one for one in (value if isinstance(value, list) else [value]) if is_tensor(one))


def node_tensors(node: Any) -> Iterator[Any]:
    """Yield all tensors that a call is given."""
    args, keywords = call_arguments(node)
    for item in (*args, *keywords.values()):
        yield from tensors(item)


def chained(config: Mapping[str, Any]) -> dict[str, Any]:
    """Return a sequential model as a functional one."""
    layers = [dict(layer) for layer in config["layers"]]
    if layers[0]["class_name"] != "InputLayer":
        shape = config.get("build_input_shape")
        if not shape:
            raise ValueError("a sequential model without the shape of its input")
        # It is the shape of the data that came first, of which the batch means nothing.
        first = {"name": "inputs", "batch_shape": [None, *shape[1:]]}
        layers.insert(0, {"class_name": "InputLayer", "config": first})
    before = layers[0]["config"]["name"]
    start = [before, 0, 0]
    for layer in layers[1:]:
        node = {"class_name": "__keras_tensor__", "config": {"keras_history": [before, 0, 0]}}
        layer["inbound_nodes"] = [{"args": [node], "kwargs": {}}]
        before = layer["config"]["name"]
    ends = {"input_layers": [start], "output_layers": [[before, 0, 0]]}
    return {"name": config.get("name"), "layers": layers, **ends}
