"""Where the code of an operation is found: in the project, or in a package where dfh runs."""

from __future__ import annotations

import ast
import importlib.machinery
import importlib.util
import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from deepforge_hpc.files.faults import shown
from deepforge_hpc.files.project import ProjectError
from deepforge_hpc.pipeline import frozen_package
from deepforge_hpc.pipeline.snapshot import LIBRARY


@dataclass(frozen=True, slots=True, kw_only=True)
class CodeOrigin:
    """Where `uses:` found an operation."""

    path: Path
    """Real path of the Python file."""
    base: Path
    """Nothing outside this folder is taken."""
    prefix: str
    """Folder of `base` below `code/`."""
    search: tuple[Path, ...]
    """Folders inside `base` whose modules the file can import, in order."""
    top: str = ""
    """Top package that imports are followed in; empty: all that lies in the search folders."""

    def code_path(self, path: Path) -> str:
        """Return the path below `code/` of a file."""
        return f"{self.prefix}/{path.relative_to(self.base).as_posix()}"

    def code_search(self) -> tuple[str, ...]:
        """Return the search folders below `code/`."""
        return tuple(self.code_path(folder).removesuffix("/.") for folder in self.search)


_PACKAGE = Path(os.path.realpath(__file__)).parents[1] / "__init__.py"
OWN = CodeOrigin(
    path=_PACKAGE,
    base=_PACKAGE.parents[1],
    prefix=LIBRARY,
    search=(_PACKAGE.parents[1],),
    top="deepforge_hpc",
)
FROZEN = {_PACKAGE: Path(frozen_package.__file__)}
"""A file -> the one that is frozen in its place."""


def followed(name: str, origin: CodeOrigin) -> CodeOrigin | None:
    """Return where an import is looked for; None if it is left to the environment of the job."""
    top, _, rest = name.partition(".")
    if top == OWN.top:
        return OWN if rest.partition(".")[0] in frozen_package.PARTS else None
    return origin if origin.top in ("", top) else None


def library(module: str) -> CodeOrigin:
    """Find the source of an installed module; only its top package is looked up, nothing runs."""
    parts = module.split(".")
    if not all(part.isidentifier() for part in parts):
        message = f"{shown(module)} is neither FILE.py nor the name of a module"
        raise ProjectError(message, "write FILE.py:Object or package.module:Object")
    if followed(module, OWN) is None and parts[0] == OWN.top:
        message = f"{module} is no library of operations"
        raise ProjectError(message, "write deepforge_hpc.operations:NAME")
    try:
        spec = importlib.util.find_spec(parts[0])
    except (ImportError, ValueError, AttributeError) as error:
        raise ProjectError(f"package {parts[0]!r} cannot be found: {error}") from error
    if spec is None or (spec.origin is None and not spec.submodule_search_locations):
        message = f"no package {parts[0]!r} is installed where dfh runs"
        raise ProjectError(message, "install it there, or name a file: FILE.py:Object")
    for folder in spec.submodule_search_locations or ():
        base = Path(os.path.realpath(folder)).parent
        for path in (
            base.joinpath(*parts).with_suffix(".py"),
            base.joinpath(*parts, "__init__.py"),
        ):
            if path.is_file():
                return CodeOrigin(
                    path=path, base=base, prefix=LIBRARY, search=(base,), top=parts[0]
                )
    if len(parts) == 1 and isinstance(spec.loader, importlib.machinery.SourceFileLoader):
        path = Path(os.path.realpath(spec.loader.path))
        return CodeOrigin(
            path=path, base=path.parent, prefix=LIBRARY, search=(path.parent,), top=parts[0]
        )
    raise ProjectError(f"package {parts[0]!r} has no source of a module {module!r}")


def imported_from(statements: Iterable[ast.stmt], name: str, origin: CodeOrigin) -> str:
    """Return the module that a file imports a name from as it is; empty if it does not.

    Also for type checkers alone: a package may give a name only once it is asked for.
    """
    for node in statements:
        if isinstance(node, ast.ImportFrom) and any(
            alias.name == name and not alias.asname for alias in node.names
        ):
            return base_of(node, origin.path, origin) or ""
    return ""


def base_of(node: ast.ImportFrom, path: Path, origin: CodeOrigin) -> str | None:
    """Return the absolute name of what is imported from; None if it lies outside."""
    if not node.level:
        return node.module or ""
    package = _package(path, node.level, origin)
    return None if package is None else f"{package}.{node.module or ''}".strip(".")


def _package(path: Path, level: int, origin: CodeOrigin) -> str | None:
    """Return the dotted package that a relative import starts from."""
    folder = path.parent
    for _ in range(level - 1):
        folder = folder.parent
    for base in reversed(origin.search):
        if folder.is_relative_to(base):
            return ".".join(folder.relative_to(base).parts)
    return None
