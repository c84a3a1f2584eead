"""The functions of a network's code: blocks of one structure, with what differs as parameters.

The expanded network tells which block each layer came through. Uses of a block that have the same
layers and wiring become one function; arguments that are not the same in all of them become its
parameters, and columns of equal arguments one parameter.
"""

from __future__ import annotations

import itertools
import keyword
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from deepforge_hpc.libraries.keras.catalogue import dialect
from deepforge_hpc.libraries.networks.graph import Graph, LayerCall, Passage, Tensor
from deepforge_hpc.libraries.networks.normal import normal_of

_LATE = 1 << 30
"""The place of a parameter that the file has not: behind those that it has."""


class Ref(NamedTuple):
    """A tensor, as a body knows it."""

    item: int
    """Which item of the body makes it; -1, -2, ... for its inputs."""
    output: int | None = None
    """Which of several that the item gives."""


@dataclass(slots=True)
class Item:
    """A layer or a use of a function in a body."""

    name: str
    """Without what the names of the whole body begin with."""
    sources: list[Ref]
    call: LayerCall | None = None
    use: Body | None = None
    arguments: dict[str, str] = field(default_factory=dict)
    """Name to source; of a use they are known once all uses of the function are."""
    defaults: set[str] = field(default_factory=set)
    """Arguments that say what Keras would take anyway."""
    keywords: dict[str, object] = field(default_factory=dict)
    """Of the layer's call: references in place of tensors."""


@dataclass(slots=True)
class Body:
    """The network, or one use of a block."""

    block: str
    prefix: str
    items: list[Item] = field(default_factory=list)
    inputs: list[str] = field(default_factory=list)
    outputs: list[Ref] = field(default_factory=list)
    made: dict[str, Ref] = field(default_factory=dict)
    """What the names of layers stand for in it."""
    given: Mapping[str, str] = field(default_factory=dict)
    """The parameters that the block has in the file, and their values here."""
    user: Item | None = None
    """What the body around it holds for it."""

    def shape(self) -> object:
        """Return all but the values of arguments: equal for uses that can be one function."""
        return (
            self.block,
            tuple(self.outputs),
            len(self.inputs),
            tuple(
                (
                    item.name,
                    tuple(item.sources),
                    str(item.keywords),
                    item.use.shape() if item.use else _shape(item.call),
                )
                for item in self.items
            ),
        )


def _shape(call: LayerCall | None) -> object:
    assert call is not None
    return call.kind, tuple(call.arguments), call.merges


@dataclass(slots=True)
class BlockFunction:
    """All uses of one structure."""

    uses: list[Body]
    name: str = ""
    """What its code calls it, once it is written."""
    parameters: list[str] = field(default_factory=list)
    places: dict[tuple[int, str], str] = field(default_factory=dict)
    """Item and argument to the parameter that stands there."""


def functions(graph: Graph, taken: Iterable[str]) -> tuple[Body, list[BlockFunction]]:
    """Return the body of a network and the functions that it needs, inner ones first.

    No parameter has a name that is `taken`.
    """
    root = _Tree(graph).root
    found: dict[object, BlockFunction] = {}
    for body in _inner_first(root):
        found.setdefault(body.shape(), BlockFunction([])).uses.append(body)
    for item in root.items:
        for name in item.defaults:
            _drop_default([item], name)
    for function in found.values():
        _generalise(function, taken)
        for body in function.uses:
            _pass_on(body, function)
    return root, list(found.values())


def unique(name: str, taken: set[str]) -> str:
    """Return a name of Python's that is not taken, and take it."""
    base = re.sub(r"\W", "_", name) or "x"
    base = f"{base}_" if keyword.iskeyword(base) or base[0].isdigit() else base
    found, number = base, 2
    while found in taken:
        found, number = f"{base}_{number}", number + 1
    taken.add(found)
    return found


def _inner_first(body: Body) -> Iterator[Body]:
    for item in body.items:
        if item.use is not None:
            yield from _inner_first(item.use)
            yield item.use


def _generalise(function: BlockFunction, names: Iterable[str]) -> None:
    """Find the parameters: arguments that differ between uses, equal columns once."""
    columns: dict[tuple[str, ...], str] = {}
    taken = {*names, *(item.name for item in function.uses[0].items)}
    for index, item in enumerate(function.uses[0].items):
        for name in tuple(item.arguments):
            items = [use.items[index] for use in function.uses]
            values = tuple(item.arguments[name] for item in items)
            if len(set(values)) == 1:
                _drop_default(items, name)
                continue
            if values not in columns:
                columns[values] = unique(_declared(function.uses, values) or name, taken)
                function.parameters.append(columns[values])
            function.places[index, name] = columns[values]
    declared = list(function.uses[0].given)
    function.parameters.sort(key=lambda one: declared.index(one) if one in declared else _LATE)


