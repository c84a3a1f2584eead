"""What a key of a YAML file may hold, declared once: for reading it and for its JSON Schema.

A kind is called with a value, its path and a reader, and answers what it read; or BAD, once it
reported a fault. Its `schema()` says the same to an editor, as far as JSON Schema can say it.
Not pydantic: importing it costs 90 ms of the 600 ms that a pipeline of 1,000 operations has for
check, plan and render, and its messages would have to be rewritten all the same.
"""

from __future__ import annotations

import dataclasses
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Protocol

from deepforge_hpc.files.faults import BAD, NAME, NAME_RULE, nearest, shown

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from deepforge_hpc.files.faults import Path, Reader

VERSION = 1
"""Format version of the files, the optional key `dfh`."""
Schema = dict[str, Any]


class Kind(Protocol):
    """What a value may be."""

    def __call__(self, value: object, path: Path, reader: Reader, /) -> Any:
        """Return what the value means, or BAD after a fault was reported."""

    def schema(self) -> Schema:
        """Return the JSON Schema of the value."""


class Text:
    """A text, of one line unless `lines`."""

    def __init__(
        self,
        what: str = "text",
        pattern: str | None = None,
        *,
        lines: bool = False,
        empty: bool = False,
    ) -> None:
        self._what = what
        self._match = re.compile(pattern).fullmatch if pattern else None
        self._pattern = pattern
        self._lines = lines
        self._empty = empty

    def __call__(self, value: object, path: Path, reader: Reader, /) -> Any:
        """Read a text."""
        if not isinstance(value, str) or not (value or self._empty):
            return reader.wrong(path, self._what, value if value != "" else None)
        if not self._lines and ("\n" in value or "\t" in value):
            return reader.wrong(path, f"{self._what} of one line without tabs", value)
        if self._match and not self._match(value):
            return reader.wrong(path, self._what, value)
        return value

    def schema(self) -> Schema:
        """Describe it."""
        found: Schema = {"type": "string"}
        if self._what != "text":
            found["description"] = self._what
        if self._pattern:
            found["pattern"] = f"^(?:{self._pattern})$"
        elif not self._lines:
            found["pattern"] = r"^[^\n\t]*$"
        if not self._empty:
            found["minLength"] = 1
        return found


class Integer:
    """A whole number within limits."""

    def __init__(self, minimum: int, maximum: int) -> None:
        self._minimum = minimum
        self._maximum = maximum

    def __call__(self, value: object, path: Path, reader: Reader, /) -> Any:
        """Read a number."""
        if type(value) is not int or not self._minimum <= value <= self._maximum:
            what = f"a whole number from {self._minimum} to {self._maximum}"
            return reader.wrong(path, what, value)
        return value

    def schema(self) -> Schema:
        """Describe it."""
        return {"type": "integer", "minimum": self._minimum, "maximum": self._maximum}


class Custom:
    """A kind by a function, and what JSON Schema can say of it."""

    def __init__(self, read: Callable[[object, Path, Reader], Any], schema: Schema) -> None:
        self._read = read
        self._schema = schema

    def __call__(self, value: object, path: Path, reader: Reader, /) -> Any:
        """Read what the function reads."""
        return self._read(value, path, reader)

    def schema(self) -> Schema:
        """Describe it."""
        return dict(self._schema)


def described(
    schema: Schema,
) -> Callable[[Callable[[object, Path, Reader], Any]], Custom]:
    """Make a function a kind."""
    return lambda read: Custom(read, schema)


@described({"type": "boolean"})
def flag(value: object, path: Path, reader: Reader) -> object:
    """Read true or false."""
    return value if isinstance(value, bool) else reader.wrong(path, "true or false", value)


@described({})
def data(value: object, _path: Path, _reader: Reader) -> object:
    """Read any value: what the loader lets through is JSON."""
    return value


class Choice:
    """One word of a few."""

    def __init__(self, *options: str, what: str = "") -> None:
        self._options = options
        self._what = what or f"one of {', '.join(options)}"

    def __call__(self, value: object, path: Path, reader: Reader, /) -> Any:
        """Read a word."""
        if value in self._options:
            return value
        hint = nearest(value, self._options) if isinstance(value, str) else ""
        hint = "" if hint.startswith("known") else hint
        return reader.wrong(path, self._what, value, hint)

    def schema(self) -> Schema:
        """Describe it."""
        return {"enum": list(self._options)}


