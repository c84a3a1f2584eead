"""Which code an operation is: its own, and what that names in its module and in the project.

Without comments, docstrings and layout. What a module does when it is imported always counts; a
module that is handed around or imported by `*` counts whole; and code that may reach names in ways
that cannot be followed (`reflection`) makes all modules that it imports count, as written; code
that unpickles may use any of their classes, so they count whole.
Statements are compared by their syntax trees, in a form that does not depend on the version of
Python that reads them.
"""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from deepforge_hpc.pipeline.effects import Effects, is_main, is_type_checking
from deepforge_hpc.pipeline.reflection import Chain, literal_import, opens, text_names, unpickles
from deepforge_hpc.pipeline.syntax import children, nodes, statements
from deepforge_hpc.runtime.base.files import canonical_json, digest


@dataclass(frozen=True, slots=True, kw_only=True, order=True)
class Piece:
    """A statement of a module, or one name of an import."""

    path: str
    """Of the file, below `code/`."""
    line: int
    sha256: str


@dataclass(slots=True, kw_only=True, eq=False)
class _Statement:
    piece: Piece
    names: frozenset[str]
    """What it binds in the module."""
    uses: frozenset[Chain] = frozenset()
    inner: dict[str, list[Chain]] = field(default_factory=dict)
    """Imports inside it: name -> what it may stand for: a `try` has several for one name."""
    members: frozenset[Chain] = frozenset()
    """What its classes import: attributes of theirs, which are used by no name."""
    target: Chain = ()
    """Of an import: what its one name stands for."""
    is_effect: bool = False
    """It does something when the module is imported, besides binding its names."""


@dataclass(slots=True, kw_only=True, eq=False)
class Module:
    """A parsed file of the project."""

    path: Path
    whole: Piece
    """Its bytes."""
    statements: list[_Statement] = field(default_factory=list)
    by_name: dict[str, list[_Statement]] = field(default_factory=dict)
    loads: list[Chain] = field(default_factory=list)
    """All that its top imports, in order."""
    stars: list[Chain] = field(default_factory=list)


def read_module(
    body: list[ast.stmt],
    effects: Effects,
    path: Path,
    whole: Piece,
    absolute: Callable[[ast.ImportFrom], str | None],
    *,
    is_main: bool = False,
) -> Module:
    """Split a file into statements; `absolute` names what a `from` imports from, in full.

    `is_main`: it is run as a program.
    """
    module = Module(path=path, whole=whole)
    try:
        _ModuleReader(module, absolute, effects, runs_main=is_main).read(body)
    except RecursionError:  # a tower of brackets: then the file is one
        module.statements[:] = [_Statement(piece=whole, names=frozenset(), is_effect=True)]
    for statement in module.statements:
        for name in statement.names:
            module.by_name.setdefault(name, []).append(statement)
    return module


class _ModuleReader:
    def __init__(
        self,
        module: Module,
        absolute: Callable[[ast.ImportFrom], str | None],
        effects: Effects,
        *,
        runs_main: bool,
    ) -> None:
        self.module = module
        self.absolute = absolute
        self.effects = effects
        self.runs_main = runs_main

    def read(self, body: list[ast.stmt]) -> None:
        for node in body:
            if isinstance(node, (ast.Import, ast.ImportFrom)):
                self._import(node)
            elif isinstance(node, ast.If) and self._never_holds(node.test):
                self.read(node.orelse)
            elif not _is_docstring(node):
                self._statement(node)

    def _never_holds(self, test: ast.expr) -> bool:
        return is_type_checking(test) or (is_main(test) and not self.runs_main)

    def _import(self, node: ast.Import | ast.ImportFrom) -> None:
        for name, target, loaded in self._aliases(node):
            self.module.loads.append(loaded)
            if name == "*":
                self.module.stars.append(loaded)
                continue
            piece = self._piece(node, ["import", name, *target])
            statement = _Statement(piece=piece, names=frozenset({name}), target=target)
            self.module.statements.append(statement)

    def _aliases(self, node: ast.AST) -> Iterator[tuple[str, Chain, Chain]]:
        """Yield of each name of an import what it stands for, and what is loaded for it."""
        node = literal_import(node, self.effects.names) or node
        if isinstance(node, ast.Import):
            for alias in node.names:
                loaded = tuple(alias.name.split("."))
                yield alias.asname or loaded[0], loaded if alias.asname else loaded[:1], loaded
        elif isinstance(node, ast.ImportFrom):
            base = self.absolute(node)
            for alias in node.names if base is not None else []:
                parts = tuple(filter(None, (base or "").split(".")))
                target = parts if alias.name == "*" else (*parts, alias.name)
                yield alias.asname or alias.name, target, target

    def _statement(self, node: ast.stmt) -> None:
        inner: dict[str, list[Chain]] = {}
        names = set(_bound(node))
        at_top = not isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef))
        for child in nodes(node):
            if not isinstance(child, _IMPORTING):
                continue
            for name, target, loaded in self._aliases(child):
                if name == "*":
                    self.module.stars.append(loaded)
                else:
                    inner.setdefault(name, []).append(target)
                if at_top:  # of a class, or in a `try`
                    self.module.loads.append(loaded)
                    names |= {name} - {"*"}
        self.module.statements.append(
            _Statement(
                piece=self._piece(node, _shape(node)),
                names=frozenset(names),
                uses=frozenset(_uses(node)),
                inner=inner,
                members=frozenset(self._members(node)),
                is_effect=self.effects.has(node) or "__getattr__" in names,  # it answers imports
            )
        )

    def _members(self, node: ast.stmt) -> Iterator[Chain]:
        for one in nodes(node):
            if isinstance(one, ast.ClassDef):
                for child in statements(one, own=True):
                    if isinstance(child, (ast.Import, ast.ImportFrom)):
                        yield from (target for _, target, _ in self._aliases(child))

    def _piece(self, node: ast.stmt, shape: object) -> Piece:
        sha256 = digest(canonical_json(shape))
        first = min([node.lineno, *(item.lineno for item in getattr(node, "decorator_list", ()))])
        return Piece(path=self.module.whole.path, line=first, sha256=sha256)


