"""The Keras library: architecture files become the source of a module that builds the model."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from deepforge_hpc.errors import Fault, InvalidInputError
from deepforge_hpc.files.kinds import Schema
from deepforge_hpc.libraries.keras.emit import emit
from deepforge_hpc.libraries.keras.start_up import start_up
from deepforge_hpc.libraries.networks import architecture, catalogue
from deepforge_hpc.libraries.networks.expand import Expander
from deepforge_hpc.libraries.networks.graph import Graph
from deepforge_hpc.libraries.networks.sources import ArchitectureFiles
from deepforge_hpc.plugins.library import (
    NO_FILES,
    Compiled,
    Entry,
    Examination,
    Library,
    Option,
    ResourceFiles,
    Use,
)


class KerasLibrary(Library):
    """Compiles architecture files."""

    name = "keras"

    def schema(self) -> Schema:
        from deepforge_hpc.libraries.keras.at_hand import at_hand

        return architecture.schema(*at_hand())

    def catalogue(self) -> Mapping[str, Mapping[str, Entry]]:
        from deepforge_hpc.libraries.keras.at_hand import at_hand

        return entries(*at_hand())

    def examples(self) -> Mapping[str, str]:
        folder = Path(__file__).parent / "networks"
        return {path.stem: path.read_text("utf-8") for path in sorted(folder.glob("*.yaml"))}

    def compile(self, text: str, source: str, files: ResourceFiles = NO_FILES) -> Compiled:
        graph = self.graph(text, source, files)
        objects = {name: place[:3] for name, place in graph.objects.items()}
        return Compiled(emit(graph), graph.files[1:], objects)

    def graph(self, text: str, source: str, files: ResourceFiles = NO_FILES) -> Graph:
        """Return the network of a file; InvalidInputError as `compile`."""
        graph, faults = self.partial_graph(text, source, files)
        if faults or graph is None:
            raise InvalidInputError(faults)
        return graph

    def partial_graph(
        self, text: str, source: str, files: ResourceFiles = NO_FILES
    ) -> tuple[Graph | None, tuple[Fault, ...]]:
        """Return the network as far as it can be read, and all faults: layers of it may have some.

        Sources of a layer may be missing in it.
        """
        units = ArchitectureFiles(files)
        unit = units.read(text, source)
        graph = Expander(units).expand(unit) if unit is not None and not units.faults else None
        return graph, tuple(units.faults)

    def examine(
        self, text: str, source: str, use: Use, files: ResourceFiles = NO_FILES
    ) -> Examination:
        from deepforge_hpc.libraries.keras.trial.examine import examine

        return examine(self.graph(text, source, files), source, use)

    def start_up(self, objects: tuple[str, ...]) -> str:
        return start_up(objects) if objects else ""


def entries(known: catalogue.Catalogue, texts: catalogue.Texts) -> dict[str, dict[str, Entry]]:
    """Return a catalogue with its texts, as the contract has it."""
    return {
        family: {name: _entry(thing, texts) for name, thing in known.things(family).items()}
        for family in known.families
    }


def _entry(thing: catalogue.Thing, texts: catalogue.Texts) -> Entry:
    return Entry(
        options={
            name: Option(sort, thing.defaults[name], texts.argument(thing, name))
            for name, sort in thing.sorts.items()
        },
        text=texts.summary(thing),
        aliases=thing.aliases,
        call={name: texts.argument(thing, name) for name in thing.call},
    )
