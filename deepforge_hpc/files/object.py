"""The keys of a mapping of a YAML file, declared by the dataclass that it becomes.

@dataclass(frozen=True)
class Limits:
    nodes: int = key(Integer(1, 9), 1)
    'How many at most.'

Object(Limits)({"nodes": 3}, (), reader)    # Limits(nodes=3), or faults at their places
Object(Limits).schema()                     # the same for an editor, with the text
"""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from deepforge_hpc.files.faults import BAD, Path, Reader, nearest, shown
from deepforge_hpc.files.kinds import Kind, Schema


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
    the JSON Schema. `Object(TheClass)` reads all such fields; those without a kind are no keys.
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


class Object(Kind):
    """A mapping with known keys, read as a frozen dataclass.

    The class declares its keys by `key`; `fields` stands in for that where a class is read in more
    than one way. `build` makes the result, if the class alone does not. Of required keys that are
    `exclusive` one is enough. `instead` says what to write for keys that others have for the same.
    A wrong or missing value leaves the dataclass's default: what follows can be checked too.
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
        instead: Mapping[str, str] | None = None,
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
        choice = [[name for name in self._required if name in exclusive]]
        alone = [[name] for name in self._required if name not in exclusive]
        self._needed: list[list[str]] = [*alone, *filter(None, choice)]
        """The required keys, each alone, and together those that exclude each other."""
        self._instead = instead or {}

    def __call__(self, value: object, path: Path, reader: Reader, /) -> Any:
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
        for keys in self._needed:
            if value.keys().isdisjoint(keys):
                reader.fault(path, f"{' or '.join(map(repr, keys))} is missing")
        if self._exclusive and len(given := [key for key in self._exclusive if key in value]) > 1:
            reader.fault((*path, given[1]), f"{' and '.join(given)} exclude each other", key=True)
        return self.build(**values)

    def schema(self) -> Schema:
        from deepforge_hpc.files.texts import field_texts

        found = closed({key: kind.schema() for key, (kind, _) in self.fields.items()})
        texts = field_texts(self.declared)
        for name, (_, field) in self.fields.items():
            if field in texts:
                found["properties"][name].setdefault("description", texts[field])
        needed = self._needed
        if alone := [key for keys in needed for key in keys if not keys[1:]]:
            found["required"] = alone
        if choice := next((keys for keys in needed if keys[1:]), None):
            found["anyOf"] = [{"required": [key]} for key in choice]
        if self._exclusive:
            pairs = itertools.combinations(self._exclusive, 2)
            found["allOf"] = [{"not": {"required": list(pair)}} for pair in pairs]
        if self._shorthand:
            return {"anyOf": [self.fields[self._shorthand][0].schema(), found]}
        return found

    def _unknown(self, path: Path, key: str, reader: Reader) -> None:
        if key in self._reserved:
            reader.fault(path, f"{key!r} is not in this version", key=True)
        else:
            hint = self._instead.get(key.replace("-", "_")) or nearest(key, self.fields)
            reader.fault(path, f"unknown key {shown(key)}", hint, key=True)


def closed(properties: Schema) -> Schema:
    """Return the schema of a mapping without other keys."""
    return {"type": "object", "properties": properties, "additionalProperties": False}
