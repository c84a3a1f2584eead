"""What an annotation of an operation's code says: limits of an attribute, the type of a port.

Annotations are read as syntax, never evaluated.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from deepforge_hpc.files.faults import shown
from deepforge_hpc.files.kinds import same
from deepforge_hpc.site.regex import runs_away, takes_long

ANY = "any"
_JSON_TYPES = frozenset({"int", "float", "bool", "str", "list", "dict", "None"})
_ALIASES = {
    **dict.fromkeys(("List", "tuple", "Tuple", "Sequence", "MutableSequence"), "list"),
    **dict.fromkeys(("Dict", "Mapping", "MutableMapping"), "dict"),
}
MODULES_OF_TYPES = ("typing", "typing_extensions", "collections.abc", "builtins")
_PORTS = {
    "dict": "json", "list": "json", "float": "json", "int": "json", "bool": "json",
    "typing.Dict": "json", "typing.List": "json",
    "str": "text",
    "pathlib.Path": "file", "pathlib.PosixPath": "file",
    "numpy.ndarray": "npy", "numpy.typing.NDArray": "npy",
    "h5py.File": "hdf5",
    "keras.Model": "keras", "keras.models.Model": "keras", "keras.Sequential": "keras",
    "tensorflow.keras.Model": "keras", "tensorflow.keras.models.Model": "keras",
    "pandas.DataFrame": "parquet",
    "torch.Tensor": "safetensors",
    "sklearn.base.BaseEstimator": "skops",
    "object": ANY, "typing.Any": ANY,
}  # fmt: skip
_LIMITS = {
    "min": (int, float), "max": (int, float), "pattern": (str,), "enum": (list, tuple),
    "names": (str,), "trained": (str,), "weights_of": (str,),
}  # fmt: skip


class AnnotationError(Exception):
    """An annotation that contradicts itself; the text says how."""


@dataclass(frozen=True, slots=True)
class Constraint:
    """What values an attribute may have."""

    types: frozenset[str] = frozenset()
    """Of int, float, bool, str, list, dict, None; empty: any JSON value."""
    enum: tuple[Any, ...] | None = None
    minimum: float | None = None
    maximum: float | None = None
    pattern: str = ""
    items: Constraint | None = None
    """Of the values of a list or a mapping."""
    names: str = ""
    """What it names, which a library checks: `LIBRARY:SORT`; `@ARGUMENT:SORT` is of the library of
    the file that is given as that argument."""

    def problem(self, value: object) -> str:
        """Return `must be int >= 1, not 0`, or nothing if the value is allowed."""
        if self.allows(value):
            return ""
        if self.items is not None and isinstance(value, (list, dict)) and self._has_type(value):
            pairs = value.items() if isinstance(value, dict) else enumerate(value)
            for key, member in pairs:
                if not self.items.allows(member):
                    return f"must be {self.words()}, and [{shown(key)}] is {shown(member)}"
        return f"must be {self.words()}, not {shown(value)}"

    def allows(self, value: object) -> bool:
        """Tell whether a JSON value is allowed."""
        if value is None and "None" in self.types:
            return True
        return (
            (self.enum is None or any(same(value, one) for one in self.enum))
            and (not self.types or self._has_type(value))
            and self._within(value)
            and self._members(value)
        )

    def _within(self, value: object) -> bool:
        if isinstance(value, str):
            if not self.pattern:
                return True
            is_long = takes_long(self.pattern, value)
            return not is_long and re.fullmatch(self.pattern, value) is not None
        if isinstance(value, bool) or not isinstance(value, (int, float)):
            return True
        low = self.minimum is None or value >= self.minimum
        return low and (self.maximum is None or value <= self.maximum)

    def _members(self, value: object) -> bool:
        if self.items is None or not isinstance(value, (list, dict)):
            return True
        members = value.values() if isinstance(value, dict) else value
        return all(self.items.allows(member) for member in members)

    def _has_type(self, value: object) -> bool:
        name = "None" if value is None else type(value).__name__
        return name in self.types or (name == "int" and "float" in self.types)

    def words(self) -> str:
        """Return the constraint for a person: `int >= 1 or None`."""
        if self.enum is not None:
            parts = [" or ".join(shown(one) if one is not None else "null" for one in self.enum)]
        else:
            names = sorted(self.types - {"None"})
            parts = [" or ".join(names) or "a value"]
        if self.items and self.items.words() != "a value":
            parts.append(f"of {self.items.words()}")
        limits = ((">=", self.minimum), ("<=", self.maximum))
        parts.append(" and ".join(f"{sign} {limit}" for sign, limit in limits if limit is not None))
        if self.pattern:
            parts.append(f"that matches {self.pattern!r}")
        text = " ".join(filter(None, parts))
        return f"{text} or null" if "None" in self.types and self.enum is None else text


def imported_names(nodes: Iterable[ast.AST]) -> dict[str, str]:
    """Return the full dotted name of each name that absolute imports among some nodes bind."""
    found = {}
    for node in nodes:
        if isinstance(node, ast.Import):
            for alias in node.names:
                name = alias.asname or alias.name.partition(".")[0]
                found[name] = alias.name if alias.asname else name
        elif isinstance(node, ast.ImportFrom) and not node.level:
            for alias in node.names:
                found[alias.asname or alias.name] = f"{node.module}.{alias.name}"
    return found


ANYTHING = Constraint()


class Annotations:
    """Reads the annotations of one file, whose imports it knows."""

    def __init__(self, imports: Mapping[str, str]) -> None:
        self._imports = imports

    def name(self, node: ast.expr) -> str:
        """Return the full dotted name of an expression, through the imports; else nothing."""
        parts: list[str] = []
        while isinstance(node, ast.Attribute):
            parts.append(node.attr)
            node = node.value
        if not isinstance(node, ast.Name):
            return ""
        parts.append(self._imports.get(node.id, node.id))
        return ".".join(reversed(parts))

    def port(self, node: ast.expr | None, formats: Collection[str]) -> str:
        """Return the format id that an annotation stands for; empty if it stands for none."""
        node = self._unwrapped(node)
        if node is None:
            return ANY
        if isinstance(node, ast.Constant) and node.value in formats:
            return str(node.value)
        if isinstance(node, ast.Subscript):
            node = node.value
        return _PORTS.get(self.name(node), "")

    def is_extra(self, node: ast.expr | None) -> bool:
        """Tell whether an output is one that a pipeline may leave: `Annotated[dict, "extra"]`."""
        if not isinstance(node, ast.Subscript) or self.plain(node.value) != "Annotated":
            return False
        said = type_arguments(node)[1:]
        return any(isinstance(one, ast.Constant) and one.value == "extra" for one in said)

    def argument(self, node: ast.expr | None, key: str) -> str:
        """Return the argument that an annotation names: `Annotated[object, {"trained": ARGUMENT}]`.

        Empty of any other annotation.
        """
        if not isinstance(node, ast.Subscript) or self.plain(node.value) != "Annotated":
            return ""
        said = [literal(one, "Annotated") for one in type_arguments(node)[1:]]
        found = next((one[key] for one in said if isinstance(one, dict) and key in one), "")
        return found if isinstance(found, str) else ""

    def members(self, node: ast.expr | None) -> tuple[str, list[ast.expr]]:
        """Return `list` or `dict` and the annotations of the members, or of the values."""
        node = self._unwrapped(node)
        if not isinstance(node, ast.Subscript):
            return "", []
        kind, members = self.plain(node.value), type_arguments(node)
        found = members[1:] if kind == "dict" else members
        return kind, [one for one in found if not is_ellipsis(one)]

    def member(self, node: ast.expr | None) -> tuple[bool, ast.expr | None]:
        """Tell whether a list of any length may be given, and return the annotation of a member."""
        node = self._unwrapped(node)
        if node is None or self.name(node) in ("object", "typing.Any"):
            return True, None
        if not isinstance(node, ast.Subscript):
            return self._is_list(node), None
        members = type_arguments(node)
        if not self._is_list(node.value) or not members:
            return False, None
        return len(members) == 1 or is_ellipsis(members[-1]), members[0]

    def _is_list(self, node: ast.expr) -> bool:
        return self.plain(node) in ("list", "Iterable", "Collection")

    def parts(self, node: ast.expr | None, count: int, form: str) -> list[ast.expr | None]:
        """Return the annotations of `count` outputs from that of the return value.

        `form`: one | tuple | dict, as the code returns them. Raises AnnotationError if the
        annotation names another number.
        """
        if form == "one":
            return [node]
        whole = self._unwrapped(node)
        if isinstance(whole, ast.Subscript):
            name, members = self.name(whole.value), type_arguments(whole)
            if form == "dict" and self.plain(whole.value) == "dict" and len(members) == 2:
                return [members[1]] * count
            if form == "tuple" and name.endswith(("tuple", "Tuple")):
                if len(members) == 2 and is_ellipsis(members[1]):
                    return [members[0]] * count
                if len(members) != count:
                    said = f"the annotation names {len(members)} outputs, return gives {count}"
                    raise AnnotationError(said)
                return list(members)
        return [None] * count

    def constraint(self, node: ast.expr | None) -> Constraint:
        """Return what an attribute's annotation allows; raises AnnotationError."""
        if node is None:
            return Constraint()
        if isinstance(node, ast.Constant):
            if isinstance(node.value, str):
                return self.constraint(expression(node.value))
            return Constraint(types=frozenset({"None"})) if node.value is None else Constraint()
        if isinstance(node, ast.BinOp) and isinstance(node.op, ast.BitOr):
            return _union([self.constraint(node.left), self.constraint(node.right)])
        if isinstance(node, ast.Subscript):
            return self._subscript(node)
        plain = self.plain(node)
        return Constraint(types=frozenset({plain} & _JSON_TYPES))

    def _subscript(self, node: ast.Subscript) -> Constraint:
        members = type_arguments(node)
        name = self.plain(node.value)
        result = Constraint()
        if not members:  # tuple[()]
            result = Constraint(types=frozenset({name} & _JSON_TYPES))
        elif name == "Literal":
            result = Constraint(enum=tuple(literal(member, "Literal") for member in members))
        elif name == "Annotated":
            result = self._annotated(members)
        elif name == "Optional":
            result = _union([self.constraint(members[0]), Constraint(types=frozenset({"None"}))])
        elif name == "Union":
            result = _union([self.constraint(member) for member in members])
        elif name == "list":
            homogeneous = len(members) == 1 or is_ellipsis(members[-1])
            of = self.constraint(members[0]) if homogeneous else None
            result = Constraint(types=frozenset({"list"}), items=of)
        elif name == "dict":
            of = self.constraint(members[1]) if len(members) == 2 else None
            result = Constraint(types=frozenset({"dict"}), items=of)
        return result

    def _annotated(self, members: list[ast.expr]) -> Constraint:
        base = self.constraint(members[0])
        limits: dict[str, Any] = {}
        for member in members[1:]:
            if isinstance(member, ast.Dict):
                limits.update(literal(member, "Annotated"))
        for key, value in limits.items():
            expected = _LIMITS.get(key)
            if expected is None:
                known = ", ".join(_LIMITS)
                raise AnnotationError(f"unknown limit {shown(key)} in Annotated; known: {known}")
            if not isinstance(value, expected) or isinstance(value, bool):
                raise AnnotationError(f"the limit {key} cannot be {shown(value)}")
        pattern = limits.get("pattern", "")
        try:
            re.compile(pattern)
        except (re.error, OverflowError, RecursionError) as error:
            raise AnnotationError(f"the pattern {shown(pattern)} is wrong: {error}") from error
        if runs_away(pattern):
            raise AnnotationError(f"the pattern {shown(pattern)} may not end: nest no repetitions")
        enum = tuple(limits["enum"]) if "enum" in limits else base.enum
        low, high = limits.get("min", base.minimum), limits.get("max", base.maximum)
        if enum == () or (low is not None and high is not None and low > high):
            raise AnnotationError("the limits in Annotated leave no value")
        pattern, names = pattern or base.pattern, limits.get("names", base.names)
        return replace(base, enum=enum, minimum=low, maximum=high, pattern=pattern, names=names)

    def plain(self, node: ast.expr) -> str:
        """Return the bare name of a type of Python or of typing; else its full name."""
        name = self.name(node)
        module, _, last = name.rpartition(".")
        if module in MODULES_OF_TYPES:
            name = last
        return _ALIASES.get(name, name)

    def _unwrapped(self, node: ast.expr | None) -> ast.expr | None:
        """Return what stands inside Optional, `| None`, Annotated and quotes."""
        while node is not None:
            if isinstance(node, ast.Constant) and node.value is None:
                return None
            if isinstance(node, ast.Constant) and isinstance(node.value, str):
                if re.fullmatch(r"[a-z][a-z0-9_-]*", node.value):
                    return node
                node = expression(node.value)
            elif isinstance(node, ast.BinOp) and isinstance(node.op, ast.BitOr):
                sides = [side for side in (node.left, node.right) if not _is_none(side)]
                if len(sides) == 2:
                    return node
                node = sides[0] if sides else None
            elif isinstance(node, ast.Subscript) and self.plain(node.value) == "Union":
                sides = [side for side in type_arguments(node) if not _is_none(side)]
                if len(sides) != 1:
                    return node
                node = sides[0]
            elif isinstance(node, ast.Subscript) and self.plain(node.value) in _WRAPPERS:
                node = next(iter(type_arguments(node)), None)
            else:
                return node
        return None


