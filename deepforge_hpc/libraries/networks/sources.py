"""Architecture files and those that they use, each read once."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from deepforge_hpc.errors import Fault, InvalidInputError
from deepforge_hpc.files.faults import Path, Reader
from deepforge_hpc.files.project import ProjectError
from deepforge_hpc.files.yaml12 import load
from deepforge_hpc.libraries.networks import architecture
from deepforge_hpc.libraries.networks.architecture import Architecture, Block
from deepforge_hpc.libraries.networks.arguments import ArchitectureReader
from deepforge_hpc.libraries.networks.dialect import Dialect
from deepforge_hpc.libraries.networks.graph import Place
from deepforge_hpc.libraries.networks.unused import check_unused
from deepforge_hpc.plugins.library import ResourceFiles

MAX_FILES = 100


@dataclass(slots=True, eq=False, kw_only=True)
class ArchitectureFile:
    """One architecture file: names in it mean what stands in it."""

    architecture: Architecture
    reader: Reader
    used: dict[str, ArchitectureFile] = field(default_factory=dict)
    """By block that names another file: that file."""

    @property
    def file(self) -> str:
        """Return its path, as faults name it."""
        return self.reader.document.file

    @property
    def blocks(self) -> Mapping[str, Block]:
        """Return its blocks by name."""
        return self.architecture.blocks

    def place(self, path: Path) -> Place:
        """Return where a key stands."""
        return Place(self.file, *self.reader.document.mark(path, key=True), path)


class ArchitectureFiles:
    """Reads files; `faults` holds what is wrong in all of them."""

    def __init__(self, files: ResourceFiles, dialect: Dialect) -> None:
        self._files, self.dialect = files, dialect
        self._read: dict[str, ArchitectureFile | None] = {}
        self._readers: list[Reader] = []
        self._broken: list[Fault] = []
        self.are_whole = True
        """Whether every line of them could be read, whatever is wrong with its arguments."""

    @property
    def faults(self) -> list[Fault]:
        """Return every fault, each once: a block that is used often has its own once."""
        every = [fault for reader in self._readers for fault in reader.faults]
        return list(dict.fromkeys([*self._broken, *every]))

    @property
    def names(self) -> tuple[str, ...]:
        """Return the files that were read."""
        return tuple(self._read)

    def check_unused(self) -> None:
        """Report what a file declares in vain."""
        for unit in self._read.values():
            if unit is not None:
                check_unused(unit.architecture, unit.reader)

    def read(
        self, text: str | bytes, file: str, stack: tuple[str, ...] = ()
    ) -> ArchitectureFile | None:
        """Return a file with all that it uses; None if it cannot be expanded."""
        self._read[file] = None
        try:
            reader = ArchitectureReader(load(text, file))
        except InvalidInputError as error:
            self._broken += error.faults
            return None
        reader.files = self._files
        self._readers.append(reader)
        found = architecture.read(reader, self.dialect)
        self.are_whole &= not reader.faults
        if found is None:
            return None
        found = architecture.complete(found, reader, self.dialect)
        unit = ArchitectureFile(architecture=found, reader=reader)
        for block in found.blocks.values():
            if block.uses and (used := self._used(unit, block, (*stack, file))):
                unit.used[block.name] = used
        self._read[file] = unit
        return unit

    def _used(
        self, unit: ArchitectureFile, block: Block, stack: tuple[str, ...]
    ) -> ArchitectureFile | None:
        """Return the file that a block names."""
        here = (*block.path, "uses")
        try:
            file, text = self._files.read(block.uses, unit.file)
        except ProjectError as error:
            unit.reader.fault(here, str(error), error.hint)
            return None
        if file in stack:
            circle = " > ".join((*stack[stack.index(file) :], file))
            unit.reader.fault(here, f"the file uses itself: {circle}", "break the circle")
            return None
        if file not in self._read:
            if len(self._read) >= MAX_FILES:
                unit.reader.fault(here, f"more than {MAX_FILES} files use each other")
                return None
            return self.read(text, file, stack)
        return self._read[file]
