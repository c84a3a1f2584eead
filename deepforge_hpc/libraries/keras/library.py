"""The Keras library: architecture files become the source of a module that builds the model."""

from __future__ import annotations

from collections.abc import Mapping

from deepforge_hpc.errors import InvalidInputError
from deepforge_hpc.files.faults import Reader
from deepforge_hpc.files.kinds import Schema
from deepforge_hpc.files.yaml12 import load
from deepforge_hpc.libraries.keras import architecture
from deepforge_hpc.libraries.keras.arguments import TABLES
from deepforge_hpc.libraries.keras.graph import Expander, Graph, LayerCall
from deepforge_hpc.libraries.keras.schema import LAYERS
from deepforge_hpc.plugins.library import Library, Signature


class KerasLibrary(Library):
    """Compiles architecture files."""

    name = "keras"

    def schema(self) -> Schema:
        return architecture.schema()

    def catalogue(self) -> Mapping[str, Mapping[str, Signature]]:
        return {
            sort: {name: Signature(one.arguments, one.required) for name, one in table.items()}
            for sort, table in TABLES.items()
        }

    def compile(self, text: str, source: str) -> str:
        reader = Reader(load(text, source))
        found = architecture.read(reader)
        graph = None
        if found is not None and not reader.faults:
            graph = Expander(found, reader).expand()
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
    lines.extend(f"    {_assign(call, variables)}" for call in graph.calls)
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


def _assign(call: LayerCall, variables: dict[str, str]) -> str:
    sources = ", ".join(variables[source] for source in call.sources)
    if LAYERS[call.kind].input == "list":
        sources = f"[{sources}]"
    variables[call.name] = f"t{len(variables)}"
    arguments = ", ".join([*call.words, f"name={call.name!r}"])
    return f"{variables[call.name]} = keras.layers.{call.kind}({arguments})({sources})"
