"""The arguments of Keras layers and functions as kinds: what each may be, as source text.

A value becomes a literal by `repr`, a function or a layer the call of an allow-listed name.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping
from typing import Any, NamedTuple

from deepforge_hpc.files.faults import BAD, Path, Reader, nearest, shown
from deepforge_hpc.files.kinds import Custom, Kind, OneOf, Schema, flag
from deepforge_hpc.files.object import closed
from deepforge_hpc.libraries.keras.graph import Argument
from deepforge_hpc.libraries.keras.schema import (
    ACTIVATIONS,
    CHOICES,
    FUNCTIONS,
    LAYERS,
    Callable,
    snake_case,
)

TABLES = {"layer": LAYERS, **FUNCTIONS}
PARAMETER: Schema = {"type": "string", "pattern": r"^\$[A-Za-z][A-Za-z0-9_]*$"}
POSITIVE: Schema = {"type": "integer", "minimum": 1}
_INTEGER: Schema = {"type": "integer"}
_MAX_RANK = 3


class Code(NamedTuple):
    """Source text that is no literal."""

    text: str


def source(value: object) -> str:
    """Return the source of a value; lists become tuples, so that no two layers share one."""
    if isinstance(value, Code):
        return value.text
    if isinstance(value, list):
        inner = ", ".join(source(item) for item in value)
        return f"({inner},)" if len(value) == 1 else f"({inner})"
    assert value is None or type(value) in (bool, int, float, str)
    return repr(value)


class _Of(Reader):
    """Names the argument: its value may stand where a block is used, far from it."""

    def __init__(self, reader: Reader, name: str) -> None:
        super().__init__(reader.document)
        self.faults, self.broken = reader.faults, reader.broken
        self._name = name

    def wrong(self, path: Path, expected: str, value: object, hint: str = "") -> object:
        self.fault(path, f"{self._name} must be {expected}, not {shown(value)}", hint)
        return BAD


def _plain(what: str, fits: Any, *schemas: Schema) -> Custom:
    """Return the kind of a literal that a test is true of."""

    def read(value: object, path: Path, reader: Reader) -> object:
        return value if fits(value) else reader.wrong(path, what, value)

    return Custom(read, {"anyOf": list(schemas)})


def is_int(value: object, least: int | None = None) -> bool:
    """Tell whether a value is a whole number, and not below `least`."""
    return type(value) is int and (least is None or value >= least)


def _all_int(value: object, least: int | None = None) -> bool:
    return isinstance(value, list) and bool(value) and all(is_int(item, least) for item in value)


def _is_size(value: object) -> bool:
    is_list = isinstance(value, list) and len(value) <= _MAX_RANK and _all_int(value, 1)
    return is_int(value, 1) or is_list


def _is_shape(value: object) -> bool:
    return isinstance(value, list) and all(item is None or is_int(item, -1) for item in value)


def _is_margin(value: object) -> bool:
    return is_int(value, 0) or (
        isinstance(value, list)
        and len(value) <= _MAX_RANK
        and all(is_int(item, 0) or _all_int(item, 0) for item in value)
    )


def _array(item: Schema) -> Schema:
    return {"type": "array", "items": {"anyOf": [item, PARAMETER]}}


_LITERALS: dict[str, Kind] = {
    "count": _plain("a positive whole number", lambda value: is_int(value, 1), POSITIVE),
    "integer": _plain("a whole number", is_int, _INTEGER),
    "number": _plain("a number", lambda value: type(value) in (int, float), {"type": "number"}),
    "flag": flag,
    "sizes": _plain(
        f"a positive whole number, or a list of up to {_MAX_RANK}",
        _is_size,
        *(POSITIVE, {**_array(POSITIVE), "maxItems": _MAX_RANK}),
    ),
    "axes": _plain(
        "a whole number or a list of them",
        lambda value: is_int(value) or _all_int(value),
        *(_INTEGER, _array(_INTEGER)),
    ),
    "shape": _plain("a list of whole numbers", _is_shape, {"type": "array"}),
    "margins": _plain(
        "a whole number, or a list of them or of pairs",
        _is_margin,
        *(_INTEGER, {"type": "array", "maxItems": _MAX_RANK}),
    ),
    "activation": OneOf(*ACTIVATIONS, what="an activation that Keras has"),
}


class ArgumentKind:
    """One argument; null leaves it to Keras."""

    def __init__(self, one: Callable, name: str) -> None:
        sort = one.arguments[name]
        self._kind = (
            call(sort)
            if sort in TABLES
            else OneOf(*CHOICES[name])
            if sort == "text"
            else _LITERALS[sort]
        )
        self._is_required = name in one.required
        self._name = f"{name} of {one.name}"

    def __call__(self, value: object, path: Path, reader: Reader, /) -> Any:
        """Read a value to its source."""
        if value is None and not self._is_required:
            return "None"
        found = self._kind(value, path, _Of(reader, self._name))
        return BAD if found is BAD else source(found)

    def schema(self) -> Schema:
        """Describe it; a block's parameter may stand for it."""
        return {"anyOf": [self._kind.schema(), PARAMETER, {"type": "null"}]}


