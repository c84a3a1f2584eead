"""What a value of a YAML file may be, declared once: for reading it and for its JSON Schema.

A kind is called with a value, its path and a reader, and answers what it read; or BAD, once it
reported a fault. Its `schema()` says the same to an editor, as far as JSON Schema can say it.
Not pydantic: importing it costs 90 ms of the 600 ms that a pipeline of 1,000 operations has for
check, plan and render, and its messages would have to be rewritten all the same.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import cached_property
from typing import Any, Protocol

from deepforge_hpc.files.faults import BAD, NAME, NAME_RULE, Path, Reader, meant, shown, unquoted

VERSION = 1
"""Format version of the files, the optional key `dfh`."""
GRES = re.compile(r"(?!gpu\b)[A-Za-z][A-Za-z0-9_./-]{0,63}(:[A-Za-z0-9_.-]{1,64})?")
"""Slurm's name of what a node has besides GPUs, with a type if it has one."""
Schema = dict[str, Any]


class Kind(Protocol):
    """What a value may be."""

    def __call__(self, value: object, path: Path, reader: Reader, /) -> Any:
        """Return what the value means, or BAD after a fault was reported."""

    def schema(self) -> Schema:
        """Return the JSON Schema of the value."""


class Text(Kind):
    """A text, of one line unless `lines`; `is_any`: of whatever form, also if `what` says more."""

    def __init__(
        self,
        what: str = "",
        pattern: str | None = None,
        *,
        lines: bool = False,
        empty: bool = False,
        is_any: bool = False,
    ) -> None:
        self._is_any = is_any or not what
        self._which = what
        self._what = what or "text"
        self._pattern = pattern
        self._lines = lines
        self._empty = empty

    def __call__(self, value: object, path: Path, reader: Reader, /) -> Any:
        if not isinstance(value, str) or not (value or self._empty):
            hint = unquoted(value) if self._is_any else ""
            return reader.wrong(path, self._what, value if value != "" else None, hint)
        if not self._lines and ("\n" in value or "\t" in value):
            return reader.wrong(path, f"{self._what} of one line without tabs", value)
        if self._pattern and not self._match(value):
            return reader.wrong(path, self._what, value)
        return value

    @cached_property
    def _match(self) -> Callable[[str], object]:
        """Compiled when a text comes: of all the kinds, a file has few."""
        return re.compile(self._pattern or "").fullmatch

    def schema(self) -> Schema:
        found: Schema = {"type": "string"}
        if self._which:
            found["description"] = self._which
        if self._pattern:
            found["pattern"] = f"^(?:{self._pattern})$"
        elif not self._lines:
            found["pattern"] = r"^[^\n\t]*$"
        if not self._empty:
            found["minLength"] = 1
        return found


class Integer(Kind):
    """A whole number within limits."""

    def __init__(self, minimum: int, maximum: int) -> None:
        self._minimum = minimum
        self._maximum = maximum

    def __call__(self, value: object, path: Path, reader: Reader, /) -> Any:
        if type(value) is not int or not self._minimum <= value <= self._maximum:
            what = f"a whole number from {self._minimum} to {self._maximum}"
            return reader.wrong(path, what, value)
        return value

    def schema(self) -> Schema:
        return {"type": "integer", "minimum": self._minimum, "maximum": self._maximum}


class Custom(Kind):
    """A kind by a function, and what JSON Schema can say of it."""

    def __init__(self, read: Callable[[object, Path, Reader], Any], schema: Schema) -> None:
        self._read = read
        self._schema = schema

    def __call__(self, value: object, path: Path, reader: Reader, /) -> Any:
        return self._read(value, path, reader)

    def schema(self) -> Schema:
        return dict(self._schema)


def described(schema: Schema) -> Callable[[Callable[[object, Path, Reader], Any]], Custom]:
    """Make a function a kind."""
    return lambda read: Custom(read, schema)


def same(one: object, two: object) -> bool:
    """Tell whether two values are the same; true is not 1, but 1 is 1.0."""
    return one == two and isinstance(one, bool) == isinstance(two, bool)


@described({"type": "boolean"})
def flag(value: object, path: Path, reader: Reader) -> object:
    """Read true or false."""
    return value if isinstance(value, bool) else reader.wrong(path, "true or false", value)


@described({})
def data(value: object, _path: Path, _reader: Reader) -> object:
    """Read any value: what the loader lets through is JSON."""
    return value


class OneOf(Kind):
    """One word of a few."""

    def __init__(self, *options: str, what: str = "") -> None:
        self._options = options
        self._what = what or f"one of {', '.join(options)}"

    def __call__(self, value: object, path: Path, reader: Reader, /) -> Any:
        if value in self._options:
            return value
        hint = meant(value, self._options) if isinstance(value, str) else ""
        return reader.wrong(path, self._what, value, hint)

    def schema(self) -> Schema:
        return {"enum": list(self._options)}


