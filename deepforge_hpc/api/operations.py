"""The operations that a pipeline can use: those of the library, and the project's own."""

from __future__ import annotations

import ast
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from deepforge_hpc.errors import Fault, InvalidInputError, UsageError
from deepforge_hpc.model.json_result import JsonResult
from deepforge_hpc.pipeline.file import OPERATIONS
from deepforge_hpc.runtime.base.layout import LAYOUT

if TYPE_CHECKING:
    from deepforge_hpc.pipeline.interface import OperationCode, Parameter, Port
    from deepforge_hpc.pipeline.sources import Sources

_MOST_FILES = 2_000
"""Of a folder, with the folders below it, that are looked at."""
_ARGUMENT = re.compile(r"    (\w+): (.+)")


class ListedOperation(NamedTuple):
    """One line of the list."""

    name: str
    uses: str
    """As a pipeline file says it."""
    about: str
    """First sentence of its documentation."""
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class ListedOperations(JsonResult, schema="dfh/operations/1"):
    """The library, and what the folder has of its own."""

    library: tuple[ListedOperation, ...]
    project: tuple[ListedOperation, ...]


class DocumentedValue(NamedTuple):
    """An attribute, a reference, an input or an output."""

    name: str
    kind: str
    """What it may be: a format's id, or `int >= 1`."""
    default: Any
    """Only told if it is not needed, and JSON can hold it."""
    is_needed: bool
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class OperationDocumentation(JsonResult, schema="dfh/operation-doc/1"):
    """All that is said of an operation."""

    name: str
    uses: str
    module: str
    """Where Python imports it from; empty of a file."""
    place: str
    text: str
    """Without what it says of single values, and without the example."""
    example: str
    """Lines of Python with what they print; may be empty."""
    inputs: tuple[DocumentedValue, ...]
    attributes: tuple[DocumentedValue, ...]
    references: tuple[DocumentedValue, ...]
    outputs: tuple[DocumentedValue, ...]


def list_operations(folder: Path) -> ListedOperations:
    """Return the operations of the library, and those that lie in files below a folder."""
    sources = _sources(folder)
    return ListedOperations(
        library=tuple(_listed(sources, f"{OPERATIONS}:{name}") for name in library_names()),
        project=tuple(_listed(sources, uses) for uses in _own(folder)),
    )


def document(name: str, folder: Path) -> OperationDocumentation:
    """Return what is said of an operation: NAME of the library or of the folder, or as `uses:`.

    Raises UsageError with the nearest name, and InvalidInputError if its code has faults.
    """
    from deepforge_hpc.files.project import ProjectError

    uses = name
    if ":" not in name:
        library = library_names()
        uses = f"{OPERATIONS}:{name}" if name in library else _own_named(name, folder, library)
    try:
        return _documented(_sources(folder), uses)
    except ProjectError as error:
        raise UsageError(str(error), error.hint) from error


def _own_named(name: str, folder: Path, library: list[str]) -> str:
    """Return `FILE.py:NAME` of a class of the folder."""
    from deepforge_hpc.files.faults import meant, shown

    own = list(_own(folder))
    named = [one for one in own if one.rpartition(":")[2] == name]
    if len(named) > 1:
        raise UsageError(f"{shown(name)} is in several files", f"one of {', '.join(named)}")
    if not named:
        hint = meant(name, {*library, *(one.rpartition(":")[2] for one in own)})
        hint = hint or "`dfh operations list` shows what there is"
        raise UsageError(f"there is no operation {shown(name)}", hint)
    return named[0]


def library_names() -> list[str]:
    """Return the names of the library's operations, sorted."""
    from deepforge_hpc.pipeline.code_origin import library

    tree = ast.parse(library(OPERATIONS).path.read_bytes())
    return sorted(
        alias.name
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith(f"{OPERATIONS}.")
        for alias in node.names
    )


def _own(folder: Path) -> Iterator[str]:
    """Yield `FILE.py:Class` of each class with a method `execute` below a folder."""
    for path in _files(folder):
        if b"def execute(" not in (data := path.read_bytes()):
            continue
        try:
            tree = ast.parse(data)
        except (SyntaxError, ValueError, RecursionError, MemoryError):
            continue  # `dfh check` says what is wrong with it, once it is used
        for node in tree.body:
            if isinstance(node, ast.ClassDef) and any(
                isinstance(item, ast.FunctionDef) and item.name == "execute" for item in node.body
            ):
                yield f"{path.relative_to(folder).as_posix()}:{node.name}"