class Arguments:
    """The arguments of a layer or function, read to the source of each."""

    def __init__(self, one: Callable) -> None:
        self.one = one
        self.kinds = {name: ArgumentKind(one, name) for name in one.arguments}

    def given(self, value: object, path: Path, reader: Reader) -> dict[str, object]:
        """Return those that are given and known; their values are not looked at."""
        if not isinstance(value, dict | None):
            what = f"the arguments of {self.one.name} must be a mapping, not {shown(value)}"
            reader.fault(path, what, f"write {{{self.one.name}: {{}}}} for none")
            return {}
        known = {}
        for name, item in (value or {}).items():
            if name in self.kinds:
                known[name] = item
            else:
                message = f"{self.one.name} has no argument {shown(name)}"
                reader.fault((*path, name), message, nearest(name, self.kinds), key=True)
        return known

    def check_required(self, given: Mapping[str, object], path: Path, reader: Reader) -> None:
        """Report what must be given and is not."""
        if absent := [name for name in self.one.required if name not in given]:
            reader.fault(path, f"{self.one.name} needs {' and '.join(absent)}")

    def __call__(self, value: object, path: Path, reader: Reader, /) -> dict[str, Argument]:
        """Read a mapping; the source of a value with a fault is `None`."""
        found = {}
        for name, item in self.given(value, path, reader).items():
            code = self.kinds[name](item, (*path, name), reader)
            found[name] = Argument(item, "None" if code is BAD else code)
        return found

    def words(self, found: Mapping[str, Argument]) -> list[str]:
        """Return `name=value` for each that is given, in the order of the table."""
        return [f"{name}={found[name].code}" for name in self.kinds if name in found]

    def schema(self) -> Schema:
        """Describe them; `defaults` may give those that are required."""
        return closed({name: kind.schema() for name, kind in self.kinds.items()})


@functools.cache
def arguments(sort: str, name: str) -> Arguments:
    """Return the arguments of a `layer`, `initializer`, ... of the tables."""
    return Arguments(TABLES[sort][name])


@functools.cache
def call(sort: str) -> Call:
    """Return the kind of a `layer`, `initializer`, ... that is an argument."""
    return Call(sort)


class Call:
    """A layer or function by its name, or as {name: arguments}."""

    def __init__(self, sort: str) -> None:
        self._sort = sort
        self._names = {name: name for name in TABLES[sort]}
        if sort != "layer":
            self._names |= {snake_case(name): name for name in TABLES[sort]}

    def __call__(self, value: object, path: Path, reader: Reader, /) -> Any:
        """Read a call to its source."""
        if isinstance(value, str):
            value = {value: {}}
        if not isinstance(value, dict) or len(value) != 1:
            return reader.wrong(path, "a name or one {name: arguments}", value)
        (name, content), *_ = value.items()
        if name not in self._names:
            message = f"Keras has no {self._sort} {shown(name)} that this library knows"
            reader.fault(path, message, nearest(name, self._names))
            return BAD
        kind, at = arguments(self._sort, self._names[name]), (*path, name)
        found = kind(content, at, reader)
        kind.check_required(found, at, reader)
        words = ", ".join(kind.words(found))
        return Code(f"keras.{self._sort}s.{self._names[name]}({words})")

    def schema(self) -> Schema:
        """Describe it by its definition: layers hold layers."""
        return {"$ref": f"#/definitions/{self._sort}"}

    def definition(self) -> Schema:
        """Describe a name, or {name: arguments}."""
        calls = {alias: self._described(name) for alias, name in self._names.items()}
        one = {**closed(calls), "minProperties": 1, "maxProperties": 1}
        return {"anyOf": [{"enum": list(calls)}, one]}

    def _described(self, name: str) -> Schema:
        """Describe what no defaults fill up."""
        if self._sort != "layer":
            return {"anyOf": [arguments(self._sort, name).schema(), {"type": "null"}]}
        reference: Schema = {"$ref": f"#/definitions/{name}"}
        required = list(TABLES[self._sort][name].required)
        return {"allOf": [reference, {"required": required}]} if required else reference
