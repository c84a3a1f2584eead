"""A library of architectures: the common form of files, in the dialect of a framework."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from deepforge_hpc.errors import Fault, InvalidInputError
from deepforge_hpc.files.kinds import Schema
from deepforge_hpc.libraries.networks import architecture
from deepforge_hpc.libraries.networks.catalogue import Catalogue, Texts, Thing
from deepforge_hpc.libraries.networks.dialect import Dialect
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

if TYPE_CHECKING:
    from deepforge_hpc.libraries.networks.trial.judge import Judge


class NetworkLibrary(Library):
    """Compiles architecture files to modules whose `build` returns the network."""

    folder: ClassVar[Path]
    """Holds the examples, as YAML files."""

    @abstractmethod
    def dialect(self) -> Dialect:
        """Return the names that files may use, and what they mean."""

    @abstractmethod
    def at_hand(self) -> tuple[Catalogue, Texts]:
        """Return what is documented: of the framework that is installed, or the shipped one."""

    @abstractmethod
    def judge(self) -> Judge:
        """Return how the framework is asked what it thinks of a network."""

    @abstractmethod
    def emit(self, graph: Graph) -> str:
        """Return the source of the module that builds a network."""

    def exports(self) -> Mapping[str, Callable[[Graph], str]]:
        """Return what writes a network in another form, by the form's name."""
        from deepforge_hpc.libraries.networks.plot.dot import to_dot

        return {"python": self.emit, "dot": to_dot}

    def schema(self) -> Schema:
        known, texts = self.at_hand()
        return architecture.schema(replace(self.dialect(), catalogue=known), texts)

    def catalogue(self) -> Mapping[str, Mapping[str, Entry]]:
        return self.entries(*self.at_hand())

    def entries(self, known: Catalogue, texts: Texts) -> dict[str, dict[str, Entry]]:
        """Return what a catalogue has, documented."""
        return {
            family: {
                name: _entry(thing, texts, self.spellings(family))
                for name, thing in known.things(family).items()
            }
            for family in known.families
        }

    def spellings(self, family: str) -> Mapping[str, str]:  # noqa: ARG002 - of those that have some
        """Return the class by names that files may use for one of a family besides its own."""
        return {}

    def examples(self) -> Mapping[str, str]:
        paths = sorted(self.folder.glob("*.yaml"))
        return {path.stem: path.read_text("utf-8") for path in paths}

    def examine(
        self, text: str, source: str, use: Use, files: ResourceFiles = NO_FILES
    ) -> Examination:
        from deepforge_hpc.libraries.networks.trial.examine import examine

        return examine(self.judge(), self.graph(text, source, files), source, use)

    def compile(self, text: str, source: str, files: ResourceFiles = NO_FILES) -> Compiled:
        graph = self.graph(text, source, files)
        objects = {name: place[:3] for name, place in graph.objects.items()}
        return Compiled(self.emit(graph), graph.files[1:], objects)

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
        units = ArchitectureFiles(files, self.dialect())
        unit = units.read(text, source)
        graph = Expander(units).expand(unit) if unit is not None else None
        return graph, tuple(units.faults)


def _entry(thing: Thing, texts: Texts, spellings: Mapping[str, str]) -> Entry:
    others = (word for word, name in spellings.items() if thing.name == name != word)
    return Entry(
        options={
            name: Option(sort, thing.defaults[name], texts.argument(thing, name))
            for name, sort in thing.sorts.items()
        },
        text=texts.summary(thing),
        aliases=tuple(dict.fromkeys((*thing.aliases, *others))),
        call={name: texts.argument(thing, name) for name in thing.call},
    )
