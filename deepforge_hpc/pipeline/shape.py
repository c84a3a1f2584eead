"""What values an annotation allows along an edge; the shapes of its two ends are compared.

A name is believed if it is a builtin, comes from typing, or is a NamedTuple, a TypedDict or an
alias of the same file. With any other a shape allows everything: an edge is never refused for what
is unknown.
"""

from __future__ import annotations

import ast
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

from deepforge_hpc.pipeline.annotation import (
    ANYTHING,
    MODULES_OF_TYPES,
    AnnotationError,
    Annotations,
    Constraint,
    expression,
    is_ellipsis,
    literal,
    shortened,
    type_arguments,
)

_BUILTINS = frozenset(
    {"int", "float", "bool", "str", "complex", "list", "tuple", "dict"}
    | {"set", "frozenset", "bytes", "bytearray"}
)
_NUMBERS = {"bool": {"int", "float", "complex"}, "int": {"float", "complex"}}
_TAKEN_FOR = {**_NUMBERS, "int": {"float", "complex", "bool"}, "float": {"int", "complex"}}
"""What a value of a kind may be taken for: as an output, `float` may be an int, and that a bool."""
_ALWAYS = {**_NUMBERS, "float": {"complex"}}
"""The same of what any value of a kind is taken for."""
_MOST = 5_000
"""Pairs that are compared of two annotations; each of two unions has thousands of members."""
_SETS = ("set", "frozenset", "Set", "FrozenSet", "AbstractSet", "MutableSet")
_ANY_MEMBERS = ("list", "dict", "str", "set", "bytes")
_KINDS = {
    **{name: (name,) for name in ("int", "float", "bool", "str", "complex")},
    **dict.fromkeys(("list", "List", "MutableSequence", "tuple", "Tuple"), ("list",)),
    **dict.fromkeys(("dict", "Dict", "Mapping", "MutableMapping"), ("dict",)),
    **dict.fromkeys(_SETS, ("set",)),
    **dict.fromkeys(("bytes", "bytearray"), ("bytes",)),
    **dict.fromkeys(("Iterable", "Collection", "Container", "Sized", "Reversible"), _ANY_MEMBERS),
    "Sequence": ("list", "str", "bytes"),
}
"""Name of a type -> the kinds of value that it stands for; a tuple is a list once it is kept."""
_WRAPPERS = frozenset({"Annotated", "Required", "NotRequired", "ReadOnly", "Final", "ClassVar"})


@dataclass(slots=True)
class _FitCheck:
    """Two annotations being compared."""

    taken_for: Mapping[str, set[str]]
    every: bool = False
    """Whether None, and lists of all lengths, have to fit, and not only one value."""
    left: int = _MOST


@dataclass(frozen=True, slots=True)
class Shape:
    """What an annotation allows: a value of one of several kinds."""

    text: str = ""
    kinds: tuple[ValueKind, ...] | None = None
    """None: anything."""

    def may_be(self, wanted: Shape) -> bool | None:
        """Tell whether a value of this may be one that is wanted; False only if none can be.

        None if there is too much to compare.
        """
        work = _FitCheck(_TAKEN_FOR)
        return self.fits(wanted, work) and (True if work.left > 0 else None)

    def is_narrowed_to(self, wanted: Shape) -> bool:
        """Tell whether only some values of this are such as are wanted: of float those of int."""
        return not self.fits(wanted, _FitCheck(_ALWAYS, every=True))

    def fits(self, wanted: Shape, work: _FitCheck) -> bool:
        """Tell the same, as long as some of the comparisons are left."""
        if self.kinds is None or wanted.kinds is None:
            return True
        names = {one.name for one in wanted.kinds}
        if work.every and "None" not in names and any(one.name == "None" for one in self.kinds):
            return False
        return any(one.fits(other, work) for one in self.kinds for other in wanted.kinds)

    def members(self) -> Shape | None:
        """Return what a member of a list of any length may be; None if this is no such list."""
        if self.kinds is None:
            return UNKNOWN
        lists = [one for one in self.kinds if one.name == "list" and one.parts is None]
        if any(one.items.kinds is None for one in lists):
            return UNKNOWN
        texts = dict.fromkeys(one.items.text for one in lists)
        kinds = [kind for one in lists for kind in one.items.kinds or ()]
        return Shape(" | ".join(texts), tuple(kinds)) if lists else None

    def part(self) -> Shape:
        """Return what a block of its rows is: a list has another length then."""
        if self.kinds is None or {kind.name for kind in self.kinds} != {"list"}:
            return self
        return replace(
            self, kinds=tuple(ValueKind("list", items=kind.items) for kind in self.kinds)
        )

    def gathered(self) -> Shape:
        """Return what the tasks of an array make of it: lists are chained, the rest is listed."""
        names = {kind.name for kind in self.kinds or ()}
        if names and "list" not in names:
            return Shape(f"list[{self.text}]", (ValueKind("list", items=self),))
        return self.part() if names == {"list"} else UNKNOWN

    @property
    def is_named_tuple(self) -> bool:
        """Whether its fields have names that a kept value has not."""
        return any(kind.is_named for kind in self.kinds or ())


