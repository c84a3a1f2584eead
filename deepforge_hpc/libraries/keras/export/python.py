"""A network as Python that one would write: functions for blocks, loops for what repeats."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

from deepforge_hpc.libraries.keras.emit import deepest, module_of
from deepforge_hpc.libraries.keras.export.functions import (
    BlockFunction,
    Body,
    Item,
    Ref,
    functions,
    unique,
)
from deepforge_hpc.libraries.networks.graph import Graph
from deepforge_hpc.libraries.networks.lines import enumerated, one_or_list, returned, wrapped

_LEAST_TURNS = 3
_TEXT = re.compile(r"""'(?:[^'\\]|\\.)*'|"(?:[^"\\]|\\.)*\"""")
"""A text in source."""
_NUMBERED = re.compile(r"(.*?)(\d+)([^\d]*)")


def to_python(graph: Graph) -> str:
    """Return the source of a module with `build()`."""
    modules = dict.fromkeys(module_of(name) for name in graph.objects)
    module = _WrittenModule({name.partition(".")[0] for name in modules})
    body = module.network(graph, repr(graph.name).replace("'", '"'))
    deep = deepest(graph)
    lines = [
        *(f'"""The network {graph.name}."""', ""),
        *(("import sys", "") if deep else ()),
        "import keras",
        *(f"import {name}" for name in modules),
        *(["from keras import layers"] if module.layers == "layers" else ()),
        *module.lines,
        *_function("build()", ['"""Return the model, not compiled."""', *deep, *body]),
    ]
    return "\n".join([*lines, ""])


def _function(head: str, body: Sequence[str]) -> list[str]:
    return ["", "", f"def {head}:", *(f"    {line}" for line in body)]


class _WrittenModule:
    """The functions of a module, inner ones first, each once."""

    def __init__(self, modules: set[str]) -> None:
        """Begin with the names that modules of the project are imported by."""
        self.lines: list[str] = []
        self.layers = "keras.layers" if "layers" in modules else "layers"
        self.can_loop = not {"range", "enumerate"} & modules
        self.taken = {"keras", "layers", "build", "range", "enumerate", "sys", *modules}
        self.name, self.turn, self.trunk = (_free(word, modules) for word in ("name", "i", "x"))
        """What is a layer's name, the number of a turn, and what is passed on, in all functions."""
        self.known: dict[tuple[str, ...], str] = {}
        self.nested: dict[int, str] = {}
        """By the id of a nested network: the function that builds it."""

    def network(self, graph: Graph, name: str) -> list[str]:
        """Return the body that builds a network; the functions it needs are added before."""
        for call in graph.calls:
            if call.model is not None:
                inner = self.network(call.model, self.name)
                what = f'"""Return the network {call.kind}."""'
                self.nested[id(call.model)] = self.define(
                    call.kind, f"*, {self.name}", [what, *inner]
                )
        root, found = functions(graph, {*self.taken, self.name, self.trunk})
        by_use = {id(use): function for function in found for use in function.uses}
        for function in found:
            parameters, body = _Writer(self, function.uses[0], by_use, function).definition()
            function.name = self.define(function.uses[0].block, parameters, body)
        return list(_Writer(self, root, by_use, None).network(graph, name))

    def define(self, name: str, parameters: str, body: Sequence[str]) -> str:
        """Add a function, unless there is an equal one; return its name."""
        key = (name, parameters, *body)
        if key not in self.known:
            self.known[key] = unique(name, self.taken)
            self.lines += _function(f"{self.known[key]}({parameters})", body)
        return self.known[key]


def _free(word: str, taken: set[str]) -> str:
    return f"{word}_" if word in taken else word


