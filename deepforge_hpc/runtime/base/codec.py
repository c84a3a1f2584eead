"""One codec for the files that login nodes and jobs share: the fields of a class are the shape.

A class is a NamedTuple whose annotations are types (no `from __future__ import annotations` in its
module): str, int, float, bool, Any, enums, other such classes, `X | None`, `dict[str, X]`,
`tuple[X, ...]` and `tuple[X, Y]`. A field with a default may be missing in a file, as it is in the
files of earlier versions; what is there must be of its type. The default of a field `schema` is the
one value that it may have. Unknown fields are refused; where a file `is_open` they are passed over,
and an unknown word of an enum is its UNKNOWN.
"""

from __future__ import annotations

import functools
import itertools
from collections.abc import Callable, Iterable
from enum import Enum
from types import UnionType
from typing import TYPE_CHECKING, Any, NoReturn, TypeVar, get_args, get_origin

from .files import parse_object

if TYPE_CHECKING:
    Read = Callable[[object], Any]

_T = TypeVar("_T")
_WORDS: dict[object, str] = {str: "a text", int: "a whole number", bool: "true or false"}


class ShapeError(ValueError):
    """What a file holds is not of its class; the message says where, and what should be there."""

    def __init__(self, problem: str, place: str = "") -> None:
        super().__init__(f"{place.removeprefix('.')}: {problem}" if place else problem)
        self.problem = problem
        self.place = place

    def below(self, at: str | int) -> ShapeError:
        """Return the error as the value says it that holds the faulty one there."""
        step = f".{at}" if isinstance(at, str) else f"[{at}]"
        return type(self)(self.problem, step + self.place)


class SchemaError(ShapeError):
    """It is a file of another version, or another kind of file."""


def parse(kind: type[_T], content: bytes | str, *, is_open: bool = False) -> _T:
    """Return the value that the text of a file holds; ShapeError if it is none of this class."""
    return decode(kind, object_of(content), is_open=is_open)


def object_of(content: bytes | str) -> dict[str, Any]:
    """Return the JSON object that a text holds; ShapeError if it is none."""
    try:
        return parse_object(content)
    except ValueError as error:
        raise ShapeError(str(error)) from error


def decode(kind: type[_T], data: object, *, is_open: bool = False) -> _T:
    """Return the value that JSON data stand for; ShapeError if they do not fit the class."""
    shape: Any = kind
    value: _T = _reader(shape, is_open)(data)
    return value


def encode(value: object) -> Any:
    """Return a value as JSON data: each of these classes as an object with all of its fields."""
    if isinstance(value, tuple):
        # Most values are plain: a call for each of a plan of 1,000 jobs would be half of the time.
        items = [item if type(item) in _WORDS else encode(item) for item in value]
        names = getattr(value, "_fields", None)
        return dict(zip(names, items, strict=True)) if names else items
    if isinstance(value, dict):
        return {name: encode(item) for name, item in value.items()}
    return value.value if isinstance(value, Enum) else value


def _refuse(data: object, wanted: str) -> NoReturn:
    shown = repr(data)
    raise ShapeError(f"{shown if len(shown) <= 40 else shown[:37] + '...'} is not {wanted}")


@functools.cache
def _reader(kind: Any, is_open: bool) -> Read:
    """Return the function that reads one type; made once, since a plan has thousands of values."""
    origin = get_origin(kind)
    if origin is None:
        return _object(kind, is_open) if hasattr(kind, "_fields") else _single(kind, is_open)
    readers = [_reader(item, is_open) for item in get_args(kind) if item is not ...]
    if origin is UnionType:
        return _optional(readers[0])  # no class needs more than `X | None`
    if origin is dict:
        return _mapping(readers[1])
    many = get_args(kind)[-1] is ...
    return _list(itertools.repeat(readers[0]), None) if many else _list(readers, len(readers))


def _single(kind: Any, is_open: bool) -> Read:
    if kind is Any:
        return lambda data: data
    if kind is float:
        return lambda data: data if type(data) in {float, int} else _refuse(data, "a number")
    if issubclass(kind, Enum):
        known = {item.value: item for item in kind}
        return _choice(known, kind.__members__.get("UNKNOWN") if is_open else None)
    return lambda data: data if type(data) is kind else _refuse(data, _WORDS[kind])


def _choice(known: dict[str, Enum], other: Enum | None) -> Read:
    def read(data: object) -> Any:
        found = known.get(data, other) if type(data) is str else None
        return found or _refuse(data, "one of " + ", ".join(known))

    return read


def _optional(read: Read) -> Read:
    return lambda data: None if data is None else read(data)


def _list(readers: Iterable[Read], length: int | None) -> Read:
    wanted = "a list" if length is None else f"a list of {length}"

    def read(data: object) -> Any:
        if type(data) is not list or length not in {None, len(data)}:
            _refuse(data, wanted)
        found: list[Any] = []
        try:
            for reader, item in zip(readers, data):  # noqa: B905 - one reader may be for all
                found.append(reader(item))
        except ShapeError as error:
            raise error.below(len(found)) from error
        return tuple(found)

    return read


def _mapping(reader: Read) -> Read:
    def read(data: object) -> Any:
        if type(data) is not dict:
            _refuse(data, "an object")
        name, found = "", {}
        try:
            for name, item in data.items():
                found[name] = reader(item)
        except ShapeError as error:
            raise error.below(name) from error
        return found

    return read


def _object(kind: Any, is_open: bool) -> Read:
    readers = {name: _reader(item, is_open) for name, item in kind.__annotations__.items()}
    plain = {name: item for name, item in kind.__annotations__.items() if item in _WORDS}
    needed = frozenset(kind._fields) - kind._field_defaults.keys()
    schema = kind._field_defaults.get("schema")

    def read(data: object) -> Any:
        if type(data) is not dict:
            _refuse(data, "an object")
        if schema is not None and data.get("schema") != schema:
            raise SchemaError(f"schema {data.get('schema')!r}, this version reads {schema!r}")
        name, found = "", {}
        try:
            for name, item in data.items():
                if type(item) is plain.get(name):  # most are: a call for each costs more
                    found[name] = item
                elif name in readers:
                    found[name] = readers[name](item)
                elif not is_open:
                    _refuse(item, "of any field that this version knows")
        except ShapeError as error:
            raise error.below(name) from error
        if not needed <= found.keys():
            raise ShapeError("it is missing").below(min(needed - found.keys()))
        return kind(**found)

    return read