class Reach:
    """Follows names from an operation to all that it depends on."""

    def __init__(self, find: Callable[[Chain], Module | None]) -> None:
        self._find = find
        self._loaded: dict[Path, Module] = {}
        self._whole: set[Path] = set()
        self._seen: set[int] = set()
        self._todo: list[tuple[Module, _Statement]] = []
        self._pieces: set[Piece] = set()
        self._followed: set[tuple[Chain, int]] = set()
        self._unbound = self._unpickles = False
        self.outside: set[str] = set()
        """Top packages outside of the project that are imported."""

    def pieces(self, module: Module, name: str) -> tuple[Piece, ...]:
        """Return what the operation `name` of a module is, by file and in order."""
        self._load(module)
        self._name(module, name, ())
        while self._todo:
            self._look_into(*self._todo.pop())
        return tuple(sorted(self._pieces))

    def program(self, module: Module) -> tuple[Piece, ...]:
        """Return what a module is that is run as a program: all of it, and what that names."""
        self._all(module)
        while self._todo:
            self._look_into(*self._todo.pop())
        return tuple(sorted(self._pieces))

    def _load(self, module: Module) -> None:
        """Take in what an import of the module runs."""
        if module.path in self._loaded:
            return
        self._loaded[module.path] = module
        for chain in module.loads:
            self._load_chain(chain)
        for chain in module.stars:
            self._open_by(chain)
            if (found := self._find(chain)) is not None:
                self._all(found)
        for statement in module.statements:
            if statement.is_effect:
                self._take(module, statement)
        if self._unbound or self._unpickles:
            self._all(module, with_text=self._unbound)

    def _load_chain(self, chain: Chain) -> tuple[Module | None, Chain]:
        """Load all modules on the way; return the last, and what is left of the name."""
        last, rest = None, chain
        for length in range(1, len(chain) + 1):
            if (module := self._find(chain[:length])) is not None:
                self._load(module)
                last, rest = module, chain[length:]
        if last is None and chain:
            self.outside.add(chain[0])
        return last, rest

    def _follow_in_packages(self, chain: Chain, imported: int) -> None:
        """Take in what packages on the way bind: it hides a module of the same name.

        Not on the way to the module that an import names, `imported` parts: these are files. Else
        `from .bar import bar` in a package would lead to itself, by ever longer names.
        """
        for length in range(max(1, imported), len(chain)):
            if (package := self._find(chain[:length])) is not None:
                self._name(package, chain[length], chain[length + 1 :])

    def _all(self, module: Module, *, with_text: bool = False) -> None:
        """Take in the whole module; `with_text`: its comments and docstrings too."""
        if with_text:
            self._pieces.add(module.whole)
        if module.path not in self._whole:
            self._whole.add(module.path)
            self._load(module)
            for statement in module.statements:
                self._take(module, statement)
                if statement.target:
                    self._follow(statement.target, is_used=False)

    def _take(self, module: Module, statement: _Statement) -> None:
        if id(statement) not in self._seen:
            self._seen.add(id(statement))
            self._todo.append((module, statement))

    def _look_into(self, module: Module, statement: _Statement) -> None:
        self._pieces.add(statement.piece)
        for chain in statement.uses:
            if chain[0] == "__doc__":
                self._all(module, with_text=True)
            self._open_by(chain)
            for target in statement.inner.get(chain[0], ()):
                self._follow(target, chain[1:])
            self._name(module, chain[0], chain[1:])
        for target in statement.members:
            self._follow(target)
        for targets in statement.inner.values():
            for target in targets:
                self._load_chain(target)

    def _name(self, module: Module, name: str, attributes: Chain) -> None:
        for statement in module.by_name.get(name, ()):
            self._take(module, statement)
            for target in [statement.target] if statement.target else statement.inner.get(name, ()):
                self._follow(target, attributes)

    def _open_by(self, chain: Chain) -> None:
        """Take in all modules, as they are written, if a full dotted name may lead anywhere."""
        if not self._unbound and opens(chain):
            self._unbound = True
            for loaded in list(self._loaded.values()):
                self._all(loaded, with_text=True)
        if not self._unpickles and unpickles(chain):
            self._unpickles = True
            for loaded in list(self._loaded.values()):
                self._all(loaded)

    def _follow(self, target: Chain, attributes: Chain = (), *, is_used: bool = True) -> None:
        """Take in what an import stands for; not `is_used`: only its module may use it."""
        chain, imported = (*target, *attributes), len(target) - 1
        if is_used:
            self._open_by(chain)
        if (chain, imported) in self._followed:
            return
        self._followed.add((chain, imported))
        module, rest = self._load_chain(chain)
        if module is None:
            return
        self._follow_in_packages(chain, imported)
        if not rest or rest[0] not in module.by_name:
            # The module itself is handed around, or makes its names as it runs.
            self._all(module)