class Parsed(Kind):
    """A text that a function turns into a value, or refuses by ValueError."""

    def __init__(self, parse: Callable[[str], Any], what: str, pattern: str) -> None:
        self._parse = parse
        self._what = what
        self._pattern = pattern

    def __call__(self, value: object, path: Path, reader: Reader, /) -> Any:
        if isinstance(value, str):
            try:
                return self._parse(value)
            except ValueError:
                pass
        is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
        is_bare = is_number or (isinstance(value, str) and value.isdecimal())
        return reader.wrong(path, self._what, value, "give its unit" if is_bare else "")

    def schema(self) -> Schema:
        return {"type": "string", "description": self._what, "pattern": f"^(?:{self._pattern})$"}


class Items(Kind):
    """A list, read as a tuple."""

    def __init__(self, kind: Kind, what: str = "a list", *, least: int = 0) -> None:
        self.kind = kind
        self._what = what
        self._least = least

    def __call__(self, value: object, path: Path, reader: Reader, /) -> Any:
        if not isinstance(value, list):
            return reader.wrong(path, self._what, value)
        if len(value) < self._least:
            reader.fault(path, "an empty list")
        results = [self.kind(item, (*path, index), reader) for index, item in enumerate(value)]
        return tuple(result for result in results if result is not BAD)

    def schema(self) -> Schema:
        least = {"minItems": self._least} if self._least else {}
        return {"type": "array", "items": self.kind.schema(), **least}


class OneOrMore(Kind):
    """One of a kind, or a list of them, read as a tuple."""

    def __init__(self, kind: Kind, *, least: int = 0) -> None:
        self.kind = kind
        self._many = Items(kind, least=least)

    def __call__(self, value: object, path: Path, reader: Reader, /) -> Any:
        if isinstance(value, list):
            return self._many(value, path, reader)
        found = self.kind(value, path, reader)
        return BAD if found is BAD else (found,)

    def schema(self) -> Schema:
        return {"anyOf": [self.kind.schema(), self._many.schema()]}


class OneOrList(Kind):
    """One text of a kind, or a list of them, which stays one: read as a tuple.

    A member that is wrong is empty in it, so that what is wrong with the others is found as well.
    """

    def __init__(self, kind: Kind, hint: str) -> None:
        self.kind = kind
        self._many = Items(kind)
        self._hint = hint
        """What to do about an empty list."""

    def __call__(self, value: object, path: Path, reader: Reader, /) -> Any:
        if not isinstance(value, list):
            return self.kind(value, path, reader)
        if not value:
            reader.fault(path, "an empty list", self._hint)
            reader.broken.add(path)
            return BAD
        found = [self.kind(item, (*path, index), reader) for index, item in enumerate(value)]
        return tuple("" if item is BAD else item for item in found)

    def schema(self) -> Schema:
        return {"anyOf": [self.kind.schema(), {**self._many.schema(), "minItems": 1}]}


class Shared(Kind):
    """A kind that is described once, under `definitions`: it is long, or holds itself."""

    def __init__(self, name: str, kind: Kind) -> None:
        self.name = name
        self.kind = kind

    def __call__(self, value: object, path: Path, reader: Reader, /) -> Any:
        return self.kind(value, path, reader)

    def schema(self) -> Schema:
        return {"$ref": f"#/definitions/{self.name}"}


class MapOf(Kind):
    """A mapping from names to one kind."""

    def __init__(self, kind: Kind, pattern: re.Pattern[str] = NAME, rule: str = NAME_RULE) -> None:
        self.kind = kind
        self._pattern = pattern
        self._rule = rule

    def __call__(self, value: object, path: Path, reader: Reader, /) -> Any:
        if not isinstance(value, dict):
            return reader.wrong(path, "a mapping", value)
        result = {}
        for key, item in value.items():
            here = (*path, key)
            if not self._pattern.fullmatch(key):
                reader.fault(here, f"{shown(key)} is not a name", self._rule, key=True)
                continue
            if (found := self.kind(item, here, reader)) is not BAD:
                result[key] = found
        return result

    def schema(self) -> Schema:
        names = {"pattern": f"^(?:{self._pattern.pattern})$"}
        return {
            "type": "object",
            "propertyNames": names,
            "additionalProperties": self.kind.schema(),
        }


@described({"const": VERSION})
def version(value: object, path: Path, reader: Reader) -> object:
    """Read the format version of a file."""
    if value == VERSION and type(value) is int:
        return value
    reader.fault(path, f"format {shown(value)} is not in this version", f"write dfh: {VERSION}")
    return BAD