def _declared(uses: Sequence[Body], values: tuple[str, ...]) -> str:
    """Return the parameter that has these values in the file, in all uses of a block."""
    for name in uses[0].given:
        if tuple(use.given.get(name, "") for use in uses) == values:
            return name
    return ""


def _drop_default(items: Iterable[Item], name: str) -> None:
    """Leave out an argument that says the default."""
    for item in items:
        if name in item.defaults:
            del item.arguments[name]


def _pass_on(body: Body, function: BlockFunction) -> None:
    """Give the item that uses a function the values of its parameters."""
    assert body.user is not None
    values = {}
    for (index, name), parameter in function.places.items():
        values[parameter] = body.items[index].arguments[name]
    body.user.arguments = {name: values[name] for name in function.parameters}


class _Tree:
    """Sorts the layers of a network into the blocks that they came through."""

    def __init__(self, graph: Graph) -> None:
        self.readers: dict[str, set[str]] = {}
        for call in graph.calls:
            for tensor in call.reads:
                self.readers.setdefault(tensor.name, set()).add(call.name)
        for tensor in graph.outputs:
            self.readers.setdefault(tensor.name, set()).add("")
        self.alone = _shared(graph)
        self.root = Body("", "")
        for item in graph.inputs:
            self.refer(self.root, Tensor(item.name))
        self.fill(self.root, graph.calls, 0)
        self.root.outputs = [self.refer(self.root, tensor) for tensor in graph.outputs]

    def fill(self, body: Body, calls: Sequence[LayerCall], depth: int) -> None:
        """Add calls to a body, those of an inner block as one item."""
        done = 0
        while done < len(calls):
            inside = self.of_block(calls, done, depth)
            if inside:
                self.add_use(body, inside, depth)
            else:
                call = calls[done]
                item = self.layer(body, call)
                body.made[call.name] = Ref(len(body.items))
                body.items.append(item)
            done += len(inside) or 1

    def add_use(self, body: Body, inside: list[LayerCall], depth: int) -> None:
        """Add the use of a block to a body."""
        passage = _blocks(inside[0])[depth]
        inner = Body(passage.block, _prefix(passage), given=dict(passage.given))
        self.fill(inner, inside, depth + 1)
        within = {call.name for call in inside}
        given = [name for name in inner.made if self.readers.get(name, set()) - within]
        given = [name for name in given if name in within]
        inner.outputs = [inner.made[name] for name in given]
        sources = [self.refer(body, Tensor(name)) for name in inner.inputs]
        for index, name in enumerate(given):
            body.made[name] = Ref(len(body.items), index if len(given) > 1 else None)
        inner.user = Item(inner.prefix.removeprefix(body.prefix).rstrip("_"), sources, use=inner)
        body.items.append(inner.user)

    def of_block(self, calls: Sequence[LayerCall], start: int, depth: int) -> list[LayerCall]:
        """Return the calls, from one on, that came through the same use of a block."""
        passages = _blocks(calls[start])
        if len(passages) <= depth or passages[depth].layer in self.alone:
            return []
        found = []
        for call in itertools.islice(calls, start, None):
            through = _blocks(call)
            if len(through) <= depth or through[depth] != passages[depth]:
                break
            found.append(call)
        return found

    def layer(self, body: Body, call: LayerCall) -> Item:
        """Return the item of a layer."""

        def value(item: object) -> object:
            if isinstance(item, Tensor):
                return self.refer(body, item)
            return [self.refer(body, one) for one in item] if isinstance(item, tuple) else item

        return Item(
            name=call.name.removeprefix(body.prefix),
            sources=[self.refer(body, tensor) for tensor in call.sources],
            call=call,
            arguments={name: item.code for name, item in call.arguments.items()},
            defaults=call.arguments.keys() - normal_of(call, dialect()).keys(),
            keywords={name: value(item) for name, item in call.keywords.items()},
        )

    def refer(self, body: Body, tensor: Tensor) -> Ref:
        """Return what a body calls a tensor; one from outside is an input of it."""
        if tensor.name not in body.made:
            body.inputs.append(tensor.name)
            body.made[tensor.name] = Ref(-len(body.inputs))
        found = body.made[tensor.name]
        return found if tensor.index is None else Ref(found.item, tensor.index)


def _blocks(call: LayerCall) -> list[Passage]:
    """Return the blocks that a layer came through, as far as its name tells of them.

    That of a layer in a nested model tells nothing of where the model is used.
    """
    return [item for item in call.passages if item.block and call.name.startswith(_prefix(item))]


def _prefix(passage: Passage) -> str:
    return f"{passage.layer}_"


def _shared(graph: Graph) -> set[str]:
    """Return the lines whose blocks hold layers that are called from elsewhere too."""
    by_name = {call.name: call for call in graph.calls}
    both = [one for call in graph.calls if call.shared for one in (call, by_name[call.shared])]
    return {passage.layer for call in both for passage in call.passages}
