"""The JSON of a Keras model as the lines of an architecture file."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from deepforge_hpc.errors import Fault, InvalidInputError
from deepforge_hpc.files.faults import NAME, shown
from deepforge_hpc.libraries.keras.catalogue import shipped
from deepforge_hpc.libraries.keras.imports.nodes import (
    History,
    call_arguments,
    chained,
    histories,
    history,
    is_tensor,
    node_tensors,
)
from deepforge_hpc.libraries.keras.imports.objects import SavedObjects, WhyNot, input_dtype
from deepforge_hpc.libraries.keras.imports.operations import without_operations

_MODELS = ("Functional", "Sequential", "Model")
_MAX_NAME = 64
_MAX_NESTING = 16
_MAX_CALLS = 10_000
_FIRST = ("inputs", "query", "sequences", "sequence", "x")
"""How the first argument of a layer's call is called."""
_FLAGS = ("sparse", "ragged", "optional")
"""Of an input, the same words in a file."""


_Key = tuple[str, int]
"""A layer, and the number of its call."""


def no_project(name: str) -> str:
    """Say that nothing of a project is known."""
    return f"{name} is not looked for here"


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
    inputs: dict[str, dict[str, object]] = field(default_factory=dict)
    """Name to what a file says of it: shape, dtype, batch, ..."""
    calls: list[SavedCall] = field(default_factory=list)
    outputs: list[str] = field(default_factory=list)
    blocks: dict[str, SavedModel] = field(default_factory=dict)
    """Nested models, by name; only the outermost has them."""


def saved_model(document: Mapping[str, Any], file: str, why_not: WhyNot = no_project) -> SavedModel:
    """Return the network of a document; InvalidInputError with all that it cannot be said of.

    `why_not` says why the project has not what is named as MODULE:Name; empty if it has.
    """
    report = _Report(file, why_not)
    try:
        found = _ModelReader(report, ()).model(document)
    except (KeyError, TypeError, ValueError, IndexError, AttributeError) as error:
        said = f"a part of it has no {error}" if isinstance(error, KeyError) else str(error)
        message = f"this is no model that Keras saved: {said}"
        raise InvalidInputError([*report.faults, Fault(message, file)]) from error
    if report.faults:
        raise InvalidInputError(list(dict.fromkeys(report.faults)))
    found.blocks = report.blocks
    return found


@dataclass(slots=True)
class _Report:
    """What the readers of one document share."""

    file: str
    why_not: WhyNot
    faults: list[Fault] = field(default_factory=list)
    blocks: dict[str, SavedModel] = field(default_factory=dict)


