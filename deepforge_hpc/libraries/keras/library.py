"""The Keras library: architecture files become the source of a module that builds the model."""

from __future__ import annotations

import pathlib

from deepforge_hpc.files.faults import Path, Reader
from deepforge_hpc.libraries.keras.catalogue import dialect
from deepforge_hpc.libraries.keras.emit import emit
from deepforge_hpc.libraries.keras.start_up import start_up
from deepforge_hpc.libraries.networks.catalogue import Catalogue, Texts
from deepforge_hpc.libraries.networks.dialect import Dialect
from deepforge_hpc.libraries.networks.graph import Graph
from deepforge_hpc.libraries.networks.library import NetworkLibrary
from deepforge_hpc.plugins.library import NO_FILES, Examination, ResourceFiles, Use


class KerasLibrary(NetworkLibrary):
    """Compiles architecture files to functional models."""

    name = "keras"
    folder = pathlib.Path(__file__).parent / "networks"

    def dialect(self) -> Dialect:
        return dialect()

    def at_hand(self) -> tuple[Catalogue, Texts]:
        from deepforge_hpc.libraries.keras.at_hand import at_hand

        return at_hand()

    def emit(self, graph: Graph) -> str:
        return emit(graph)

    def check_value(self, sort: str, value: object, path: Path, reader: Reader) -> None:
        from deepforge_hpc.libraries.keras.named_values import check_value

        check_value(sort, value, path, reader)

    def examine(
        self, text: str, source: str, use: Use, files: ResourceFiles = NO_FILES
    ) -> Examination:
        from deepforge_hpc.libraries.keras.trial.examine import examine

        return examine(self.graph(text, source, files), source, use)

    def start_up(self, objects: tuple[str, ...]) -> str:
        return start_up(objects) if objects else ""