class Parsed:
    """A text that a function turns into a value, or refuses by ValueError."""

    def __init__(self, parse: Callable[[str], Any], what: str, pattern: str) -> None:
        self._parse = parse
        self._what = what
        self._pattern = pattern

    def __call__(self, value: object, path: Path, reader: Reader, /) -> Any:
        """Read a text."""
        if isinstance(value, str):
            try:
                return self._parse(value)
            except ValueError:
                pass
        is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
        is_bare = is_number or (isinstance(value, str) and value.isdecimal())
        return reader.wrong(path, self._what, value, "give its unit" if is_bare else "")

    def schema(self) -> Schema:
        """Describe it."""
        return {"type": "string", "description": self._what, "pattern": f"^(?:{self._pattern})$"}


class Items:
    """A list, read as a tuple."""

    def __init__(self, kind: Kind, what: str = "a list", *, least: int = 0) -> None:
        self.kind = kind
        self._what = what
        self._least = least

    def __call__(self, value: object, path: Path, reader: Reader, /) -> Any:
        """Read a list."""
        if not isinstance(value, list):
            return reader.wrong(path, self._what, value)
        if len(value) < self._least:
            reader.fault(path, "an empty list")
        results = [self.kind(item, (*path, index), reader) for index, item in enumerate(value)]
        return tuple(result for result in results if result is not BAD)

    def schema(self) -> Schema:
        """Describe it."""
        least = {"minItems": self._least} if self._least else {}
        return {"type": "array", "items": self.kind.schema(), **least}


class OneOrMore:
    """One of a kind, or a list of them, read as a tuple."""

    def __init__(self, kind: Kind, *, least: int = 0) -> None:
        self.kind = kind
        self._many = Items(kind, least=least)

    def __call__(self, value: object, path: Path, reader: Reader, /) -> Any:
        """Read one or a list."""
        if isinstance(value, list):
            return self._many(value, path, reader)
        found = self.kind(value, path, reader)
        return BAD if found is BAD else (found,)

    def schema(self) -> Schema:
        """Describe it."""
        return {"anyOf": [self.kind.schema(), self._many.schema()]}


class Shared:
    """A kind that is described once, under `definitions`: it is long, or holds itself."""

    def __init__(self, name: str, kind: Kind) -> None:
        self.name = name
        self.kind = kind

    def __call__(self, value: object, path: Path, reader: Reader, /) -> Any:
        """Read what the kind reads."""
        return self.kind(value, path, reader)

    def schema(self) -> Schema:
        """Refer to its description."""
        return {"$ref": f"#/definitions/{self.name}"}


class MapOf:
    """A mapping from names to one kind."""

    def __init__(self, kind: Kind, pattern: re.Pattern[str] = NAME, rule: str = NAME_RULE) -> None:
        self.kind = kind
        self._pattern = pattern
        self._rule = rule

    def __call__(self, value: object, path: Path, reader: Reader, /) -> Any:
        """Read a mapping."""
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
        """Describe it."""
        names = {"pattern": f"^(?:{self._pattern.pattern})$"}
        return {
            "type": "object",
            "propertyNames": names,
            "additionalProperties": self.kind.schema(),
        }


@dataclass(frozen=True, slots=True)
class Field:
    """One key of a record."""

    kind: Kind
    required: bool = False
    name: str = ""
    """Name of the field in the dataclass, if it is not the key."""


def key(
    kind: Kind,
    default: object = None,
    *,
    name: str = "",
    required: bool = False,
    factory: Callable[[], object] | None = None,
) -> Any:
    """Return a field of a dataclass that says itself how a file fills it.

    `name` is the key, if it is not the field's name. The text below the field explains it, also in
    the JSON Schema. `Record(TheClass)` reads all such fields; those without a kind are no keys.
    """
    metadata = {_KEY: (kind, required, name)}
    if factory is not None:
        return dataclasses.field(default_factory=factory, metadata=metadata)
    return dataclasses.field(default=default, metadata=metadata)