UNKNOWN = Shape()


class _MemberShape(NamedTuple):
    shape: Shape
    required: bool = True


@dataclass(frozen=True, slots=True)
class ValueKind:
    """One kind of value: int, float, bool, str, None, list, dict, set, bytes or complex."""

    name: str
    limit: Constraint = ANYTHING
    """Of Literal and Annotated."""
    keys: Shape = UNKNOWN
    items: Shape = UNKNOWN
    """Each member of a list, each value of a dict."""
    parts: Mapping[int | str, _MemberShape] | None = None
    """Of a tuple of a fixed length its members, of a TypedDict its fields."""
    is_named: bool = False
    classes: tuple[str, ...] = ()
    """A TypedDict and what it extends."""

    def fits(self, wanted: ValueKind, work: _FitCheck) -> bool:
        """Tell whether a value of this may be one that is wanted; True once none is left."""
        work.left -= 1
        if work.left < 0:
            return True
        if wanted.name != self.name and wanted.name not in work.taken_for.get(self.name, ()):
            return False
        if not self._has_a_value_of(wanted, work) or self._lacks(wanted):
            return False
        is_fixed = wanted.parts is not None and not wanted.is_named  # a name is told by itself
        if work.every and self.name == "list" and self.parts is None and is_fixed:
            return False
        lengths = {len(one.parts) for one in (self, wanted) if one.parts is not None}
        if self.name == "list" and len(lengths) > 1:
            return False
        return all(one.fits(other, work) for one, other in self._pairs(wanted))

    def _has_a_value_of(self, wanted: ValueKind, work: _FitCheck) -> bool:
        """Tell whether what is said of the values leaves one."""
        if wanted.name == "bool" != self.name and self.limit.enum is not None:
            return False  # 1 is no bool
        for one, other in ((self, wanted), (wanted, self)):
            work.left -= len(one.limit.enum or ()) * len(other.limit.enum or ())
            values = one.limit.enum if work.left >= 0 else None
            if values is not None and not any(map(other.limit.allows, values)):
                return False
        return True

    def _lacks(self, wanted: ValueKind) -> bool:
        """Tell whether a TypedDict has no such field as is wanted, and is none that may have it."""
        if self.name != "dict" or None in (self.parts, wanted.parts):
            return False
        known, needed = self.parts or {}, wanted.parts or {}
        is_extended = self.classes[:1] == wanted.classes[:1] or self.classes[0] in wanted.classes
        return not is_extended and any(
            field.required and name not in known for name, field in needed.items()
        )

    def _pairs(self, wanted: ValueKind) -> Iterator[tuple[Shape, Shape]]:
        """Yield what has to fit for the members to fit."""
        yield self.keys, wanted.keys
        if self.parts is None and wanted.parts is None:
            yield self.items, wanted.items
        known = [parts for parts in (self.parts, wanted.parts) if parts is not None]
        for name in known[0] if known else ():
            one, other = self._part(name), wanted._part(name)
            if one and other and (one.required or other.required):
                yield one.shape, other.shape

    def _part(self, name: int | str) -> _MemberShape | None:
        return (
            _MemberShape(self.items, required=False) if self.parts is None else self.parts.get(name)
        )


