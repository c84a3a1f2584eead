"""Where two networks differ: layers that came, went, were changed, renamed or wired anew.

Layers are paired by their name, where the kind is the same too; the rest by their order, so that a
layer that was only renamed is still known, and at last by the name alone.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from difflib import SequenceMatcher
from typing import NamedTuple

from deepforge_hpc.libraries.networks.dialect import Dialect
from deepforge_hpc.libraries.networks.graph import Graph, GraphInput, LayerCall, Tensor
from deepforge_hpc.libraries.networks.normal import normal_of

_MANY = 4_000_000
"""Pairs of layers that are compared one by one."""


class LayerChange(NamedTuple):
    """One difference."""

    what: str
    """added | removed | changed | renamed | rewired"""
    layer: str
    """Its name; in the second network where both have it."""
    was: str
    """In the first network; empty if it is not there."""
    now: str


def compare(one: Graph, two: Graph, dialect: Dialect) -> tuple[LayerChange, ...]:
    """Return what has to be done to the first network to get the second, in its order."""
    pairs = _pairs(one.calls, two.calls, dialect)
    names = {item.name: item.name for item in one.inputs}
    names |= {old.name: new.name for old, new in pairs}
    old_of = {new.name: old for old, new in pairs}
    changes = [*_inputs(one.inputs, two.inputs)]
    if not changes and one.inputs and [i.name for i in one.inputs] != [i.name for i in two.inputs]:
        orders = (", ".join(item.name for item in items) for items in (one.inputs, two.inputs))
        changes.append(LayerChange("rewired", "inputs", *orders))
    changes += [
        LayerChange("removed", call.name, call.kind, "")
        for call in one.calls
        if call.name not in names
    ]
    for call in two.calls:
        old = old_of.get(call.name)
        changes += [LayerChange("added", call.name, "", call.kind)] if old is None else []
        changes += [] if old is None else _layer(old, call, names, dialect)
    outputs = tuple(_renamed(item, names) for item in one.outputs)
    if outputs != two.outputs:
        changes.append(LayerChange("rewired", "outputs", _words(one.outputs), _words(two.outputs)))
    return tuple(changes)


def _pairs(
    one: Sequence[LayerCall], two: Sequence[LayerCall], dialect: Dialect
) -> list[tuple[LayerCall, LayerCall]]:
    """Return which layers of two networks are one and the same."""
    rest = list(one), list(two)
    pairs: list[tuple[LayerCall, LayerCall]] = []

    def take(found: Iterable[tuple[LayerCall, LayerCall]]) -> None:
        found = list(found)
        pairs.extend(found)
        for side in (0, 1):
            gone = {pair[side].name for pair in found}
            rest[side][:] = [call for call in rest[side] if call.name not in gone]

    take(_by_key(*rest, lambda call: (call.name, call.kind)))
    # A layer that is called again has no name in what is saved.
    take(_by_key(*rest, lambda call: (call.shared, call.sources) if call.shared else id(call)))
    take(_by_key(*rest, lambda call: call.shared or id(call)))  # they are called in this order
    take(_by_order(*rest, lambda call: f"{call.kind} {normal_of(call, dialect)} {call.shared}"))
    take(_by_order(*rest, lambda call: call.kind))
    take(_by_key(*rest, lambda call: call.name))
    return pairs


def _by_key(
    one: Sequence[LayerCall], two: Sequence[LayerCall], key: Callable[[LayerCall], object]
) -> Iterator[tuple[LayerCall, LayerCall]]:
    """Pair layers that a key makes the same, wherever they stand."""
    known: dict[object, list[LayerCall]] = {}
    for call in reversed(one):
        known.setdefault(key(call), []).append(call)
    for call in two:
        if same := known.get(key(call)):
            yield same.pop(), call


def _by_order(
    one: Sequence[LayerCall], two: Sequence[LayerCall], key: Callable[[LayerCall], str]
) -> Iterator[tuple[LayerCall, LayerCall]]:
    """Pair layers that are alike and come in the same order."""
    # Of thousands of layers, those that are everywhere are left out: comparing all takes minutes.
    is_long = len(one) * len(two) > _MANY
    matcher = SequenceMatcher(None, list(map(key, one)), list(map(key, two)), autojunk=is_long)
    for start, start_two, size in matcher.get_matching_blocks():
        yield from zip(one[start : start + size], two[start_two : start_two + size], strict=True)


def _inputs(one: Iterable[GraphInput], two: Iterable[GraphInput]) -> Iterator[LayerChange]:
    was = {item.name: _input_words(item) for item in one}
    now = {item.name: _input_words(item) for item in two}
    for name in dict.fromkeys((*was, *now)):
        old, new = was.get(name, ""), now.get(name, "")
        if old != new:
            what = "changed" if old and new else "added" if new else "removed"
            yield LayerChange(what, name, old, new)


def _input_words(item: GraphInput) -> str:
    return " ".join(("Input", str(list(item.shape)), item.dtype, *item.words))


def _layer(
    old: LayerCall, new: LayerCall, names: Mapping[str, str], dialect: Dialect
) -> Iterator[LayerChange]:
    # That of a layer that is called again is the name of a line: what is saved has none for it.
    if old.name != new.name and not (old.shared and new.shared):
        yield LayerChange("renamed", new.name, old.name, new.name)
    if old.model is not None and new.model is not None:
        for change in compare(old.model, new.model, dialect):
            yield change._replace(layer=f"{new.name}/{change.layer}")
    elif old.kind != new.kind:
        yield LayerChange("changed", new.name, old.kind, new.kind)
    else:
        yield from _arguments(old, new, dialect)
    if _wiring(old.on(lambda item: _renamed(item, names))) != _wiring(new):
        yield LayerChange("rewired", new.name, _words(old.reads), _words(new.reads))
    if names.get(old.shared, old.shared) != new.shared:
        yield LayerChange("changed", new.name, f"shared={old.shared}", f"shared={new.shared}")


def _arguments(old: LayerCall, new: LayerCall, dialect: Dialect) -> Iterator[LayerChange]:
    was, now = normal_of(old, dialect), normal_of(new, dialect)
    for name in dict.fromkeys((*old.arguments, *new.arguments)):
        if was.get(name) != now.get(name):
            found = (call.arguments.get(name) for call in (old, new))
            words = [f"{name}={item.code}" if item else "" for item in found]
            yield LayerChange("changed", new.name, *words)


def _wiring(call: LayerCall) -> object:
    """Return what a call is given; Keras passes over `training: false`, which it sets itself."""
    found = {
        name: item for name, item in call.keywords.items() if (name, item) != ("training", False)
    }
    return call.sources, found


def _renamed(tensor: Tensor, names: Mapping[str, str]) -> Tensor:
    return Tensor(names.get(tensor.name, ""), tensor.index)


def _words(tensors: Iterable[Tensor]) -> str:
    return ", ".join(map(str, tensors))
