"""The Keras library: architecture files become the source of a module that builds the model."""

from __future__ import annotations

from typing import TYPE_CHECKING

from deepforge_hpc.errors import InvalidInputError
from deepforge_hpc.files import yaml12
from deepforge_hpc.libraries.keras.architecture import Reader
from deepforge_hpc.libraries.keras.graph import Expander
from deepforge_hpc.libraries.keras.schema import LAYERS

if TYPE_CHECKING:
    from deepforge_hpc.libraries.keras.graph import Graph, Node


class KerasLibrary:
    """Compiles architecture files; Keras itself is not imported."""

    name = "keras"

    def compile(self, text: str, source: str) -> str:
        """Return Python source that defines `build()`, which returns the uncompiled model.

        `source` is the file's path as faults should name it. Equal texts give equal source. Raises
        InvalidInputError with every fault found.
        """
        reader = Reader(yaml12.load(text, source))
        architecture = reader.read()
        graph = None
        if architecture is not None and not reader.faults:
            graph = Expander(architecture, reader).expand()
        if reader.faults or graph is None:
            # A block that is used often has its faults once.
            raise InvalidInputError(list(dict.fromkeys(reader.faults)))
        return emit(graph)


def emit(graph: Graph) -> str:
    """Return the module's source: names that were checked, and literals."""
    variables = {name: f"t{i}" for i, name in enumerate(item.name for item in graph.inputs)}
    lines = [
        f"    {variables[item.name]} = keras.Input(shape={item.shape!r}, dtype={item.dtype!r}, "
        f"name={item.name!r})"
        for item in graph.inputs
    ]
    lines.extend(f"    {_assign(node, variables)}" for node in graph.nodes)
    inputs = _one_or_list([variables[item.name] for item in graph.inputs])
    outputs = _one_or_list([variables[name] for name in graph.outputs])
    return "\n".join(
        [
            f'"""The network {graph.name}, made from its architecture file; edit that one."""',
            "",
            "import keras",
            "",
            "",
            "def build():",
            f'    """Return the model {graph.name}, not compiled."""',
            *lines,
            f"    return keras.Model(inputs={inputs}, outputs={outputs}, name={graph.name!r})",
            "",
        ]
    )


def _one_or_list(names: list[str]) -> str:
    return names[0] if len(names) == 1 else f"[{', '.join(names)}]"


def _assign(node: Node, variables: dict[str, str]) -> str:
    sources = ", ".join(variables[source] for source in node.sources)
    if LAYERS[node.kind].input == "list":
        sources = f"[{sources}]"
    variables[node.name] = f"t{len(variables)}"
    words = [f"{name}={value}" for name, value in node.arguments]
    arguments = ", ".join([*words, f"name={node.name!r}"])
    return f"{variables[node.name]} = keras.layers.{node.kind}({arguments})({sources})"
