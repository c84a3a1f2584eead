"""The source of a module with the class of a network: names that were checked, and literals."""

from __future__ import annotations

import keyword
from collections.abc import Iterable, Iterator

from deepforge_hpc.libraries.networks.graph import CallValue, Graph, LayerCall, Tensor
from deepforge_hpc.libraries.networks.lines import indented, wrapped
from deepforge_hpc.libraries.torch.catalogue import reserved, shipped

_WIDTH = 92
"""Of a line in a function of a class."""
_SIGNS = {"add": "+", "mul": "*"}
_TAKEN = {"self", "torch", "nn"}
_OURS = {"inputs", "outputs"}
"""Attributes of the class that are ours."""
_CHAIN = ("x", "h", "hidden", "value")
"""What a tensor is called that the next layer alone is given."""


def emit(graph: Graph) -> str:
    """Return the module's source."""
    classes = _Classes(graph)
    name = classes.add(graph)
    modules = sorted({one.partition(":")[0] for one in graph.objects if ":" in one})
    return "\n".join(
        [
            f'"""The network {graph.name}, made from its architecture file; edit that one."""',
            "",
            "import torch",
            "from torch import nn",
            *(("", *(f"import {module}" for module in modules)) if modules else ()),
            *(line for one in classes.sources for line in ("", "", *one)),
            "",
            "",
            "def build():",
            f'    """Return the network {graph.name}, its weights drawn anew."""',
            f"    return {name}()",
            "",
        ]
    )


class _Classes:
    """The classes of a network and of the models within it."""

    def __init__(self, graph: Graph) -> None:
        self.sources: list[list[str]] = []
        self._names = {name.partition(":")[0].partition(".")[0] for name in graph.objects}

    def add(self, graph: Graph) -> str:
        """Write the class of a model after those of the models in it; return its name."""
        body = list(_Class(graph, self).lines())
        name = _free("".join(map(str.capitalize, graph.name.split("_"))), self._names)
        self._names.add(name)
        head = [f"class {name}(nn.Module):", f'    """The network {graph.name}."""', ""]
        self.sources.append([*head, *(f"    {line}" if line else "" for line in body)])
        return name


class _Class:
    """What stands in the class of a network."""

    def __init__(self, graph: Graph, classes: _Classes) -> None:
        self.graph, self._classes = graph, classes
        self._reads = _reads(graph)
        names = {item.name for item in graph.inputs} | {call.name for call in graph.calls}
        self._chain = next((name for name in _CHAIN if name not in names), "chained_value")
        self._variables: dict[str, str] = {}
        self._attributes: dict[str, str] = {}

    def lines(self) -> Iterator[str]:
        """Yield attributes, `__init__` and `forward`."""
        types = ", ".join(f"{item.name!r}: torch.{item.dtype}" for item in self.graph.inputs)
        yield f"inputs = {{{types}}}"
        if len(self.graph.outputs) > 1:
            yield f"outputs = {tuple(map(str, self.graph.outputs))!r}"
        made = [call for call in self.graph.calls if _is_module(call) and not call.shared]
        yield from ("", "def __init__(self):", "    super().__init__()")
        for call in made:
            attribute = _free(call.name, {*reserved(), *_OURS, *self._attributes.values()})
            self._attributes[call.name] = attribute
            yield from indented(wrapped(f"self.{attribute} = ", *self._made(call), "", _WIDTH))
        inputs = [self._new(item.name, item.name) for item in self.graph.inputs]
        yield from ("", f"def forward(self, {', '.join(inputs)}):")
        for index, call in enumerate(self.graph.calls):
            callee, arguments = self._value(call)
            reads = self._reads.get(call.name, {})
            first = "[0]" if set(reads.values()) == {0} else ""
            is_next = list(reads) == [index + 1]
            variable = self._new(call.name, self._chain if is_next else "")
            yield from indented(wrapped(f"{variable} = ", callee, arguments, first, _WIDTH))
        yield f"    return {', '.join(map(self._tensor, self.graph.outputs))}"

    def _made(self, call: LayerCall) -> tuple[str, tuple[str, ...]]:
        """Return what makes a layer, and with what."""
        if call.model is not None:
            return self._classes.add(call.model), ()
        return call.code, call.words

    def _new(self, name: str, variable: str) -> str:
        known = {*_TAKEN, *self._variables.values()}
        self._variables[name] = variable if variable == self._chain else _free(name, known)
        return self._variables[name]

    def _value(self, call: LayerCall) -> tuple[str, list[str | list[str]]]:
        """Return what is called, and on what; of a sum or a product nothing, and its parts."""
        sources = [self._tensor(one) for one in call.sources]
        if not _is_module(call) and len(sources) > 1 and not call.arguments:
            if call.kind in _SIGNS:
                sign = _SIGNS[call.kind]
                return "", [sources[0], *(f"{sign} {source}" for source in sources[1:])]
            while len(sources) > 2 and not call.merges:
                sources[:2] = [f"{call.code}({', '.join(sources[:2])})"]
        given: list[str | list[str]] = [sources] if call.merges else [*sources]
        given += [f"{name}={self._word(value)}" for name, value in call.keywords.items()]
        if _is_module(call):
            return f"self.{self._attributes[call.layer]}", given
        return call.code, [*given, *call.words]

    def _word(self, value: CallValue) -> str:
        if isinstance(value, Tensor):
            return self._tensor(value)
        if isinstance(value, tuple):
            return f"({', '.join(map(self._tensor, value))},)"
        return repr(value)

    def _tensor(self, tensor: Tensor) -> str:
        variable = self._variables[tensor.name]
        is_first = set(self._reads[tensor.name].values()) == {0}
        return variable if tensor.index is None or is_first else f"{variable}[{tensor.index}]"


def _reads(graph: Graph) -> dict[str, dict[int, int | None]]:
    """Return for each name who reads it, by the number of its call, and which of its outputs.

    Who reads several of them is said to read all.
    """
    found: dict[str, dict[int, int | None]] = {}
    readers: Iterable[tuple[Tensor, ...]] = (*(call.reads for call in graph.calls), graph.outputs)
    for number, tensors in enumerate(readers):
        for tensor in tensors:
            its = found.setdefault(tensor.name, {})
            its[number] = tensor.index if its.get(number, tensor.index) == tensor.index else None
    return found


def _is_module(call: LayerCall) -> bool:
    """Tell whether a call is of something with a state; else it is of a function."""
    thing = shipped().find("layer", call.kind) if ":" not in call.kind else None
    return call.model is not None or thing is None or not thing.code.startswith("torch.")


def _free(name: str, taken: Iterable[str]) -> str:
    """Return a name that Python takes and nothing else has."""
    while keyword.iskeyword(name) or name in taken:
        name += "_"
    return name