_KEY: Final = "key"


def keys_of(declared: type) -> dict[str, Field]:
    """Return the keys that the fields of a dataclass declare, in their order."""
    found = {}
    for field in dataclasses.fields(declared):
        if _KEY in field.metadata:
            kind, required, name = field.metadata[_KEY]
            found[name or field.name] = Field(kind, required, field.name)
    return found


class Record:
    """A mapping with known keys, read as a frozen dataclass.

    The class declares its keys by `key`; `fields` stands in for that where a class is read in more
    than one way. `build` makes the result, if the class alone does not. A wrong or missing value
    leaves the dataclass's default: what follows can be checked too.
    """

    def __init__(
        self,
        declared: type,
        fields: Mapping[str, Field | Kind] | None = None,
        *,
        build: Callable[..., Any] | None = None,
        reserved: tuple[str, ...] = (),
        shorthand: str = "",
        named: bool = False,
        exclusive: tuple[str, ...] = (),
    ) -> None:
        self.declared = declared
        self.build = build or declared
        self.fields: dict[str, tuple[Kind, str]] = {}
        self._required = []
        for name, field in (keys_of(declared) if fields is None else fields).items():
            one = field if isinstance(field, Field) else Field(field)
            self.fields[name] = (one.kind, one.name or name)
            if one.required:
                self._required.append(name)
        self._reserved = reserved
        self._shorthand = shorthand
        self._named = named
        self._exclusive = exclusive

    def __call__(self, value: object, path: Path, reader: Reader, /) -> Any:
        """Read a mapping."""
        if self._shorthand and isinstance(value, (str, list)):
            value = {self._shorthand: value}
        if not isinstance(value, dict):
            return reader.wrong(path, "a mapping", value)
        values: dict[str, Any] = {"name": path[-1]} if self._named else {}
        for key, item in value.items():
            field = self.fields.get(key)
            here = (*path, key)
            if field is None:
                self._unknown(here, key, reader)
                continue
            kind, name = field
            if (result := kind(item, here, reader)) is not BAD:
                values[name] = result
        for key in self._required:
            if key not in value:
                reader.fault(path, f"{key!r} is missing")
        given = [key for key in self._exclusive if key in value]
        if len(given) > 1:
            reader.fault((*path, given[1]), f"{' and '.join(given)} exclude each other", key=True)
        return self.build(**values)

    def schema(self) -> Schema:
        """Describe it."""
        from deepforge_hpc.files.texts import field_texts

        found = closed({key: kind.schema() for key, (kind, _) in self.fields.items()})
        texts = field_texts(self.declared)
        for name, (_, field) in self.fields.items():
            if field in texts:
                found["properties"][name].setdefault("description", texts[field])
        if self._required:
            found["required"] = list(self._required)
        if self._exclusive:
            pairs = [
                {"not": {"required": [first, second]}}
                for index, first in enumerate(self._exclusive)
                for second in self._exclusive[index + 1 :]
            ]
            found["allOf"] = pairs
        if self._shorthand:
            return {"anyOf": [self.fields[self._shorthand][0].schema(), found]}
        return found

    def _unknown(self, path: Path, key: str, reader: Reader) -> None:
        if key in self._reserved:
            reader.fault(path, f"{key!r} is not in this version", key=True)
        else:
            known = (*self.fields, *self._reserved)
            reader.fault(path, f"unknown key {shown(key)}", nearest(key, known), key=True)


def closed(properties: Schema, required: Iterable[str] = ()) -> Schema:
    """Return the schema of a mapping without other keys."""
    found: Schema = {
        "type": "object",
        "properties": properties,
        "additionalProperties": False,
    }
    if names := list(required):
        found["required"] = names
    return found


@described({"const": VERSION})
def version(value: object, path: Path, reader: Reader) -> object:
    """Read the format version of a file."""
    if value == VERSION and type(value) is int:
        return value
    reader.fault(path, f"format {shown(value)} is not in this version", f"write dfh: {VERSION}")
    return BAD
