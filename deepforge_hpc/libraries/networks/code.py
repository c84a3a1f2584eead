"""Source text of values: literals, and names of the catalogue and of the project."""

from __future__ import annotations

import re
from typing import Any, NamedTuple

from deepforge_hpc.files.faults import BAD, Path, Reader, nearest
from deepforge_hpc.files.kinds import Kind, Schema
from deepforge_hpc.libraries.networks.dialect import Dialect

_WORD = "[A-Za-z_][A-Za-z0-9_]*"
_OURS = "(?!(?:keras|torch|nn|build|t[0-9]+|layer_t[0-9]+|model_[0-9]+)(?:[.]|:))"
OBJECT = rf"{_OURS}{_WORD}(?:[.]{_WORD})*:{_WORD}"
"""A layer or a function of the project, by module and name; no module has a name of our source."""
OBJECT_RULE = "MODULE:Name of the project"
OBJECT_SCHEMA: Schema = {"type": "string", "pattern": f"^{OBJECT}$"}


class Code(NamedTuple):
    """Source text that is no literal, and what of the project stands in it."""

    text: str
    objects: tuple[str, ...] = ()


def source(value: object) -> Code:
    """Return the source of a value; lists become tuples, so that no two layers share one."""
    if isinstance(value, Code):
        return value
    if isinstance(value, list):
        items = [source(item) for item in value]
        inner = ", ".join(item.text for item in items)
        text = f"({inner},)" if len(value) == 1 else f"({inner})"
        return Code(text, tuple(one for item in items for one in item.objects))
    assert value is None or type(value) in (bool, int, float, str)
    return Code(repr(value))


def is_object(name: object) -> bool:
    """Tell whether a name is `MODULE:Name`."""
    return isinstance(name, str) and re.fullmatch(OBJECT, name) is not None


def object_code(name: str) -> Code:
    """Return how source names `MODULE:Name`."""
    return Code(name.replace(":", "."), (name,))


class Function:
    """A function of the project."""

    def __call__(self, value: object, path: Path, reader: Reader, /) -> Any:
        """Read its name."""
        if is_object(value):
            return object_code(str(value))
        return reader.wrong(path, f"a function, as {OBJECT_RULE}", value)

    def schema(self) -> Schema:
        """Describe it."""
        return OBJECT_SCHEMA


class Activation:
    """An activation by its name in the framework, or `MODULE:function` of the project."""

    def __init__(self, dialect: Dialect) -> None:
        self._dialect = dialect
        self._names = dialect.catalogue.known("activation")

    def __call__(self, value: object, path: Path, reader: Reader, /) -> Any:
        """Read a name."""
        thing = self._dialect.catalogue.find("activation", str(value))
        if thing is not None:
            return value if self._dialect.activations_by_text else Code(thing.code)
        if is_object(value):
            return object_code(str(value))
        hint = nearest(value, self._names) if isinstance(value, str) else ""
        return reader.wrong(path, f"an activation that {self._dialect.framework} has", value, hint)

    def schema(self) -> Schema:
        """Describe it."""
        return {"anyOf": [{"enum": list(self._names)}, OBJECT_SCHEMA]}


class Calls:
    """A list of layers."""

    def __init__(self, one: Kind) -> None:
        self._one = one

    def __call__(self, value: object, path: Path, reader: Reader, /) -> Any:
        """Read each."""
        if not isinstance(value, list):
            return reader.wrong(path, "a list of layers", value)
        found = [self._one(item, (*path, index), reader) for index, item in enumerate(value)]
        return BAD if BAD in found else found

    def schema(self) -> Schema:
        """Describe it."""
        return {"type": "array", "items": self._one.schema()}


class Either:
    """A literal, or a call for what is a mapping or a text."""

    def __init__(self, literal: Kind, call: Kind) -> None:
        self._literal = literal
        self._call = call

    def __call__(self, value: object, path: Path, reader: Reader, /) -> Any:
        """Read the one or the other."""
        kind = self._call if isinstance(value, (dict, str)) else self._literal
        return kind(value, path, reader)

    def schema(self) -> Schema:
        """Describe both."""
        return {"anyOf": [self._literal.schema(), self._call.schema()]}