class _WrittenCall(NamedTuple):
    """One statement: what is called, on what."""

    callee: str
    arguments: list[str]
    given: list[str]
    """What it is called on."""
    name: str
    """Source of the layer's name."""
    keyword: str = "name"
    """What the name is called in the call."""
    is_use: bool = False

    def written(self, name: str) -> tuple[str, list[str], str]:
        """Return the parts of the call with the source of a name."""
        named = f"{self.keyword}={name}"
        if self.is_use:
            return self.callee, [*self.given, *self.arguments, named], ""
        return self.callee, [*self.arguments, named], f"({', '.join(self.given)})"


class _Writer:
    """Writes the statements of one body."""

    def __init__(
        self,
        module: _WrittenModule,
        body: Body,
        by_use: Mapping[int, BlockFunction],
        function: BlockFunction | None,
    ) -> None:
        self.module, self.body, self.by_use, self.function = module, body, by_use, function
        self.variables: dict[int, str] = {}
        self.last = _last_uses(body)
        self.names = {
            module.name,
            module.turn,
            *module.taken,
            *(function.parameters if function else ()),
        }
        self.layers: dict[str, str] = {}
        self.trunk = module.trunk
        """The variable for what comes next, where there is nothing beside it."""
        self.shared = {item.call.shared for item in body.items if item.call} - {""}

    def definition(self) -> tuple[str, list[str]]:
        """Return the parameters and the body of a block's function."""
        assert self.function is not None
        inputs = []
        for index in range(len(self.body.inputs)):
            self.variables[-1 - index] = unique(self.trunk, self.names)
            inputs.append(self.variables[-1 - index])
        lines = list(self.statements())
        result = ", ".join(self.refer(ref) for ref in self.body.outputs)
        lines = [f'"""Apply the block {self.body.block}."""', *returned(lines, result)]
        return ", ".join([*inputs, *self.function.parameters, "*", self.module.name]), lines

    def network(self, graph: Graph, name: str) -> Iterator[str]:
        """Yield the statements that build a network; `name` is the source of its name."""
        for index, item in enumerate(graph.inputs):
            variable = self.variables[-1 - index] = unique(item.name, self.names)
            dtype = () if item.dtype == "float32" else (f'dtype="{item.dtype}"',)
            words = [repr(item.shape), *item.words, *dtype, f'name="{item.name}"']
            yield f"{variable} = keras.Input({', '.join(words)})"
        if self.trunk in self.names:
            self.trunk = unique("y", self.names)
        yield from self.statements()
        inputs = one_or_list([self.variables[-1 - i] for i in range(len(graph.inputs))])
        outputs = one_or_list([self.refer(ref) for ref in self.body.outputs])
        yield f"return keras.Model({inputs}, {outputs}, name={name})"

    def statements(self) -> Iterator[str]:
        """Yield a statement for each item, or a loop for several."""
        index = 0
        while index < len(self.body.items):
            turns = self.turns(index)
            if turns >= _LEAST_TURNS and self.module.can_loop:
                yield from self.loop(index, turns)
                index += turns
                continue
            yield from self.made(index, self.step(index))
            index += 1

    def made(self, index: int, step: _WrittenCall) -> Iterator[str]:
        item = self.body.items[index]
        callee, arguments, given = step.written(step.name)
        if item.call is not None and item.call.name in self.shared:
            layer = self.layers[item.call.name] = unique(f"{item.name}_layer", self.names)
            yield from wrapped(f"{layer} = ", callee, arguments, "")
            callee, arguments, given = layer, step.given, ""
        elif item.call is not None and item.call.shared:
            callee, arguments, given = self.layers[item.call.shared], step.given, ""
        yield from wrapped(f"{self.assign(index)} = ", callee, arguments, given)

    def loop(self, index: int, turns: int) -> Iterator[str]:
        """Yield one loop for items that do the same, each to what the one before gives."""
        first = self.body.items[index]
        match = _NUMBERED.fullmatch(first.name)
        assert match is not None
        start, stop = int(match[2]), int(match[2]) + turns
        columns = self.columns(index, turns, start)
        step = self.step(index, columns)
        self.variables[index + turns - 1] = variable = self.variable(index, index + turns - 1)
        if self.refer(first.sources[0]) != variable:
            yield f"{variable} = {self.refer(first.sources[0])}"
        rows = {name: row for name, row in columns.values() if row}
        if rows:
            yield from enumerated(self.module.turn, rows, start)
        else:
            counted = f"range({start}, {stop})" if start else f"range({stop})"
            yield f"for {self.module.turn} in {counted}:"
        step = step._replace(given=[variable])
        name = self.name(f"{match[1]}{{{self.module.turn}}}{match[3]}", formatted=True)
        callee, arguments, given = step.written(name)
        for line in wrapped(f"{variable} = ", callee, arguments, given):
            yield f"    {line}"

    def columns(self, index: int, turns: int, start: int) -> dict[str, tuple[str, tuple[str, ...]]]:
        """Return the arguments that differ between turns: what each is called, and its values.

        What is the number of the turn is called so, and needs no values.
        """
        every = [self.texts(at) for at in range(index, index + turns)]
        found: dict[str, tuple[str, tuple[str, ...]]] = {}
        known = {tuple(str(start + turn) for turn in range(turns)): self.module.turn}
        for name in every[0]:
            values = tuple(texts[name] for texts in every)
            if len(set(values)) == 1:
                continue
            is_number = known.get(values) == self.module.turn
            if values not in known:
                known[values] = unique(name, self.names)
            found[name] = (known[values], () if is_number else values)
        return found

    def turns(self, index: int) -> int:
        """Return how many items from one on differ by the number in their name and by values."""
        items, count = self.body.items, 1
        while index + count < len(items) and self.follows(index + count):
            count += 1
        return count

    def follows(self, index: int) -> bool:
        """Tell whether an item does to the one before what that does, with the next number."""
        one, two = self.body.items[index - 1], self.body.items[index]
        numbers = [_NUMBERED.fullmatch(item.name) for item in (one, two)]
        if numbers[0] is None or numbers[1] is None or len(one.sources) != 1:
            return False
        around = [(match[1], match[3]) for match in numbers if match]
        return (
            around[0] == around[1]
            and int(numbers[1][2]) == int(numbers[0][2]) + 1
            and numbers[0][2] == str(int(numbers[0][2]))
            and two.sources == [Ref(index - 1)]
            and self.last.get(index - 1) == index
            and self.same(one, two)
        )

    def same(self, one: Item, two: Item) -> bool:
        if one.use is not None and two.use is not None:
            is_same = self.by_use[id(one.use)] is self.by_use[id(two.use)]
        else:
            first, second = one.call, two.call
            is_same = first is not None and second is not None and first.kind == second.kind
            is_same = is_same and not (one.keywords or two.keywords)
            is_same = is_same and not any(
                call is not None and (call.shared or call.model or call.name in self.shared)
                for call in (first, second)
            )
        return is_same and [*one.arguments] == [*two.arguments]

    def step(
        self, index: int, columns: Mapping[str, tuple[str, object]] | None = None
    ) -> _WrittenCall:
        """Return what an item calls; `columns` are named in place of their values."""
        item = self.body.items[index]
        given = [self.refer(ref) for ref in item.sources]
        if item.use is not None:
            callee = self.by_use[id(item.use)].name
            arguments = list(self.arguments(index, columns or {}))
            return _WrittenCall(
                callee, arguments, given, self.name(item.name), self.module.name, True
            )
        assert item.call is not None
        if item.call.merges:
            given = [f"[{', '.join(given)}]"]
        given += [f"{name}={self.value(value)}" for name, value in item.keywords.items()]
        name = self.name(item.name)
        if item.call.model is not None:
            callee = self.module.nested[id(item.call.model)]
            return _WrittenCall(callee, [], given, name, self.module.name)
        arguments = list(self.arguments(index, columns or {}))
        return _WrittenCall(self.source(item.call.code), arguments, given, name)

    def texts(self, index: int) -> dict[str, str]:
        """Return the values of an item's arguments, as source text."""
        places = self.function.places if self.function else {}
        arguments = self.body.items[index].arguments.items()
        return {name: places.get((index, name)) or self.source(code) for name, code in arguments}

    def arguments(self, index: int, columns: Mapping[str, tuple[str, object]]) -> Iterator[str]:
        """Yield the arguments of an item; those that must be given come first, by position."""
        item = self.body.items[index]
        by_position = True
        leading = 3 if item.use is not None else _leading(item)
        for at, (name, value) in enumerate(self.texts(index).items()):
            text = columns[name][0] if name in columns else value
            by_position = by_position and at < leading
            yield text if by_position else f"{name}={text}"

    def source(self, code: str) -> str:
        """Return source as one writes it: layers by their short name, texts in double quotes."""
        parts, at = [], 0
        for match in _TEXT.finditer(code):
            text = match[0]
            is_plain = text[0] == "'" and not {'"', "\\"} & set(text)
            parts += [self.short(code[at : match.start()])]
            parts += [f'"{text[1:-1]}"' if is_plain else text]
            at = match.end()
        return "".join([*parts, self.short(code[at:])])

    def short(self, code: str) -> str:
        return code.replace("keras.layers.", f"{self.module.layers}.")

    def name(self, name: str, *, formatted: bool = False) -> str:
        """Return the source of a layer's name."""
        if self.function is not None:
            return f'f"{{{self.module.name}}}_{name}"'
        return f'f"{name}"' if formatted else f'"{name}"'

    def refer(self, ref: Ref) -> str:
        variable = self.variables[ref.item]
        return variable if ref.output is None else f"{variable}[{ref.output}]"

    def value(self, value: object) -> str:
        if isinstance(value, Ref):
            return self.refer(value)
        if isinstance(value, list):
            return f"[{', '.join(map(self.refer, value))}]"
        return repr(value)

    def assign(self, index: int) -> str:
        self.variables[index] = self.variable(index, index)
        return self.variables[index]

    def variable(self, index: int, end: int) -> str:
        """Return the variable for what an item gives, or the last of a loop's.

        The trunk's, if nothing else is still needed; in a branch the variable of what it is made
        from, if that is not; else a name of its own.
        """
        first_input = -len(self.body.inputs) if self.function is None else 0
        alive = {
            item: variable
            for item, variable in self.variables.items()
            if self.last.get(item, -1) > end
        }
        others = [item for item in alive if item >= 0 or not first_input]
        if not others and self.trunk not in alive.values():
            self.names.add(self.trunk)
            return self.trunk
        sources = [ref.item for ref in self.body.items[index].sources]
        if len(sources) == 1 and sources[0] not in alive:
            before = self.variables[sources[0]]
            if before not in alive.values() and before != self.trunk and sources[0] >= 0:
                return before
        name = re.sub(r"_\d+$", "", self.body.items[end].name)
        return unique(name.lower(), self.names)


def _last_uses(body: Body) -> dict[int, int]:
    """Return the last item that needs each item or input; what the body gives is needed after."""
    last: dict[int, int] = {}
    for index, item in enumerate(body.items):
        refs = list(item.sources)
        for value in item.keywords.values():
            refs += value if isinstance(value, list) else [value] if isinstance(value, Ref) else []
        last.update({ref.item: index for ref in refs})
    last.update({ref.item: len(body.items) for ref in body.outputs})
    return last


def _leading(item: Item) -> int:
    """Return how many arguments a reader knows by their place: those that must be given."""
    from deepforge_hpc.libraries.keras.catalogue import shipped

    assert item.call is not None
    thing = shipped().find("layer", item.call.kind)
    count = 0
    for name, wanted in zip(item.arguments, thing.required if thing else (), strict=False):
        if name != wanted:
            break
        count += 1
    return count
