"""The contract of a library: resource files of its own that become Python source.

An adapter has no state of its own, does nothing in its constructor, and does not import the
framework that its files are about: a login node need not have it. Third parties register one under
the entry point group `deepforge_hpc.libraries` and prove it with
`deepforge_hpc.testing.library.LibraryContract`.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any, ClassVar, NamedTuple

from deepforge_hpc.errors import Fault, InvalidInputError


class Signature(NamedTuple):
    """Something that a file of the library may name, such as a layer."""

    arguments: Mapping[str, str]
    """Name to the sort of value, in the order in which they are written."""
    required: tuple[str, ...] = ()


class Library(ABC):
    """Reads the files that say `library: NAME`, and writes the module that each stands for."""

    name: ClassVar[str]

    @abstractmethod
    def schema(self) -> dict[str, Any]:
        """Return the JSON Schema (draft 7) of a file, for editors: no `$schema`, `$id`, `title`."""

    @abstractmethod
    def catalogue(self) -> Mapping[str, Mapping[str, Signature]]:
        """Return what files may name: sort of thing (`layer`) -> name -> what it takes."""

    @abstractmethod
    def compile(self, text: str, source: str) -> str:
        """Return the source of a module that defines `build()`.

        `source` is the path of the file, as faults should name it. Equal texts give equal source,
        of which the hash says whether a result can be reused. Raises InvalidInputError with every
        fault, each with its line. Nothing that the text says may become code but names of the
        catalogue, names that were checked, and literals.
        """

    def check(self, text: str, source: str) -> tuple[Fault, ...]:
        """Return what is wrong with a file; nothing if it compiles."""
        try:
            self.compile(text, source)
        except InvalidInputError as error:
            return error.faults
        return ()

    def examples(self) -> Mapping[str, str]:
        """Return files to begin with, whole, by name; the first line of each says what it is."""
        return {}

    def start_up(self) -> str:
        """Return source that a rank must run before the framework is imported; mostly none."""
        return ""
