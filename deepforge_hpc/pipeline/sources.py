"""Python files of operations, each parsed once, and what they import inside the project."""

from __future__ import annotations

import ast
import os
import sys
import warnings
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from deepforge_hpc.errors import Fault
from deepforge_hpc.files.faults import meant, nearest
from deepforge_hpc.files.project import Project, ProjectError, read_bounded
from deepforge_hpc.pipeline.code_origin import (
    FROZEN,
    OWN,
    CodeOrigin,
    base_of,
    followed,
    imported_from,
    library,
)
from deepforge_hpc.pipeline.effects import is_main, is_type_checking
from deepforge_hpc.pipeline.interface import OperationCode
from deepforge_hpc.pipeline.operation import ParsedModule, module_statements, read_operation
from deepforge_hpc.pipeline.reach import Module, Piece, Reach, read_module
from deepforge_hpc.pipeline.reflection import Chain, literal_import
from deepforge_hpc.pipeline.snapshot import LIBRARY, PROJECT, CodeFile, code_file
from deepforge_hpc.pipeline.syntax import children
from deepforge_hpc.runtime.base.files import canonical_json, digest

_LISTED = "`dfh operations list` shows those of the library"
_MAX_IMPORTS = 5
"""Modules on the way from the one that `uses:` names to the one that defines it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FoundOperation:
    """An operation's code and the files that it needs."""

    code: OperationCode
    module: str
    search: tuple[str, ...]
    sha256: str
    """Of what the operation is: `pieces`."""
    pieces: tuple[Piece, ...]
    packages: frozenset[str]
    """Top packages outside of the project that its code imports."""
    is_sound: bool
    """False if the code has faults: its arguments are known, its outputs may not be."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FoundScript:
    """A file that is run as a program; the fields are those of `FoundOperation`."""

    module: str
    search: tuple[str, ...]
    pieces: tuple[Piece, ...]
    packages: frozenset[str]
    place: str
    """file:line"""


@dataclass(frozen=True, slots=True, kw_only=True)
class FoundObject:
    """A class or function of the project that a resource file names."""

    search: tuple[str, ...]
    sha256: str
    packages: frozenset[str]


class Sources:
    """Reads operations; collects their files and faults."""

    def __init__(self, project: Project, formats: Collection[str]) -> None:
        self.project = project
        self.files: dict[str, CodeFile] = {}
        self.faults: list[Fault] = []
        self._formats = formats
        self._parsed: dict[str, ParsedModule | None] = {}
        self._found: dict[str, FoundOperation | None] = {}
        self._resolved: dict[tuple[tuple[Path, ...], str], tuple[Path, ...]] = {}
        self._closures: dict[tuple[str, Path], bool] = {}
        self._split: dict[str, Module | None] = {}
        self._named: dict[tuple[tuple[Path, ...], Chain], Module | None] = {}

    def find(self, uses: str) -> FoundOperation | None:
        """Return what `uses:` names; None if its arguments are unreadable; ProjectError if gone."""
        if uses not in self._found:
            self._found[uses] = None
            self._found[uses] = self._find(uses)
        return self._found[uses]

    def keep_library(self, module: str) -> None:
        """Keep the source of an installed module, and what it imports of its own package."""
        self._closure(library(module))

    def defining(self, uses: str) -> tuple[CodeOrigin, ParsedModule | None]:
        """Return the file that defines what `uses:` names; ProjectError if none does."""
        where, _, name = uses.rpartition(":")
        origin = self._file(where) if where.endswith(".py") else self._defining(where, name)
        return origin, self._defined(where, name, origin)

    def _find(self, uses: str) -> FoundOperation | None:
        origin, parsed = self.defining(uses)
        name = uses.rpartition(":")[2]
        if parsed is None:
            return None
        code, faults = read_operation(parsed, name, self._formats)
        self.faults += faults
        if code is None:
            return None
        reached, pieces = self._reached(name, origin)
        return FoundOperation(
            code=code,
            module=origin.code_path(origin.path),
            search=reached.search,
            sha256=reached.sha256,
            pieces=pieces,
            packages=reached.packages,
            is_sound=not faults,
        )

    def find_object(self, name: str) -> FoundObject:
        """Keep what `MODULE:Name` needs and return what is known of it; ProjectError if gone."""
        where, _, attribute = name.partition(":")
        is_own = where.partition(".")[0] == OWN.top
        origin = self._defining(where, attribute) if is_own else self._in_project(where)
        if self._defined(where, attribute, origin) is None:
            return FoundObject(search=(), sha256="", packages=frozenset())
        for path, of in self._modules([where], origin):
            self._closure(replace(of, path=path))
        return self._reached(attribute, origin)[0]

    def _in_project(self, module: str) -> CodeOrigin:
        """Return where a module of the project lies, which any of its code could import."""
        root, parts = self.project.root, module.split(".")
        search = tuple(dict.fromkeys((self.project.folder, root)))
        for folder in search:
            here = folder.joinpath(*parts)
            for path in (here.with_name(f"{parts[-1]}.py"), here / "__init__.py"):
                if path.is_file():
                    origin = CodeOrigin(path=path, base=root, prefix=PROJECT, search=search)
                    return replace(origin, path=self._checked(path, origin))
        message = f"the project has no module {module!r}"
        raise ProjectError(message, f"looked for {'/'.join(parts)}.py in {self.project.folder}")

    def _defined(self, where: str, name: str, origin: CodeOrigin) -> ParsedModule | None:
        """Return the file that defines a name; None if it cannot be read, ProjectError if not."""
        parsed = self._parse(origin.path, origin)
        if parsed is not None and name not in parsed.definitions:
            message = f"{where!r} has no class or function {name!r} at its top"
            known = (*parsed.definitions, *_of_package(parsed, origin))
            is_own = where == f"{OWN.top}.operations"
            hint = (meant(name, known) or _LISTED) if is_own else nearest(name, known)
            if imported := parsed.imports.get(name) or parsed.imports.get("*"):
                hint = f"if it comes from {imported}, name the file that defines it"
            raise ProjectError(message, hint)
        return parsed

    def _reached(self, name: str, origin: CodeOrigin) -> tuple[FoundObject, tuple[Piece, ...]]:
        """Keep all that a class or function needs, and return what it is."""
        has_own = self._closure(origin)
        module = self._module(origin.path, origin)
        reach = Reach(lambda chain: self._module_named(chain, origin))
        pieces = reach.pieces(module, name) if module is not None else ()
        found = FoundObject(
            search=tuple(dict.fromkeys((*origin.code_search(), *([LIBRARY] if has_own else [])))),
            sha256=digest(canonical_json([[piece.path, piece.sha256] for piece in pieces])),
            packages=frozenset(reach.outside - ({OWN.top} if has_own else set())),
        )
        return found, pieces

    def script(self, text: str, *, is_whole: bool = True) -> FoundScript | None:
        """Return a file of the project that is run as a program; None of one with faults.

        `is_whole`: by itself, not by a program that finds something in it.
        """
        origin = self._file(text)
        parsed = self._parse(origin.path, origin)
        if parsed is None:
            return None
        if is_whole and not _does_something(parsed):
            hint = ", ".join(sorted(parsed.definitions)[:12])
            message = f"{text!r} only defines names: run as a program it does nothing"
            raise ProjectError(message, f"write {text}:NAME; it defines {hint}" if hint else "")
        has_own = self._closure(origin)
        name = origin.code_path(origin.path)
        module = read_module(
            parsed.tree.body,
            parsed.effects,
            origin.path,
            Piece(path=name, line=1, sha256=self.files[name].sha256),
            lambda node: base_of(node, origin.path, origin),
            is_main=True,
        )
        reach = Reach(lambda chain: self._module_named(chain, origin))
        return FoundScript(
            module=name,
            search=(*origin.code_search(), *([LIBRARY] if has_own else [])),
            pieces=reach.program(module),
            packages=frozenset(reach.outside - ({OWN.top} if has_own else set())),
            place=f"{parsed.file}:1",
        )

    def data(self, text: str) -> Piece:
        """Keep a file of the project that a program reads; return it."""
        path = self.project.inside(text)
        name = f"{PROJECT}/{self.project.relative(path)}"
        if name not in self.files:
            self.files[name] = code_file(read_bounded(path, text), path)
        return Piece(path=name, line=1, sha256=self.files[name].sha256)

    def _file(self, text: str) -> CodeOrigin:
        path = self.project.inside(text)
        search = dict.fromkeys((path.parent, self.project.root))
        return CodeOrigin(path=path, base=self.project.root, prefix=PROJECT, search=tuple(search))

    def _defining(self, where: str, name: str) -> CodeOrigin:
        """Return the module of a package that defines what another one of it only imports."""
        origin = library(where)
        for _ in range(_MAX_IMPORTS):
            parsed = self._parse(origin.path, origin)
            if parsed is None or name in parsed.definitions:
                break
            base = imported_from(module_statements(parsed.tree.body), name, origin)
            if followed(base, origin) is None:
                break
            origin = library(base)
        return origin

    def _parse(self, path: Path, origin: CodeOrigin) -> ParsedModule | None:
        """Return a parsed file, and keep its bytes for the snapshot."""
        code_path = origin.code_path(path)
        if code_path in self._parsed:
            return self._parsed[code_path]
        shown_path = os.path.relpath(path)
        shown_path = str(path) if shown_path.startswith("..") else shown_path
        data = read_bounded(FROZEN.get(path, path), shown_path)
        self.files[code_path] = code_file(data, path)
        self._parsed[code_path] = None
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # of invalid escapes: the job will show them
                tree = ast.parse(data)
                # Finds what the grammar alone allows: two arguments of one name, a stray return.
                compile(tree, shown_path, "exec", dont_inherit=True)
            self._parsed[code_path] = ParsedModule(tree, shown_path)
        except SyntaxError as error:
            message = f"not valid Python: {error.msg}"
            line, column = max(error.lineno or 0, 0), max(error.offset or 0, 0)
            hint = f"read by the Python {sys.version_info[0]}.{sys.version_info[1]} that runs dfh"
            fault = Fault(message=message, file=shown_path, line=line, column=column, hint=hint)
            self.faults.append(fault)
        except (ValueError, RecursionError, MemoryError) as error:
            message = f"not valid Python: {error or type(error).__name__}"
            self.faults.append(Fault(message=message, file=shown_path))
        return self._parsed[code_path]

    def _module(self, path: Path, origin: CodeOrigin) -> Module | None:
        """Return a file split into statements; None of one that cannot be read."""
        name = origin.code_path(path)
        if name not in self._split:
            parsed = self._parse(path, origin)
            whole = Piece(path=name, line=1, sha256=self.files[name].sha256)
            self._split[name] = None
            if parsed is not None:
                self._split[name] = read_module(
                    parsed.tree.body,
                    parsed.effects,
                    path,
                    whole,
                    lambda node: base_of(node, path, origin),
                )
        return self._split[name]

    def _module_named(self, chain: Chain, origin: CodeOrigin) -> Module | None:
        """Return the module of a dotted name, if it lies where the operation's code does."""
        key = (origin.search, chain)
        if key not in self._named:
            self._named[key] = None
            found = dict(self._modules([".".join(chain)], origin))
            of = next(iter(found.values()), origin)
            for folder in of.search if found else ():
                here = folder.joinpath(*chain)
                for path in (here / "__init__.py", here.with_name(f"{chain[-1]}.py")):
                    real = Path(os.path.realpath(path))
                    if real in found and self._named[key] is None:
                        self._named[key] = self._module(real, of)
        return self._named[key]

    def _closure(self, origin: CodeOrigin) -> bool:
        """Keep all that a file imports from inside its base; tell whether that is of ours too."""
        key = (origin.prefix, origin.path)
        if key not in self._closures:
            todo = [(origin.path, origin)]
            seen = set(todo)
            while todo:
                path, of = todo.pop()
                parsed = self._parse(path, of)
                names = [] if parsed is None else _imports(parsed, path, of)
                for found in self._modules(names, of):
                    if found not in seen:
                        seen.add(found)
                        todo.append(found)
            self._closures[key] = any(of == OWN for _, of in seen)
        return self._closures[key]

    def _modules(
        self, names: Iterable[str], origin: CodeOrigin
    ) -> Iterator[tuple[Path, CodeOrigin]]:
        """Yield the files behind some imports, and where each lies."""
        for name in names:
            of = followed(name, origin)
            if of is None:
                continue
            key = (of.search, name)
            if key not in self._resolved:
                self._resolved[key] = tuple(self._resolve(name, of))
            yield from ((path, of) for path in self._resolved[key])

    def _resolve(self, name: str, origin: CodeOrigin) -> Iterator[Path]:
        """Yield the files that make a module importable: packages on the way, and itself."""
        parts = name.split(".")
        for folder in origin.search:
            here = folder
            files = []
            for part in parts:
                module, package = here / f"{part}.py", here / part
                if package.is_dir() and (package / "__init__.py").is_file():
                    files.append(package / "__init__.py")
                elif module.is_file():
                    files.append(module)
                    break
                elif not package.is_dir():
                    break
                here = package
            if files:
                for file in files:
                    yield self._checked(file, origin)
                return

    def _checked(self, path: Path, origin: CodeOrigin) -> Path:
        real = Path(os.path.realpath(path))
        if not real.is_relative_to(origin.base):
            message = f"the imported module {str(path)!r} leaves the project by a link to {real}"
            raise ProjectError(message, "copy the file into the project")
        if real != path:
            # The job imports it under the name of the link.
            self.files[origin.code_path(path)] = code_file(read_bounded(real, str(path)), path)
        return real


def _of_package(parsed: ParsedModule, origin: CodeOrigin) -> Iterator[str]:
    """Yield the names that a module only imports, and that its own package defines."""
    for name, imported in parsed.imports.items():
        if origin.top and imported.partition(".")[0] == origin.top:
            yield name


def _does_something(parsed: ParsedModule) -> bool:
    """Tell whether a file does more than define names when it is run."""
    return any(
        parsed.effects.has(node) or (isinstance(node, ast.If) and is_main(node.test))
        for node in parsed.tree.body
    )


def _imports(parsed: ParsedModule, path: Path, origin: CodeOrigin) -> Iterator[str]:
    """Yield the absolute names of all that a file imports, anywhere but for type checkers."""
    todo: list[ast.AST] = [parsed.tree]
    while todo:
        node = todo.pop()
        if isinstance(node, ast.If) and is_type_checking(node.test):
            todo += node.orelse
        else:
            todo += children(node)
        if isinstance(node, ast.Call):
            node = literal_import(node, parsed.effects.names) or node
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield alias.name
        elif isinstance(node, ast.ImportFrom):
            base = base_of(node, path, origin)
            if base is None:
                continue
            for alias in node.names:
                yield f"{base}.{alias.name}".strip(".") if alias.name != "*" else base
