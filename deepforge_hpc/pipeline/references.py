"""References: resource files that a library compiles to code, each once."""

from __future__ import annotations

from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

from deepforge_hpc.errors import Fault, InvalidInputError, UsageError
from deepforge_hpc.files.faults import shown
from deepforge_hpc.files.project import Project, ProjectError, ProjectFiles, read_bounded
from deepforge_hpc.files.yaml12 import load
from deepforge_hpc.pipeline.snapshot import COMPILED, PROJECT, CodeFile, code_file
from deepforge_hpc.plugins import registry
from deepforge_hpc.runtime.base.plan import Reference

if TYPE_CHECKING:
    from deepforge_hpc.plugins.library import Compiled, Library


class References:
    """Compiles resource files; collects their files and faults."""

    def __init__(self, project: Project) -> None:
        self.project = project
        self.files: dict[str, CodeFile] = {}
        self.faults: list[Fault] = []
        self._compiled: dict[Path, Reference | None] = {}

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
        if compiled.objects:
            message = f"{', '.join(compiled.objects)}: code of the project is not in this version"
            self.faults.append(Fault(message=message, file=source))
            return None
        stem = PurePosixPath(source).with_suffix("").as_posix()
        module = f"{COMPILED}/{stem}.py"
        if module in self.files:
            message = f"another resource file has the name {stem!r} before its suffix"
            self.faults.append(Fault(message=message, file=source, hint="rename one of the two"))
            return None
        self.files[module] = code_file(compiled.code.encode())
        for name, (real, content) in {source: (path, data), **files.found}.items():
            self.files[f"{PROJECT}/{name}"] = code_file(content, real)
        return Reference("", library, source, module, self.files[module].sha256)


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
        message = f"the library {library!r} failed: {type(error).__name__}: {error}"
        hint = "report it to those who maintain the library"
        raise InvalidInputError([document.fault(message, ("library",), hint=hint)]) from error
