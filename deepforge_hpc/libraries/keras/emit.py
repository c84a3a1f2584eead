"""The source of a module that builds a network: names that were checked, and literals."""

from __future__ import annotations

from collections.abc import Mapping

from deepforge_hpc.libraries.keras.graph import CallValue, Graph, LayerCall, Tensor


def emit(graph: Graph) -> str:
    """Return the module's source."""
    return "\n".join(
        [
            f'"""The network {graph.name}, made from its architecture file; edit that one."""',
            "",
            "import keras",
            "",
            "",
            "def build():",
            f'    """Return the model {graph.name}, not compiled."""',
            *(f"    {line}" for line in _Body(graph).lines()),
            "",
        ]
    )


class _Body:
    """The statements of a function that builds a network."""

    def __init__(self, graph: Graph) -> None:
        self.graph = graph
        self.variables: dict[str, str] = {}

    def lines(self) -> list[str]:
        """Return inputs, layers and the model."""
        lines = [
            f"{self.new(item.name)} = keras.Input(shape={item.shape!r}, dtype={item.dtype!r}, "
            f"name={item.name!r})"
            for item in self.graph.inputs
        ]
        lines += [self.assign(call) for call in self.graph.calls]
        inputs = _one_or_list([self.variables[item.name] for item in self.graph.inputs])
        outputs = _one_or_list([self.tensor(item) for item in self.graph.outputs])
        name = repr(self.graph.name)
        return [*lines, f"return keras.Model(inputs={inputs}, outputs={outputs}, name={name})"]

    def new(self, name: str) -> str:
        self.variables[name] = f"t{len(self.variables)}"
        return self.variables[name]

    def tensor(self, tensor: Tensor) -> str:
        variable = self.variables[tensor.name]
        return variable if tensor.index is None else f"{variable}[{tensor.index}]"

    def value(self, value: CallValue) -> str:
        if isinstance(value, Tensor):
            return self.tensor(value)
        if isinstance(value, tuple):
            return f"[{', '.join(map(self.tensor, value))}]"
        return repr(value)

    def assign(self, call: LayerCall) -> str:
        sources = ", ".join(map(self.tensor, call.sources))
        given = [f"[{sources}]" if call.merges else sources, *self.keywords(call.keywords)]
        arguments = ", ".join([*call.words, f"name={call.name!r}"])
        layer = f"keras.layers.{call.kind}({arguments})"
        return f"{self.new(call.name)} = {layer}({', '.join(given)})"

    def keywords(self, keywords: Mapping[str, CallValue]) -> list[str]:
        return [f"{name}={self.value(value)}" for name, value in keywords.items()]


def _one_or_list(names: list[str]) -> str:
    return names[0] if len(names) == 1 else f"[{', '.join(names)}]"