_TEXT = Shape("str", (ValueKind("str"),))
_IN_JSON = ("int", "float", "bool", "str", "None", "list", "dict")
FILES = {"text": _TEXT, "json": Shape("json", tuple(map(ValueKind, _IN_JSON)))}
"""What a file of a format can be, if nobody says more."""
_BYTE = Shape("int", (ValueKind("int"),))


class Shapes:
    """Reads the shapes of the annotations of one file."""

    def __init__(
        self,
        annotations: Annotations,
        definitions: Mapping[str, ast.stmt],
        aliases: Mapping[str, ast.expr],
        *,
        in_class: bool = False,
    ) -> None:
        self._annotations = annotations
        self._definitions = definitions
        self._aliases = aliases
        self._kinds_of: dict[str, tuple[ValueKind, ...] | None] = {}
        """Alias -> its kinds, read once: others may name it many times, or it itself."""
        self._in_class = in_class
        """Whether a class of the file counts by its kind alone; so none is read for ever."""

    def read(self, node: ast.expr | None) -> Shape:
        """Return the shape of an annotation; one that contradicts itself allows anything."""
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            node = expression(node.value)
        if node is None:
            return UNKNOWN
        try:
            kinds = self._kinds(node)
        except (AnnotationError, RecursionError):  # of hundreds of members
            return UNKNOWN
        return UNKNOWN if kinds is None else Shape(shortened(node), kinds)

    def _kinds(self, node: ast.expr | None) -> tuple[ValueKind, ...] | None:
        if isinstance(node, ast.Constant):
            if isinstance(node.value, str):
                return self._kinds(expression(node.value))
            return (ValueKind("None"),) if node.value is None else None
        if isinstance(node, ast.BinOp) and isinstance(node.op, ast.BitOr):
            return self._union([node.left, node.right])
        base = node.value if isinstance(node, ast.Subscript) else node
        if base is None:
            return None
        own = self._annotations.name(base)
        if own in self._definitions or own in self._aliases:
            return self._own(own, is_bare=base is node)
        name = self._name(base)
        return self._subscript(name, node) if isinstance(node, ast.Subscript) else _bare(name)

    def _own(self, name: str, *, is_bare: bool) -> tuple[ValueKind, ...] | None:
        """Return what a name of the file stands for; nothing is known of `ALIAS[...]`."""
        if name in self._definitions:
            return self._class(self._definitions[name])
        if name not in self._kinds_of:
            self._kinds_of[name] = None  # of one that names itself, nothing is known inside
            self._kinds_of[name] = self._kinds(self._aliases[name])
        return self._kinds_of[name] if is_bare else None

    def _name(self, node: ast.expr) -> str:
        module, _, last = self._annotations.name(node).rpartition(".")
        return last if module in MODULES_OF_TYPES or (not module and last in _BUILTINS) else ""

    def _union(self, nodes: Sequence[ast.expr]) -> tuple[ValueKind, ...] | None:
        found = [self._kinds(node) for node in nodes]
        known = [kinds for kinds in found if kinds is not None]
        return sum(known, ()) if len(known) == len(found) else None

    def _subscript(self, name: str, node: ast.Subscript) -> tuple[ValueKind, ...] | None:
        members = type_arguments(node)
        if name in _WRAPPERS and members:
            kinds = self._kinds(members[0])
            limit = self._annotations.constraint(node) if name == "Annotated" else ANYTHING
            limit = replace(limit, types=frozenset())  # a bool is an int along an edge
            return kinds and tuple(replace(kind, limit=limit) for kind in kinds)
        if name in ("Union", "Optional"):
            none = [ast.Constant(None)] if name == "Optional" else []
            return self._union([*members, *none])
        if name == "Literal":
            return tuple(_literals(members))
        return self._of_members(name, members)

    def _of_members(self, name: str, members: list[ast.expr]) -> tuple[ValueKind, ...] | None:
        """Return the kinds of `name[members]`."""
        if name in ("tuple", "Tuple"):
            return (self._tuple(members),)
        kinds = _bare(name)
        if kinds == (ValueKind("dict"),) and len(members) == 2:
            return (ValueKind("dict", keys=self.read(members[0]), items=self.read(members[1])),)
        return tuple(_of_members(kinds, self.read(members[0]))) if kinds and members else kinds

    def _tuple(self, members: list[ast.expr]) -> ValueKind:
        if len(members) == 2 and is_ellipsis(members[1]):
            return ValueKind("list", items=self.read(members[0]))
        if any(isinstance(one, ast.Starred) or self._is_unpacked(one) for one in members):
            return ValueKind("list")
        return ValueKind(
            "list", parts={i: _MemberShape(self.read(one)) for i, one in enumerate(members)}
        )

    def _is_unpacked(self, node: ast.expr) -> bool:
        return isinstance(node, ast.Subscript) and self._name(node.value) == "Unpack"

    def _class(self, node: ast.stmt) -> tuple[ValueKind, ...] | None:
        """Return what values of a class of the file are kept as, if its bases say so."""
        if not isinstance(node, ast.ClassDef):
            return None
        is_named = "NamedTuple" in map(self._name, node.bases) and not node.decorator_list
        classes: list[ast.ClassDef] = []
        if not is_named and not self._are_typed_dicts(node, classes):
            return None
        kind = ValueKind("list", is_named=True) if is_named else ValueKind("dict", keys=_TEXT)
        if self._in_class:
            return (kind,)
        inner = Shapes(self._annotations, self._definitions, self._aliases, in_class=True)
        found = dict(field for one in reversed(classes or [node]) for field in inner.fields(one))
        names: Iterable[int | str] = range(len(found)) if is_named else found
        parts = dict(zip(names, found.values(), strict=True))
        return (replace(kind, parts=parts, classes=tuple(one.name for one in classes)),)

    def _are_typed_dicts(self, node: ast.stmt | None, found: list[ast.ClassDef]) -> bool:
        """Collect a class and those that it extends; False if one is no TypedDict."""
        if not isinstance(node, ast.ClassDef) or node.decorator_list or not node.bases:
            return False
        if node in found:
            return True
        found.append(node)
        bases = [base.value if isinstance(base, ast.Subscript) else base for base in node.bases]
        return all(
            self._name(base) in ("TypedDict", "Generic")
            or self._are_typed_dicts(self._definitions.get(self._annotations.name(base)), found)
            for base in bases
        )

    def fields(self, node: ast.ClassDef) -> Iterator[tuple[str, _MemberShape]]:
        """Yield the fields that a NamedTuple or a TypedDict writes down."""
        total = {word.arg: word.value for word in node.keywords}.get("total")
        is_total = not (isinstance(total, ast.Constant) and total.value is False)
        for line in node.body:
            if isinstance(line, ast.AnnAssign) and isinstance(line.target, ast.Name):
                said = line.annotation
                word = self._name(said.value) if isinstance(said, ast.Subscript) else ""
                required = word == "Required" or (is_total and word != "NotRequired")
                yield line.target.id, _MemberShape(self.read(said), required)


def _bare(name: str) -> tuple[ValueKind, ...] | None:
    return tuple(map(ValueKind, _KINDS[name])) if name in _KINDS else None


def _literals(nodes: Sequence[ast.expr]) -> Iterator[ValueKind]:
    """Yield the values of a Literal by their kind."""
    values = [literal(node, "Literal") for node in nodes]
    for kind in {type(value): None for value in values}:
        name = "None" if kind is type(None) else kind.__name__
        yield ValueKind(name, Constraint(enum=tuple(one for one in values if type(one) is kind)))


def _of_members(kinds: Sequence[ValueKind], one: Shape) -> Iterator[ValueKind]:
    """Yield the kinds whose members can be what is said of each: those of a dict are its keys."""
    for kind in kinds:
        if kind.name == "dict":
            yield replace(kind, keys=one)
        elif kind.name in ("list", "set"):
            yield replace(kind, items=one)
        elif (kind.name == "str" and _TEXT.may_be(one)) or (
            kind.name == "bytes" and _BYTE.may_be(one)
        ):
            yield kind
