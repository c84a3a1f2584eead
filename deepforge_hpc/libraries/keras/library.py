"""The Keras library: architecture files become the source of a module that builds the model."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from deepforge_hpc.errors import InvalidInputError
from deepforge_hpc.files.faults import Reader
from deepforge_hpc.files.kinds import Schema
from deepforge_hpc.files.yaml12 import load
from deepforge_hpc.libraries.keras import architecture
from deepforge_hpc.libraries.keras.arguments import TABLES
from deepforge_hpc.libraries.keras.emit import emit
from deepforge_hpc.libraries.keras.expand import Expander
from deepforge_hpc.libraries.keras.graph import Graph
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
        return emit(self.graph(text, source))

    def examples(self) -> Mapping[str, str]:
        folder = Path(__file__).parent / "networks"
        return {path.stem: path.read_text("utf-8") for path in sorted(folder.glob("*.yaml"))}

    def graph(self, text: str, source: str) -> Graph:
        """Return the network of a file; InvalidInputError as `compile`."""
        reader = Reader(load(text, source))
        found = architecture.read(reader)
        graph = None
        if found is not None and not reader.faults:
            graph = Expander(found, reader).expand()
        if reader.faults or graph is None:
            # A block that is used often has its faults once.
            raise InvalidInputError(list(dict.fromkeys(reader.faults)))
        return graph