def _files(folder: Path) -> Iterator[Path]:
    """Yield Python files below a folder; not of executions, environments and hidden folders."""
    from deepforge_hpc.pipeline.snapshot import MAX_BYTES

    left = _MOST_FILES
    for here, folders, files in os.walk(folder):
        left -= 1
        if {"pyvenv.cfg", LAYOUT.execution.name} & set(files):
            folders.clear()
            continue
        if left < 0:
            return
        folders[:] = sorted(one for one in folders if one[0] != "." and one != "__pycache__")
        for path in (Path(here, one) for one in sorted(files) if one.endswith(".py")):
            left -= 1
            if path.is_file() and not path.is_symlink() and path.stat().st_size <= MAX_BYTES:
                yield path


def _sources(folder: Path) -> Sources:
    from deepforge_hpc.files.project import Project
    from deepforge_hpc.paths import project_root
    from deepforge_hpc.pipeline.sources import Sources
    from deepforge_hpc.runtime.formats import FORMATS

    return Sources(Project(project_root(folder)[0], folder), FORMATS)


def _listed(sources: Sources, uses: str) -> ListedOperation:
    try:
        found = _documented(sources, uses)
    except InvalidInputError:
        return ListedOperation(uses.rpartition(":")[2], uses, "(its code has faults)", (), ())
    about = " ".join(found.text.partition("\n\n")[0].split())
    return ListedOperation(
        name=found.name,
        uses=uses,
        about=re.split(r"(?<=\.)\s|[.:;]$", about)[0].removesuffix("."),
        inputs=tuple(one.name for one in found.inputs),
        outputs=tuple(one.name for one in found.outputs),
    )


def _documented(sources: Sources, uses: str) -> OperationDocumentation:
    from deepforge_hpc.pipeline.operation import read_operation

    name = uses.rpartition(":")[2]
    origin, parsed = sources.defining(uses)
    code, faults = (None, sources.faults) if parsed is None else read_operation(parsed, name)
    if parsed is None or code is None or faults:
        raise InvalidInputError(faults or [Fault(f"{uses} cannot be read")])
    text, descriptions, example = _parts(ast.get_docstring(parsed.definitions[name]) or "")
    references = [one for one in code.parameters if _is_reference(one)]
    module = origin.path.relative_to(origin.base).with_suffix("").as_posix().replace("/", ".")
    return OperationDocumentation(
        name=name,
        uses=uses,
        module=module if origin.top else "",
        place=f"{code.file}:{code.line}",
        text=text,
        example=example,
        inputs=tuple(_value(one, descriptions, is_port=True) for one in code.inputs),
        attributes=tuple(
            _value(one, descriptions) for one in code.parameters if one not in references
        ),
        references=tuple(_value(one, descriptions, is_port=True) for one in references),
        outputs=_outputs(code, descriptions),
    )


def _outputs(code: OperationCode, descriptions: dict[str, str]) -> tuple[DocumentedValue, ...]:
    return tuple(
        DocumentedValue(port.name, _kind(port), None, True, descriptions.get(port.name, ""))
        for port in code.outputs
    )


def _kind(port: Parameter | Port) -> str:
    """Return the format of a port; of a network that was trained its library says which."""
    return f"as the library of {port.trained} keeps it" if port.trained else port.type


def _is_reference(parameter: Parameter) -> bool:
    """Tell whether an argument is what only a resource file can be, such as a network."""
    limit = parameter.constraint
    is_plain = bool(limit.types - {"None"}) or limit.enum is not None
    is_code = bool(parameter.annotation) and not is_plain  # of a class that no format keeps
    return is_code or (parameter.required and parameter.type not in {"any", "json", "text"})


def _value(
    parameter: Parameter, descriptions: dict[str, str], *, is_port: bool = False
) -> DocumentedValue:
    from deepforge_hpc.pipeline.interface import NO_DEFAULT

    kind = parameter.constraint.words()
    if is_port:
        member = parameter.member
        takes_list = parameter.type == "json" and member is not None
        kind = f"list of {member.type}" if takes_list and member else _kind(parameter)
    default = None if parameter.default is NO_DEFAULT else parameter.default
    return DocumentedValue(
        parameter.name, kind, default, parameter.required, descriptions.get(parameter.name, "")
    )


def _parts(docstring: str) -> tuple[str, dict[str, str], str]:
    """Return text, what it says of each value (`Args:`), and the example of a docstring."""
    before, _, example = docstring.partition("\n>>> ")
    before, _, rest = before.partition("\nArgs:\n")
    block, _, after = rest.partition("\n\n")
    descriptions: dict[str, str] = {}
    for line in block.splitlines():
        if found := _ARGUMENT.fullmatch(line):
            descriptions[found[1]] = found[2]
        elif descriptions:
            descriptions[next(reversed(descriptions))] += f" {line.strip()}"
    text = "\n\n".join(part.strip() for part in (before, after) if part.strip())
    return text, descriptions, f">>> {example}" if example else ""
