"""The source of a module that builds a network: names that were checked, and literals."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from deepforge_hpc.libraries.networks.graph import CallValue, Graph, LayerCall, Tensor

_DEEP = 500
"""Calls from which on a network may be deeper than Python's limit of 1,000 frames lets Keras go."""


def emit(graph: Graph) -> str:
    """Return the module's source."""
    builders = _Builders()
    body = builders.body(graph)
    deep = deepest(graph)
    return "\n".join(
        [
            f'"""The network {graph.name}, made from its architecture file; edit that one."""',
            "",
            *(("import sys", "") if deep else ()),
            "import keras",
            *(f"import {module}" for module in builders.modules),
            *(line for function in builders.functions for line in ("", "", *function)),
            "",
            "",
            "def build():",
            f'    """Return the model {graph.name}, not compiled."""',
            *(f"    {line}" for line in deep),
            *body,
            "",
        ]
    )


def deepest(graph: Graph) -> list[str]:
    """Return the statement that a network needs which is deeper than Python lets Keras go."""
    if len(graph.calls) <= _DEEP:
        return []
    frames = f"max(sys.getrecursionlimit(), {20 * len(graph.calls)})"
    return [f"sys.setrecursionlimit({frames})  # Keras goes a frame deeper for a layer"]


class _Builders:
    """The functions that build nested models."""

    def __init__(self) -> None:
        self.functions: list[list[str]] = []
        self.modules: dict[str, None] = {}
        """Of the project, that the source imports."""

    def body(self, graph: Graph) -> list[str]:
        """Return the statements that build a network."""
        return [f"    {line}" for line in _BuildBody(graph, self).lines()]

    def add(self, graph: Graph) -> str:
        """Return the name of a function that builds a nested model."""
        body = self.body(graph)
        name = f"model_{len(self.functions)}"
        self.functions.append([f"def {name}():", *body])
        return name


class _BuildBody:
    """The statements of a function that builds a network."""

    def __init__(self, graph: Graph, builders: _Builders) -> None:
        self.graph = graph
        self.builders = builders
        self.variables: dict[str, str] = {}
        self.again = {call.shared for call in graph.calls}
        """Layers that are called more than once, so that they have variables of their own."""

    def lines(self) -> Iterator[str]:
        """Yield inputs, layers and the model."""
        for item in self.graph.inputs:
            words = [f"shape={item.shape!r}", f"dtype={item.dtype!r}", *item.words]
            made = f"keras.Input({', '.join(words)}, name={item.name!r})"
            yield f"{self.new(item.name)} = {made}"
        for call in self.graph.calls:
            yield from self.call(call)
        inputs = _one_or_list([self.variables[item.name] for item in self.graph.inputs])
        outputs = _one_or_list([self.tensor(item) for item in self.graph.outputs])
        yield f"return keras.Model(inputs={inputs}, outputs={outputs}, name={self.graph.name!r})"

    def new(self, name: str) -> str:
        self.variables[name] = f"t{len(self.variables)}"
        return self.variables[name]

    def call(self, call: LayerCall) -> Iterator[str]:
        """Yield the statements of a call: one, and one more for a layer that is called again."""
        sources = ", ".join(map(self.tensor, call.sources))
        given = [f"[{sources}]" if call.merges else sources, *self.keywords(call.keywords)]
        variable = self.new(call.name)
        layer = f"layer_{self.variables[call.layer]}"
        if call.layer not in self.again:
            layer = self.made(call)
        elif not call.shared:
            yield f"{layer} = {self.made(call)}"
        yield f"{variable} = {layer}({', '.join(given)})"

    def made(self, call: LayerCall) -> str:
        if call.model is not None:
            return f"{self.builders.add(call.model)}()"
        self.builders.modules.update(dict.fromkeys(map(module_of, call.objects)))
        return f"{call.code}({', '.join([*call.words, f'name={call.name!r}'])})"

    def tensor(self, tensor: Tensor) -> str:
        variable = self.variables[tensor.name]
        return variable if tensor.index is None else f"{variable}[{tensor.index}]"

    def keywords(self, keywords: Mapping[str, CallValue]) -> list[str]:
        return [f"{name}={self.value(value)}" for name, value in keywords.items()]

    def value(self, value: CallValue) -> str:
        if isinstance(value, Tensor):
            return self.tensor(value)
        if isinstance(value, tuple):
            return f"[{', '.join(map(self.tensor, value))}]"
        return repr(value)


def module_of(name: str) -> str:
    """Return the module of `MODULE:Name`."""
    return name.partition(":")[0]


def _one_or_list(names: list[str]) -> str:
    return names[0] if len(names) == 1 else f"[{', '.join(names)}]"