class _ModelReader:
    """Reads one model; those within it by others."""

    def __init__(self, report: _Report, within: tuple[str, ...]) -> None:
        self.report, self.within = report, within
        self.objects = SavedObjects(self.fault, report.why_not)
        self.names: dict[_Key, str] = {}
        """Layer and number of its call to the name of a line."""
        self.taken: set[str] = set()
        self.several: set[_Key] = set()
        """Calls that give several tensors."""
        self.first: dict[str, Mapping[str, object]] = {}
        """What the first call of a layer is given besides what it is called on."""

    def fault(self, layer: str, message: str, hint: str = "") -> None:
        """Keep what is wrong with a layer."""
        where = "/".join((*self.within, layer))
        fault = Fault(f"layer {shown(where)}: {message}", self.report.file, hint=hint)
        self.report.faults.append(fault)

    def model(self, document: Mapping[str, Any]) -> SavedModel:
        """Return the network of a document."""
        kind, config = document["class_name"], document["config"]
        if kind not in _MODELS or not isinstance(config, dict) or "layers" not in config:
            raise ValueError(f"{shown(kind)} is no functional or sequential model")
        if len(self.within) > _MAX_NESTING:
            raise ValueError("models are nested too deep")
        if kind == "Sequential":
            config = chained(config)
        found = SavedModel(self.name(str(config.get("name") or "network"), set()))
        layers = {str(layer["config"]["name"]): layer for layer in config["layers"]}
        inputs = [history(item).layer for item in histories(config["input_layers"])]
        for name in inputs:
            item = layers.pop(name)["config"]
            line = self.names[name, 0] = self.name(name, self.taken)
            found.inputs[line] = dict(_input(item))
        outputs = [history(item) for item in histories(config["output_layers"])]
        layers = without_operations(layers, {item.layer for item in outputs})
        first = {(name, 0): self.name(name, self.taken) for name in layers}
        for name, number, node in self.ordered(layers):
            self.names |= {(name, 0): first[name, 0]}
            found.calls.append(self.call(layers[name], name, number, node))
        found.outputs = list(map(self.source, outputs))
        return found

    def name(self, name: str, taken: set[str]) -> str:
        """Return a name that a file may have, and take it."""
        base = re.sub(r"[^A-Za-z0-9_]", "_", name)[:_MAX_NAME]
        base = base if NAME.fullmatch(base) else f"n{base}"[:_MAX_NAME]
        found, number = base, 2
        while found in taken:
            end = f"_{number}"
            found, number = f"{base[: _MAX_NAME - len(end)]}{end}", number + 1
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
            found = [history(item) for item in node_tensors(node)]
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
        if number:  # Keras has a name for layers alone; ours says that of the call
            called = str(node.get("name") or f"{name}_{number + 1}")
            self.names[name, number] = self.name(called, self.taken)
        args, keywords = call_arguments(node)
        kind, arguments, is_several = (
            ("reuse", self.names[name, 0], (name, 0) in self.several)
            if number
            else self.layer(layer, name)
        )
        if is_several or keywords.get("return_attention_scores"):
            self.several.add((name, number))
        found = tuple(map(self.source, self.sources(name, args, keywords)))
        given = {key: self.keyword(name, key, value) for key, value in keywords.items()}
        if number:
            found, given = self.again(name, found, given), {}
        self.first.setdefault(name, given)
        return SavedCall(self.names[name, number], kind, arguments, found, given)

    def again(
        self, layer: str, sources: tuple[str, ...], given: Mapping[str, object]
    ) -> tuple[str, ...]:
        """Return all that a layer is called on again: a file says of it tensors alone."""
        first = self.first[layer]
        is_same = first.keys() == given.keys() and all(
            isinstance(item, (str, list)) or item == given[key] for key, item in first.items()
        )
        if not is_same:
            self.fault(layer, "it is called again with other arguments, which no file can say")
        return (*sources, *(one for key in first for one in _names(given.get(key))))

    def sources(self, layer: str, args: list[Any], keywords: dict[str, Any]) -> list[History]:
        """Return what a call is given first; a keyword of no file that is a tensor is taken out."""
        found = args[0] if len(args) == 1 and isinstance(args[0], list) else args
        if not found:
            first = next((key for key, item in keywords.items() if is_tensor(item)), "")
            found = [keywords.pop(first)] if first in _FIRST else []
        if found and all(map(is_tensor, found)):
            return list(map(history, found))
        self.fault(layer, "its call takes something first that is no tensor")
        return []

    def keyword(self, layer: str, name: str, value: object) -> object:
        if is_tensor(value):
            return self.source(history(value))
        if isinstance(value, list) and value and all(map(is_tensor, value)):
            return [self.source(history(item)) for item in value]
        if not isinstance(value, (bool, int, float)):
            self.fault(layer, f"its call takes {name}, which no file can say")
        return value

    def source(self, tensor: History) -> str:
        """Return what `from` says of a tensor."""
        name = self.names[tensor[:2]]
        return f"{name}.{tensor.output}" if tensor[:2] in self.several else name

    def layer(self, layer: Mapping[str, Any], name: str) -> tuple[str, object, bool]:
        """Return kind and arguments of a layer, and whether it gives several tensors."""
        kind, config = layer["class_name"], layer["config"]
        if kind in _MODELS and "layers" in config:
            inner = _ModelReader(self.report, (*self.within, name)).model(layer)
            block = self.name(
                f"model_{inner.name}", {*self.report.blocks, *shipped().known("layer")}
            )
            self.report.blocks[block] = inner
            return block, {}, len(inner.outputs) > 1
        found = self.objects.kind(layer, name) or ("Identity", {})
        return *found, _gives_state(config)


def _input(config: Mapping[str, Any]) -> Iterator[tuple[str, object]]:
    """Yield what a file says of an input."""
    batch, *shape = config.get("batch_shape") or config["batch_input_shape"]
    yield "shape", shape
    if (dtype := input_dtype(config.get("dtype"))) != "float32":
        yield "dtype", dtype
    if batch is not None:
        yield "batch", batch
    yield from ((word, True) for word in _FLAGS if config.get(word))


def _names(value: object) -> list[str]:
    """Return the tensors of a keyword."""
    return [value] if isinstance(value, str) else value if isinstance(value, list) else []


def _gives_state(config: Mapping[str, Any]) -> bool:
    """Tell whether a layer, or the one within it, gives its state besides."""
    inner = config.get("layer")
    inner = inner.get("config") if isinstance(inner, dict) else None
    return bool(config.get("return_state")) or (isinstance(inner, dict) and _gives_state(inner))
