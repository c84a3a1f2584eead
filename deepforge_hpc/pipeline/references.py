"""References: resource files that a library compiles to code, each once."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

from deepforge_hpc.errors import Fault, InvalidInputError, UsageError
from deepforge_hpc.files.faults import shown
from deepforge_hpc.files.project import Project, ProjectError, ProjectFiles, read_bounded
from deepforge_hpc.files.yaml12 import load
from deepforge_hpc.pipeline.snapshot import COMPILED, PROJECT, START_UP, CodeFile, code_file
from deepforge_hpc.pipeline.sources import FoundObject, Sources
from deepforge_hpc.plugins import registry
from deepforge_hpc.runtime.base.plan import Reference

if TYPE_CHECKING:
    from deepforge_hpc.plugins.library import Compiled, Library


_TELL = "report it to those who maintain the library"


class References:
    """Compiles resource files; collects their files and faults."""

    def __init__(self, project: Project, sources: Sources) -> None:
        self.project = project
        self.sources = sources
        self.files: dict[str, CodeFile] = {}
        self.faults: list[Fault] = []
        self._compiled: dict[Path, Reference | None] = {}
        self._objects: dict[str, dict[str, FoundObject]] = {}
        """By library: what its files name of the project."""
        self._packages: dict[str, frozenset[str]] = {}

    def compile(self, name: str, text: str) -> Reference | None:
        """Return a reference; None if its file has faults, ProjectError if there is none."""
        if not text.endswith((".yaml", ".yml")):
            message = f"{text!r} is not a resource file"
            raise ProjectError(message, "a reference is a .yaml file of a library")
        path = self.project.inside(text)
        if path not in self._compiled:
            self._compiled[path] = self._compile(path)
        found = self._compiled[path]
        return None if found is None else found._replace(name=name)

    def _compile(self, path: Path) -> Reference | None:
        source = self.project.relative(path)
        data = read_bounded(path, source)
        files = ProjectFiles(self.project, self.project.root)
        try:
            library, compiled = _compiled(data, source, files)
        except InvalidInputError as error:
            self.faults += error.faults
            return None
        objects = self._find(compiled)
        self._objects.setdefault(library, {}).update(objects)
        self._packages[source] = frozenset().union(*(one.packages for one in objects.values()))
        stem = PurePosixPath(source).with_suffix("").as_posix()
        module = f"{COMPILED}/{stem}.py"
        if module in self.files:
            message = f"another resource file has the name {stem!r} before its suffix"
            self.faults.append(Fault(message=message, file=source, hint="rename one of the two"))
            return None
        # What those are is part of what it is, and so of the keys of the jobs that get it.
        needs = "".join(f"# {name} {one.sha256}\n" for name, one in objects.items())
        self.files[module] = code_file(f"{compiled.code}{needs}".encode())
        for name, (real, content) in {source: (path, data), **files.found}.items():
            self.files[f"{PROJECT}/{name}"] = code_file(content, real)
        return Reference("", library, source, module, self.files[module].sha256)

    def _find(self, compiled: Compiled) -> dict[str, FoundObject]:
        """Return what a file names of the project's code, which is frozen too."""
        found = {name: self._object(name, *place) for name, place in compiled.objects.items()}
        return {name: one for name, one in found.items() if one is not None}

    def _object(self, name: str, file: str, line: int, column: int) -> FoundObject | None:
        try:
            return self.sources.find_object(name)
        except ProjectError as error:
            self.faults.append(Fault(str(error), file, line, column, error.hint))
            return None

    def packages(self, reference: Reference) -> frozenset[str]:
        """Return the packages that a reference imports, besides those of the project."""
        return self._packages.get(reference.source, frozenset()) | {reference.library}

    def library_of(self, name: str, files: Mapping[str, str]) -> str:
        """Return the library of one of several resource files; empty if nobody knows it."""
        try:
            found = self.compile(name, files.get(name, ""))
        except ProjectError:
            return ""
        return found.library if found is not None else ""

    def trained(self, library: str) -> str:
        """Return the format in which a library keeps a network that was trained."""
        found: Library = registry.create("libraries", library)
        return found.trained

    def start_up(self) -> dict[str, tuple[str, CodeFile]]:
        """Return by library the path in `code/` and the source of what ranks run first."""
        found = {}
        for library, objects in self._objects.items():
            if text := self._first(library, tuple(objects)):
                search = dict.fromkeys(folder for one in objects.values() for folder in one.search)
                path = f"{START_UP}/start_up_{re.sub(r'[^A-Za-z0-9_]', '_', library)}.py"
                found[library] = (path, code_file(f"{_search(search)}{text}".encode()))
        return found

    def _first(self, library: str, objects: tuple[str, ...]) -> str:
        """Return what a library wants to be run first."""
        try:
            return str(registry.create("libraries", library).start_up(objects))
        except Exception as error:
            if library in registry.built_in("libraries"):  # a bug of ours
                raise
            self.faults.append(Fault(_failure(library, error), hint=_TELL))
            return ""


def _search(folders: Iterable[str]) -> str:
    """Return source that lets a rank import what lies in folders of `code/`."""
    return (
        "import sys as _sys\nfrom pathlib import Path as _Path\n\n"
        f"for _folder in {list(folders)!r}:\n"
        "    _folder = str(_Path(__file__).parents[1] / _folder)\n"
        "    if _folder not in _sys.path:\n"
        "        _sys.path.append(_folder)\n\n"
    )


def _compiled(data: bytes, source: str, files: ProjectFiles) -> tuple[str, Compiled]:
    """Return a resource file's library and what it becomes; InvalidInputError with faults."""
    document = load(data, source)
    value = document.value()
    if not isinstance(value, dict):
        hint = "it begins with library: NAME"
        raise InvalidInputError([document.fault("expected a mapping", hint=hint)])
    if "library" not in value:
        hint = f"write library: and one of {', '.join(sorted(registry.known('libraries')))}"
        raise InvalidInputError([document.fault("'library' is missing", hint=hint)])
    library = value["library"]
    if not isinstance(library, str) or not library:
        raise InvalidInputError([document.fault(f"{shown(library)} is no library", ("library",))])
    try:
        compiler: Library = registry.create("libraries", library)
        return library, compiler.compile(data.decode(), source, files)
    except InvalidInputError:
        raise
    except UsageError as error:
        fault = document.fault(error.message, ("library",), hint=error.hint)
        raise InvalidInputError([fault]) from error
    except Exception as error:
        if library in registry.built_in("libraries"):  # a bug of ours
            raise
        message = _failure(library, error)
        raise InvalidInputError([document.fault(message, ("library",), hint=_TELL)]) from error


def _failure(library: str, error: Exception) -> str:
    return f"the library {library!r} failed: {type(error).__name__}: {error}"
