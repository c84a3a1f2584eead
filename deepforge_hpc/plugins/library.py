"""The contract of a library: resource files of its own that become Python source.

An adapter has no state of its own, does nothing in its constructor, and does not import the
framework that its files are about: a login node need not have it. Third parties register one under
the entry point group `deepforge_hpc.libraries` and prove it with
`deepforge_hpc.testing.library.LibraryContract`.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping
from typing import Any, ClassVar, Final, NamedTuple, Protocol

from deepforge_hpc.errors import Fault, InvalidInputError
from deepforge_hpc.files.faults import Path, Reader
from deepforge_hpc.files.project import ProjectError
from deepforge_hpc.runtime.base.notice import Notice

NEEDED: Final = object()
"""Stands for the default of an argument that must be given."""


class Option(NamedTuple):
    """An argument of something that a file may name."""

    sort: str
    """The sort of value, in a word or two."""
    default: object = NEEDED
    text: str = ""
    """What documentation says of it."""


class Entry(NamedTuple):
    """Something that a file of the library may name, such as a layer."""

    options: Mapping[str, Option]
    """By name, in the order in which they are written."""
    text: str = ""
    """What it is."""
    aliases: tuple[str, ...] = ()
    """Other names that a file may use."""
    call: Mapping[str, str] = {}
    """What its call takes besides tensors: name to text."""

    @property
    def required(self) -> tuple[str, ...]:
        """Return the arguments that must be given."""
        return tuple(name for name, one in self.options.items() if one.default is NEEDED)


class Compiled(NamedTuple):
    """What a resource file becomes."""

    code: str
    """Source of a module that defines `build()`. Equal inputs give equal source, of which the hash
    says whether a result can be reused."""
    files: tuple[str, ...] = ()
    """Other resource files that it was read from, as `ResourceFiles.read` named them."""
    objects: Mapping[str, tuple[str, int, int]] = {}
    """What of the project's own code it needs, as MODULE:Name, with the file, line and column that
    name it: frozen with it, and made known to the framework by `start_up`."""


class ResourceFiles(Protocol):
    """The resource files of the project."""

    def read(self, name: str, beside: str) -> tuple[str, bytes]:
        """Return the path, as faults should name it, and the bytes of a file.

        `name` is as it stands in the file `beside`, relative to it. Raises ProjectError for what
        lies outside of the project, or cannot be read.
        """


class NoResourceFiles:
    """Stands for `ResourceFiles` where a text is all that there is."""

    def read(self, name: str, beside: str) -> tuple[str, bytes]:
        """Refuse."""
        raise ProjectError(f"{name!r} cannot be read here: {beside} is a text, not a file")


NO_FILES: Final = NoResourceFiles()

Software = tuple[tuple[str, str], ...]
"""Packages and their versions, sorted."""


class Use(NamedTuple):
    """Where a resource is used, and what a library may look at for it."""

    attributes: Mapping[str, Any]
    """Of the operation that gets it: a loss, for example."""
    own_python: str
    """The interpreter of `dfh`: a framework beside it may be started, in a process of its own."""
    job_python: str
    """That of the job, which nobody may start; empty if it is not known."""
    software: Callable[[str, Iterable[str]], Software]
    """Returns which of some packages an interpreter has, without starting it."""
    ranks: int = 1
    """Of the operation, as far as the pipeline says it."""
    classes: Callable[[str], int | None] = lambda _name: None
    """Returns how many classes a data set of the operation's inputs records, by its name."""
    shape: Callable[[str], tuple[int, ...] | None] = lambda _name: None
    """Returns the shape of a row of such a data set."""


class Examination(NamedTuple):
    """What a framework itself says of a file."""

    faults: tuple[Fault, ...] = ()
    notices: tuple[Notice, ...] = ()


class Library(ABC):
    """Reads the files that say `library: NAME`, and writes the module that each stands for."""

    name: ClassVar[str]
    trained: ClassVar[str] = "any"
    """Format in which an operation keeps what a file stands for once it was trained."""

    @abstractmethod
    def schema(self) -> dict[str, Any]:
        """Return the JSON Schema (draft 7) of a file, for editors: no `$schema`, `$id`, `title`."""

    @abstractmethod
    def catalogue(self) -> Mapping[str, Mapping[str, Entry]]:
        """Return what files may name, documented: sort of thing (`layer`) -> name -> what it is."""

    @abstractmethod
    def examples(self) -> Mapping[str, str]:
        """Return files to begin with, whole, by name; the first line of each says what it is."""

    @abstractmethod
    def compile(self, text: str, source: str, files: ResourceFiles = NO_FILES) -> Compiled:
        """Return what a file becomes.

        `source` is the path of the file, as faults should name it. Raises InvalidInputError with
        every fault, each with its line. Nothing that the text says may become code but names of the
        catalogue, names that were checked, and literals.
        """

    def check(self, text: str, source: str, files: ResourceFiles = NO_FILES) -> tuple[Fault, ...]:
        """Return what is wrong with a file; nothing if it compiles."""
        try:
            self.compile(text, source, files)
        except InvalidInputError as error:
            return error.faults
        return ()

    def check_value(self, sort: str, value: object, path: Path, reader: Reader) -> None:  # noqa: ARG002
        """Report what is wrong with an attribute that stands at a path of a pipeline file.

        The code of its operation says that it names something of this library: `Annotated[str,
        {"names": "LIBRARY:SORT"}]`. Raises LookupError for a sort that the library has not.
        """
        raise LookupError(f"the library {self.name} checks no values")

    def examine(
        self,
        text: str,  # noqa: ARG002 - for libraries that can
        source: str,  # noqa: ARG002
        use: Use,  # noqa: ARG002
        files: ResourceFiles = NO_FILES,  # noqa: ARG002
    ) -> Examination:
        """Return what the framework says of a file that compiles, if it is at hand: of its shapes.

        What it said before may be remembered, so that the second look is quick.
        """
        return Examination()

    def start_up(self, objects: tuple[str, ...]) -> str:  # noqa: ARG002 - for those that need it
        """Return source that a rank runs before the framework is imported; mostly none.

        Every rank of the pipeline runs it: one may load what another has made. `objects` is all
        that the pipeline's files of this library need of the project. They can be imported, but
        should not be before the framework is: most ranks need neither.
        """
        return ""
