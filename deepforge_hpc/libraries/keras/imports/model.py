"""The JSON of a Keras model as the lines of an architecture file."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from deepforge_hpc.errors import Fault, InvalidInputError
from deepforge_hpc.files.faults import shown
from deepforge_hpc.libraries.keras.catalogue import dialect, shipped
from deepforge_hpc.libraries.networks.catalogue import Thing
from deepforge_hpc.libraries.networks.normal import normal, normal_value

_MODELS = ("Functional", "Sequential", "Model")
_OWN = ("name", "trainable", "dtype", "batch_shape", "batch_input_shape")
_MAX_NESTING = 16
_MAX_CALLS = 10_000


_Key = tuple[str, int]
"""A layer, and the number of its call."""


class SavedCall(NamedTuple):
    """One call of a layer: a line of the file."""

    name: str
    kind: str
    """Of a layer that is called again `reuse`."""
    arguments: object
    sources: tuple[str, ...]
    keywords: Mapping[str, object]


@dataclass(slots=True)
class SavedModel:
    """A network as it was saved."""

    name: str
    inputs: dict[str, tuple[list[int | None], str]] = field(default_factory=dict)
    """Name to shape and dtype."""
    calls: list[SavedCall] = field(default_factory=list)
    outputs: list[str] = field(default_factory=list)
    blocks: dict[str, SavedModel] = field(default_factory=dict)
    """Nested models, by name; only the outermost has them."""


def saved_model(document: Mapping[str, Any], file: str) -> SavedModel:
    """Return the network of a document; InvalidInputError with all that it cannot be said of."""
    faults: list[Fault] = []
    blocks: dict[str, SavedModel] = {}
    try:
        found = _ModelReader(file, faults, blocks, ()).model(document)
    except (KeyError, TypeError, ValueError, IndexError, AttributeError) as error:
        message = f"this is no model that Keras saved: {type(error).__name__}: {error}"
        raise InvalidInputError([*faults, Fault(message, file)]) from error
    if faults:
        raise InvalidInputError(list(dict.fromkeys(faults)))
    found.blocks = blocks
    return found


class _ModelReader:
    """Reads one model; those within it by others."""

    def __init__(
        self,
        file: str,
        faults: list[Fault],
        blocks: dict[str, SavedModel],
        within: tuple[str, ...],
    ) -> None:
        self.file, self.faults, self.blocks, self.within = file, faults, blocks, within
        self.names: dict[tuple[str, int], str] = {}
        """Layer and number of its call to the name of a line."""
        self.taken: set[str] = set()
        self.several: set[tuple[str, int]] = set()
        """Calls that give several tensors."""

    def fault(self, layer: str, message: str, hint: str = "") -> None:
        """Keep what is wrong with a layer."""
        where = "/".join((*self.within, layer))
        self.faults.append(Fault(f"layer {shown(where)}: {message}", self.file, hint=hint))

    def model(self, document: Mapping[str, Any]) -> SavedModel:
        """Return the network of a document."""
        kind, config = document["class_name"], document["config"]
        if kind not in _MODELS or not isinstance(config, dict) or "layers" not in config:
            raise ValueError(f"{shown(kind)} is no functional or sequential model")
        if len(self.within) > _MAX_NESTING:
            raise ValueError("models are nested too deep")
        if kind == "Sequential":
            config = _chained(config)
        found = SavedModel(self.name(str(config.get("name") or "network"), set()))
        layers = {str(layer["config"]["name"]): layer for layer in config["layers"]}
        inputs = [_history(item)[0] for item in _histories(config["input_layers"])]
        for name in inputs:
            item = layers[name]["config"]
            shape, dtype = item.get("batch_shape") or item["batch_input_shape"], item.get("dtype")
            line = self.names[name, 0] = self.name(name, self.taken)
            found.inputs[line] = (list(shape[1:]), _dtype(dtype) or "float32")
        calls = self.ordered({n: item for n, item in layers.items() if n not in inputs})
        for name, number, node in calls:
            found.calls.append(self.call(layers[name], name, number, node))
        outputs = _histories(config["output_layers"])
        found.outputs = [self.source(_history(item)) for item in outputs]
        return found

    def name(self, name: str, taken: set[str]) -> str:
        """Return a name that a file may have, and take it."""
        base = re.sub(r"[^A-Za-z0-9_]", "_", name)[:56]
        base = base if base[:1].isalpha() else f"n{base}"
        found, number = base, 2
        while found in taken:
            found, number = f"{base}_{number}", number + 1
        taken.add(found)
        return found

    def ordered(self, layers: Mapping[str, Any]) -> Iterator[tuple[str, int, Any]]:
        """Yield layer, number of the call and node, each after what it is called on.

        Next comes what is called on the one before, as far as that is possible: so branches stay
        together, while Keras saves layers by their depth.
        """
        nodes = {
            (name, number): node
            for name, layer in layers.items()
            for number, node in enumerate(layer["inbound_nodes"])
        }
        if len(nodes) > _MAX_CALLS:
            raise ValueError(f"more than {_MAX_CALLS:,} layers")
        needs: dict[_Key, set[_Key]] = {}
        readers: dict[_Key, list[_Key]] = {}
        for key, node in nodes.items():
            found = [_history(item) for item in _tensors(node)]
            self.several |= {(layer, number) for layer, number, index in found if index}
            needs[key] = {item[:2] for item in found} - self.names.keys()
            needs[key] |= {(key[0], key[1] - 1)} if key[1] else set()
            for other in needs[key]:
                readers.setdefault(other, []).append(key)
        ready = [key for key in reversed(nodes) if not needs[key]]
        done = 0
        while ready:
            key = ready.pop()
            yield (*key, nodes[key])
            done += 1
            for other in reversed(readers.get(key, [])):
                needs[other].discard(key)
                if not needs[other]:
                    ready.append(other)
        if done < len(nodes):
            raise ValueError("its layers are called in a circle, or on what is not there")

    def call(self, layer: Mapping[str, Any], name: str, number: int, node: Any) -> SavedCall:
        """Return the line of one call."""
        line = self.name(name if not number else f"{name}_{number + 1}", self.taken)
        self.names[name, number] = line
        args, keywords = _arguments(node)
        sources = args[0] if len(args) == 1 and isinstance(args[0], list) else args
        if not all(_is_tensor(item) for item in sources):
            self.fault(name, "its call takes something by position that is no tensor")
            sources = []
        found = tuple(self.source(_history(item)) for item in sources)
        given = {key: self.keyword(name, key, value) for key, value in keywords.items()}
        if number:
            return SavedCall(line, "reuse", self.names[name, 0], found, given)
        kind, arguments, gives_several = self.layer(layer, name)
        if gives_several or keywords.get("return_attention_scores"):
            self.several.add((name, 0))
        return SavedCall(line, kind, arguments, found, given)

    def keyword(self, layer: str, name: str, value: object) -> object:
        if _is_tensor(value):
            return self.source(_history(value))
        if isinstance(value, list) and value and all(map(_is_tensor, value)):
            return [self.source(_history(item)) for item in value]
        if not isinstance(value, (bool, int, float)):
            self.fault(layer, f"its call takes {name}, which no file can say")
        return value

    def source(self, history: tuple[str, int, int]) -> str:
        """Return what `from` says of a tensor."""
        layer, number, index = history
        name = self.names[layer, number]
        return f"{name}.{index}" if (layer, number) in self.several else name

    def layer(self, layer: Mapping[str, Any], name: str) -> tuple[str, object, bool]:
        """Return kind and arguments of a layer, and whether it gives several tensors."""
        kind, config = layer["class_name"], layer["config"]
        if kind in _MODELS and "layers" in config:
            within = (*self.within, name)
            inner = _ModelReader(self.file, self.faults, self.blocks, within).model(layer)
            block = self.name(f"model_{inner.name}", {*self.blocks, *shipped().known("layer")})
            self.blocks[block] = inner
            return block, {}, len(inner.outputs) > 1
        thing = self.find("layer", layer, name)
        if thing is None:
            return "Identity", {}, False
        arguments = self.arguments(thing, config, name)
        self.leave_out_built(thing, layer, arguments)
        return thing.name, arguments, bool(config.get("return_state"))

    def find(self, family: str, item: Mapping[str, Any], layer: str) -> Thing | None:
        """Return what of Keras an object is: a layer, an initializer, ...; no other is taken."""
        kind = item.get("class_name")
        module = str(item.get("module") or "")
        thing = shipped().find(family, kind) if isinstance(kind, str) else None
        is_own = thing is not None and module.partition(".")[0] in {"keras", ""}
        registered = item.get("registered_name")
        if kind == "Lambda":
            message = "it holds code (Lambda), which is never run from a file"
            self.fault(layer, message, "write it as a layer of your project: MODULE:Name")
            return None
        if thing is None or not is_own or registered not in {None, kind}:
            where = f"{module}.{kind}" if module else str(kind)
            message = f"{shown(where)} is no {family} of Keras {shipped().version}"
            self.fault(layer, message, "name one of your project as MODULE:Name in the file")
            return None
        return thing

    def arguments(self, thing: Thing, config: Mapping[str, Any], layer: str) -> dict[str, Any]:
        """Return what a configuration says more than the defaults."""
        given = {}
        for name, value in config.items():
            if name in thing.sorts:
                given[name] = self.value(thing.sorts[name], value, layer)
            elif name not in _OWN and value not in (None, False, [], {}):
                self.fault(
                    layer, f"{thing.name} takes no {shown(name)} in Keras {shipped().version}"
                )
        return normal(thing, given, dialect())

    def value(self, sort: str, value: object, layer: str) -> Any:
        """Return a value as a file says it."""
        if sort == "dtype":
            return _dtype(value)
        if isinstance(value, dict):
            family = sort if sort in shipped().families else ""
            if not family or "class_name" not in value:
                self.fault(layer, f"{shown(str(value)[:60])} is nothing that a file can say")
                return None
            thing = self.find(family, value, layer)
            if thing is None:
                return None
            config = value.get("config")
            found = self.arguments(thing, config if isinstance(config, dict) else {}, layer)
            return {thing.name: found} if found else thing.name
        if isinstance(value, list):
            inner = "layer" if sort == "layers" else sort if sort in shipped().families else ""
            return [self.value(inner, item, layer) for item in value]
        return value

    def leave_out_built(
        self, thing: Thing, layer: Mapping[str, Any], found: dict[str, Any]
    ) -> None:
        """Leave out what Keras has found by building: it is saved as if it had been given."""
        if thing.name == "MultiHeadAttention":
            shapes = layer.get("build_config", {}).get("shapes_dict", {})
            rank = len(shapes.get("query_shape", ()))
            if found.get("attention_axes") == list(range(1, rank - 1)):
                del found["attention_axes"]
        if thing.name == "Bidirectional" and _is_mirrored(found):
            found.pop("backward_layer", None)


def _is_mirrored(found: Mapping[str, Any]) -> bool:
    """Tell whether the backward layer is the forward one the other way round."""
    layers = [
        normal_value("layer", found.get(key), dialect()) for key in ("layer", "backward_layer")
    ]
    if not all(isinstance(item, dict) for item in layers):
        return False
    (one, forward), (two, backward) = (next(iter(item.items())) for item in layers)
    turned = {**backward, "go_backwards": not backward.get("go_backwards", False)}
    if not turned["go_backwards"]:
        del turned["go_backwards"]
    return bool(one == two and forward == turned)


def _chained(config: Mapping[str, Any]) -> dict[str, Any]:
    """Return a sequential model as a functional one."""
    layers = [dict(layer) for layer in config["layers"]]
    if layers[0]["class_name"] != "InputLayer":
        shape = config.get("build_input_shape")
        if not shape:
            raise ValueError("a sequential model without the shape of its input")
        first = {"name": "inputs", "batch_shape": shape}
        layers.insert(0, {"class_name": "InputLayer", "config": first})
    before = layers[0]["config"]["name"]
    start = [before, 0, 0]
    for layer in layers[1:]:
        node = {"class_name": "__keras_tensor__", "config": {"keras_history": [before, 0, 0]}}
        layer["inbound_nodes"] = [{"args": [node], "kwargs": {}}]
        before = layer["config"]["name"]
    ends = {"input_layers": [start], "output_layers": [[before, 0, 0]]}
    return {"name": config.get("name"), "layers": layers, **ends}


def _histories(value: Any) -> Sequence[Any]:
    """Return the ends of a model, of which Keras saves a single one without a list."""
    if isinstance(value, dict):
        raise ValueError("its inputs or outputs are a mapping, which no file can say")
    return [value] if value and isinstance(value[0], str) else value


def _history(item: Any) -> tuple[str, int, int]:
    layer, number, index = item["config"]["keras_history"] if isinstance(item, dict) else item
    return str(layer), int(number), int(index)


def _is_tensor(item: object) -> bool:
    return isinstance(item, dict) and item.get("class_name") == "__keras_tensor__"


def _arguments(node: Any) -> tuple[list[Any], dict[str, Any]]:
    """Return what a call is given by position and by name; nothing that is None."""
    given = node.get("kwargs", {})
    # Keras writes down how it has traced a layer, and takes no notice of it when it trains.
    is_traced = given.get("training") is False
    keywords = {
        name: item
        for name, item in given.items()
        if item is not None and not (name == "training" and is_traced)
    }
    return list(node["args"]), keywords


def _tensors(node: Any) -> Iterator[Any]:
    """Yield all tensors that a call is given."""
    args, keywords = _arguments(node)
    for item in (*args, *keywords.values()):
        yield from (one for one in (item if isinstance(item, list) else [item]) if _is_tensor(one))


def _dtype(value: object) -> Any:
    """Return the name of a type of numbers, also of a policy."""
    if isinstance(value, dict):
        return value["config"]["name"]
    return value