_WRAPPERS = frozenset({"Optional", "Annotated"})


def shortened(node: ast.expr) -> str:
    """Return the text of an annotation for a message."""
    try:
        # Of most defaults, for which `ast` would set up its printer.
        text = repr(node.value) if isinstance(node, ast.Constant) else ast.unparse(node)
    except (ValueError, RecursionError):  # an integer of thousands of digits; a tower
        return "with more than can be read"
    return text if len(text) <= 60 else f"{text[:57]}..."


def type_arguments(node: ast.Subscript) -> list[ast.expr]:
    """Return what stands between the brackets of an annotation."""
    return node.slice.elts if isinstance(node.slice, ast.Tuple) else [node.slice]


def _is_none(node: ast.expr) -> bool:
    return isinstance(node, ast.Constant) and node.value is None


def is_ellipsis(node: ast.expr) -> bool:
    """Tell whether an annotation is `...`."""
    return isinstance(node, ast.Constant) and node.value is Ellipsis


def _union(members: list[Constraint]) -> Constraint:
    """Return what any of the members allows; limits hold where one member alone has them."""
    if any(member == Constraint() for member in members):
        return Constraint()
    types = frozenset().union(*(member.types for member in members))
    enums = [member.enum for member in members if member.enum is not None]
    if enums:
        none = (None,) if "None" in types else ()
        is_closed = all(member.enum is not None or member.types == {"None"} for member in members)
        merged = tuple(value for enum in enums for value in enum) + none
        return Constraint(enum=merged) if is_closed else Constraint()
    first = next((m for m in members if m.types != {"None"}), members[0])
    others = [m for m in members if m is not first and m.types != {"None"}]
    return Constraint(types=types) if others else replace(first, types=types)


def expression(source: str) -> ast.expr | None:
    """Return what a quoted annotation says; None if it is no expression."""
    try:
        return ast.parse(source, mode="eval").body
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return None


def literal(node: ast.expr, where: str) -> Any:
    """Return the value of a constant; AnnotationError if it is none, or cannot be shown."""
    try:
        value = ast.literal_eval(node)
    except (ValueError, TypeError, SyntaxError, MemoryError, RecursionError) as error:
        raise AnnotationError(f"{where} takes constants only") from error
    try:
        repr(value)
    except ValueError as error:
        raise AnnotationError(f"{where} takes no number of thousands of digits") from error
    return value