_IMPORTING = (ast.Import, ast.ImportFrom, ast.Call)


def _bound(node: ast.stmt) -> Iterator[str]:
    """Yield the names that a statement binds in its module."""
    if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
        yield node.name
        return
    for child in nodes(node):
        if isinstance(child, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
            yield child.name
        elif isinstance(child, ast.Name) and isinstance(child.ctx, (ast.Store, ast.Del)):
            yield child.id


def _uses(node: ast.AST) -> Iterator[Chain]:
    """Yield the dotted names in a statement, each at its longest."""
    todo = [node]
    while todo:
        child = todo.pop()
        if isinstance(child, ast.Attribute):
            chain: list[str] = []
            inner: ast.expr = child
            while isinstance(inner, ast.Attribute):
                chain.append(inner.attr)
                inner = inner.value
            if isinstance(inner, ast.Name):
                yield (inner.id, *reversed(chain))
                continue
            yield ("", *reversed(chain))
            todo.append(inner)
        elif isinstance(child, ast.Name):
            if isinstance(child.ctx, ast.Load):
                yield (child.id,)
        elif isinstance(child, ast.AugAssign) and isinstance(child.target, ast.Name):
            yield (child.target.id,)
            todo.append(child.value)
        else:
            yield from text_names(child)
            todo += _parts(child)


def _parts(node: ast.AST) -> Iterable[ast.AST]:
    """Return what is looked at in a node: not words about the code, nor the `vars` of `vars(x)`."""
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.args:
        return node.args if node.func.id == "vars" else children(node)
    return () if _is_docstring(node) else children(node)


def _is_docstring(node: ast.AST) -> bool:
    return (
        isinstance(node, ast.Expr)
        and isinstance(node.value, ast.Constant)
        and isinstance(node.value.value, str)
    )


_UNSHAPED = frozenset({"kind", "type_comment", "ctx", "type_ignores"})


def _shape(node: object) -> object:
    """Return a syntax tree as JSON data: what is empty is left out, and so are docstrings."""
    if isinstance(node, ast.AST):
        fields: list[object] = [type(node).__name__]
        for name, value in ast.iter_fields(node):
            if name in _UNSHAPED or value is None or value == []:
                continue
            body: Iterable[object] = value
            if name == "body" and isinstance(value, list):
                body = [item for item in value if not _is_docstring(item)]
            fields.append([name, _shape(body)])
        return fields
    if isinstance(node, (list, tuple)):
        return [_shape(item) for item in node]
    return node if isinstance(node, (str, bool)) else [type(node).__name__, repr(node)]
