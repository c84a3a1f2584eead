"""What a leaf of a site file may hold: a value of its kind, or `unknown`."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from deepforge_hpc.files.faults import BAD, Path, Reader, shown
from deepforge_hpc.files.kinds import Integer, Items, Kind, OneOf, Parsed, Schema, Text, described
from deepforge_hpc.files.object import Object, key
from deepforge_hpc.site.regex import runs_away
from deepforge_hpc.site.unknown import UNKNOWN, Range
from deepforge_hpc.units import DURATION, MEMORY, parse_duration, parse_memory

SLURM_NAME = r"[A-Za-z0-9][A-Za-z0-9_.,:+-]{0,100}"
VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,100}")
VARIABLE_RULE = "the name of a variable"
UNKNOWN_SCHEMA: Schema = {"const": "unknown"}


class OrUnknown(Kind):
    """A kind that takes `unknown` besides: as UNKNOWN, or as if nothing were given.

    The second is for what is written into scripts, where nothing can stand for not knowing. The
    site lists all its unknown leaves either way. Nothing, or an empty text, is not given: so a file
    takes back what it inherits.
    """

    def __init__(self, kind: Kind, *, absent: bool = False) -> None:
        self.kind = kind
        self._answer = BAD if absent else UNKNOWN

    def __call__(self, value: object, path: Path, reader: Reader, /) -> Any:
        if value is None or value == "":
            return BAD
        return self._answer if value == "unknown" else self.kind(value, path, reader)

    def schema(self) -> Schema:
        return {"anyOf": [{"enum": ["unknown", "", None]}, self.kind.schema()]}


class Known(Kind):
    """A kind for what stands among others of it: `unknown` is left out, and the site lists it."""

    def __init__(self, kind: Kind) -> None:
        self.kind = kind

    def __call__(self, value: object, path: Path, reader: Reader, /) -> Any:
        return BAD if value == "unknown" else self.kind(value, path, reader)

    def schema(self) -> Schema:
        return {"anyOf": [UNKNOWN_SCHEMA, self.kind.schema()]}


def list_of(kind: Kind, what: str) -> Items:
    """Return the kind of a list whose items may be unknown."""
    return Items(Known(kind), what)


class Whole(Kind):
    """A list that says nothing at all if one of its items is unknown, for the order counts."""

    def __init__(self, kind: Kind, what: str) -> None:
        self._items = list_of(kind, what)

    def __call__(self, value: object, path: Path, reader: Reader, /) -> Any:
        found = self._items(value, path, reader)
        return BAD if isinstance(value, list) and "unknown" in value else found

    def schema(self) -> Schema:
        return self._items.schema()


def fact(kind: Kind, default: object = None, **words: Any) -> Any:
    """Return a field that says what a site is like, and may be UNKNOWN; see `key`."""
    return key(OrUnknown(kind), default, **words)


def given(kind: Kind, default: object = None, **words: Any) -> Any:
    """Return a field for which `unknown` is as if nothing were given; see `key`."""
    return key(OrUnknown(kind, absent=True), default, **words)


@described({"anyOf": [{"type": "boolean"}, {"enum": ["yes", "no"]}]})
def yes_no(value: object, path: Path, reader: Reader) -> object:
    """Read yes, no, true or false: YAML 1.2 leaves the first two as text."""
    if isinstance(value, bool):
        return value
    if value in {"yes", "no"}:
        return value == "yes"
    return reader.wrong(path, "yes or no", value)


class NoOr(OrUnknown):
    """A kind for what may not be there: `no` is read as False."""

    def __call__(self, value: object, path: Path, reader: Reader, /) -> Any:
        return False if value in (False, "no") else super().__call__(value, path, reader)

    def schema(self) -> Schema:
        return {"anyOf": [{"enum": [False, "no"]}, super().schema()]}


class YesNoOr(Kind):
    """A word for which `true` and `false` stand for `yes` and `no`."""

    def __init__(self, *options: str) -> None:
        self.kind = OneOf("yes", "no", *options)

    def __call__(self, value: object, path: Path, reader: Reader, /) -> Any:
        if isinstance(value, bool):
            value = "yes" if value else "no"
        return self.kind(value, path, reader)

    def schema(self) -> Schema:
        return {"anyOf": [{"type": "boolean"}, self.kind.schema()]}


class RangeOf(Kind):
    """{min, max}, each of a kind or unknown; the whole may be unknown too."""

    def __init__(self, kind: Kind) -> None:
        self.kind = kind
        limit = OrUnknown(kind)
        self._record = Object(Range, {"min": limit, "max": limit})

    def __call__(self, value: object, path: Path, reader: Reader, /) -> Any:
        if value == "unknown":
            return Range(min=UNKNOWN, max=UNKNOWN)
        if value is not None and not isinstance(value, dict):
            return reader.wrong(path, "limits such as {min: 1, max: 8}", value)
        result = self._record(value, path, reader)
        if not isinstance(result, Range):
            return BAD
        if isinstance(result.min, int) and isinstance(result.max, int) and result.min > result.max:
            assert isinstance(value, dict)
            reader.fault(path, f"min {shown(value['min'])} is above max {shown(value['max'])}")
        return result

    def schema(self) -> Schema:
        return {"anyOf": [UNKNOWN_SCHEMA, self._record.schema()]}


@described({"anyOf": [{"const": "available"}, {"type": "integer", "minimum": 1}]})
def cores(value: object, path: Path, reader: Reader) -> object:
    """Read a number of cores, or `available`: those that this process may use."""
    if value == "available":
        import os

        return len(os.sched_getaffinity(0))
    return _CORES(value, path, reader)


@described({"type": "string", "format": "regex", "minLength": 1, "pattern": r"^[^\n\t]*$"})
def pattern(value: object, path: Path, reader: Reader) -> object:
    """Read a regular expression."""
    result = LINE(value, path, reader)
    if result is BAD:
        return BAD
    try:
        re.compile(str(result))
    except (re.error, RecursionError, OverflowError) as error:
        reader.fault(path, f"not a regular expression: {error}")
        return BAD
    if runs_away(str(result)):
        message = "it may take for ever: something that repeats has a repetition or a choice inside"
        reader.fault(path, message, "write [a-z_]+ for ([a-z]+_?)+ or (a|b|_)+")
        return BAD
    return result


def unknown_leaves(data: object, path: Path = ()) -> Iterator[Path]:
    """Yield the places where the word `unknown` stands for a fact."""
    if data == "unknown":
        yield path
    elif isinstance(data, dict):
        for key, item in data.items():
            yield from unknown_leaves(item, (*path, key))
    elif isinstance(data, list):
        for index, item in enumerate(data):
            yield from unknown_leaves(item, (*path, index))


_CORES = Integer(1, 100_000)
LINE = Text("text of one line", r"[^\n\t]*", is_any=True)
TEXT = Text(lines=True)
COUNT = Integer(0, 100_000_000)
TIME = Parsed(parse_duration, 'a duration such as 90m, 2h or "1-12:00:00"', DURATION)
SIZE = Parsed(parse_memory, "a memory size such as 4GiB or 512MiB", MEMORY)
DATE = Text("a date such as 2026-07-22", r"\d{4}-\d{2}-\d{2}")
VARIABLE_NAME = Text(VARIABLE_RULE, VARIABLE.pattern)
