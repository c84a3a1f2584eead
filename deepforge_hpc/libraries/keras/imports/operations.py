"""Operations in a model that Keras saved: bare functions, which stand there like layers.

Keras adds some itself: the masks that an Embedding or a Masking makes, and what later layers make
of them. A file need not say those, for Keras makes them again. Sums and the like of two equal
tensors are what a layer does too. No other operation can be said.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from deepforge_hpc.libraries.keras.imports.nodes import (
    History,
    call_arguments,
    history,
    is_tensor,
    node_tensors,
    tensors,
)

_MERGES = ("Add", "Subtract", "Multiply", "Maximum", "Minimum")
"""Operations on two tensors for which there is a layer of the same name."""
_SIZED = ("ZerosLike", "OnesLike", "Cast")
"""Operations that give a mask the size of a tensor that has none."""
_GOING_ON = ("Any", "ExpandDims", "LogicalOr", "Concatenate")
"""Operations by which layers make a mask of those of their inputs."""
Layers = dict[str, Any]
"""Layers as they were saved, by name."""


def is_operation(layer: Mapping[str, Any]) -> bool:
    """Tell whether this is a bare operation."""
    return str(layer.get("module") or "").startswith("keras.src.ops")


def without_operations(layers: Layers, outputs: set[str]) -> Layers:
    """Return the layers without the masks that Keras makes, and with layers for sums and the like.

    `outputs` are the layers that the model's outputs come from.
    """
    masks = _masks(layers, outputs)
    return {
        name: _unmasked(_merge(layer), masks) for name, layer in layers.items() if name not in masks
    }


def _merge(layer: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return the layer that does what an operation does, if there is one."""
    kind = layer["class_name"]
    if not is_operation(layer) or kind not in _MERGES:
        return layer
    nodes = layer["inbound_nodes"]
    if not all(_are_alike(call_arguments(node)[0]) for node in nodes):
        return layer
    as_list = [{"args": [call_arguments(node)[0]], "kwargs": {}} for node in nodes]
    config = {"name": layer["config"]["name"]}
    return {
        "module": "keras.layers",
        "class_name": kind,
        "config": config,
        "inbound_nodes": as_list,
    }


def _are_alike(args: list[Any]) -> bool:
    if len(args) != 2 or not all(map(is_tensor, args)):
        return False
    one, two = ([item["config"].get(key) for key in ("shape", "dtype")] for item in args)
    return one == two


def _unmasked(layer: Mapping[str, Any], masks: set[str]) -> Mapping[str, Any]:
    """Return a layer whose calls are not given masks that Keras makes again."""

    def kept(node: Any) -> Any:
        args, keywords = call_arguments(node)
        mask = keywords.get("mask")
        is_partly = isinstance(mask, list) and None in mask  # as no file gives it
        if is_partly or masks.issuperset(history(one).layer for one in tensors(mask)):
            keywords.pop("mask", None)
        return {**node, "args": args, "kwargs": keywords}

    return {**layer, "inbound_nodes": [kept(node) for node in layer["inbound_nodes"]]}


def _masks(layers: Layers, outputs: set[str]) -> set[str]:
    """Return the operations that are masks which Keras makes itself.

    Nothing reads them but each other, and `mask` of calls after a layer that makes masks; and all
    begin at what such a layer is called on, as it would begin them, or are a mask that is given.
    """
    found = {name for name, layer in layers.items() if is_operation(layer)}
    begun, after = _begun(layers), _after(layers)
    given = {one.layer for one in _given(layers)} - found
    while True:
        read = outputs | set(_read_otherwise(layers, found, after))
        wrong = {
            name
            for name in found
            if name in read or not _is_made(layers[name], found | given, begun)
        }
        if not wrong:
            return found
        found -= wrong


def _read_otherwise(layers: Layers, masks: set[str], after: set[str]) -> Iterator[str]:
    """Yield what is read by anything else than masks, and calls that Keras gives it as mask."""
    for name, layer in layers.items():
        if name in masks:
            continue
        for node in layer["inbound_nodes"]:
            args, keywords = call_arguments(node)
            given = [history(one).layer for one in tensors(keywords.get("mask"))]
            if name in after and not any(_is_sized(layers.get(one)) for one in given):
                keywords.pop("mask", None)
            for item in (*args, *keywords.values()):
                yield from (history(one).layer for one in tensors(item))


def _begun(layers: Layers) -> set[tuple[Any, float]]:
    """Return the tensors from which masks are made, each with the value that is masked."""
    found = set()
    for layer in layers.values():
        if _makes_masks(layer):
            value = layer["config"].get("mask_value", 0)
            starts = (one for node in layer["inbound_nodes"] for one in node_tensors(node))
            found |= {(history(one), float(value)) for one in starts}
    return found


def _makes_masks(layer: Mapping[str, Any]) -> bool:
    is_embedding = layer["class_name"] in ("Embedding", "ReversibleEmbedding")
    return layer["class_name"] == "Masking" or bool(
        is_embedding and layer["config"].get("mask_zero")
    )


def _given(layers: Layers) -> Iterator[History]:
    """Yield what calls are given as their mask."""
    for layer in layers.values():
        for node in layer["inbound_nodes"]:
            yield from map(history, tensors(call_arguments(node)[1].get("mask")))


def _after(layers: Layers) -> set[str]:
    """Return what is called on masked tensors, or on what was made of them."""
    found = {
        name
        for name, layer in layers.items()
        if _makes_masks(layer)
        or any(
            one.layer not in layers or not is_operation(layers[one.layer])
            for one in _given({name: layer})
        )
    }
    ready = list(found)
    readers: dict[str, set[str]] = {}
    for name, layer in layers.items():
        for node in layer["inbound_nodes"]:
            for item in call_arguments(node)[0]:
                for one in tensors(item):
                    readers.setdefault(history(one).layer, set()).add(name)
    while ready:
        new = readers.get(ready.pop(), set()) - found
        found |= new
        ready += new
    return found


def _is_sized(layer: Mapping[str, Any] | None) -> bool:
    return layer is not None and layer["class_name"] in _SIZED


def _is_made(layer: Mapping[str, Any], masks: set[str], begun: set[tuple[Any, float]]) -> bool:
    """Tell whether an operation goes on from masks alone, or begins one as Keras does."""
    if _is_sized(layer):
        return True
    for node in layer["inbound_nodes"]:
        args, _ = call_arguments(node)
        read = [history(one) for one in node_tensors(node)]
        if layer["class_name"] == "NotEqual":
            values = [item for item in args[1:] if isinstance(item, (int, float))]
            if not values or (read[0], float(values[0])) not in begun:
                return False
        elif layer["class_name"] not in _GOING_ON or not masks.issuperset(
            item.layer for item in read
        ):
            return False
    return True
