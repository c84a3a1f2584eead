"""Kinds of literals: what an argument takes that is neither a layer nor a function."""

from __future__ import annotations

from collections.abc import Callable

from deepforge_hpc.files.faults import Path, Reader
from deepforge_hpc.files.kinds import Custom, Kind, OneOf, Schema, flag

PARAMETER: Schema = {"type": "string", "pattern": r"^\$[A-Za-z][A-Za-z0-9_]*$"}
POSITIVE: Schema = {"type": "integer", "minimum": 1}
_INTEGER: Schema = {"type": "integer"}
_NUMBER: Schema = {"type": "number"}
_MIXED = ("mixed_float16", "mixed_bfloat16")
_Test = Callable[[object], bool]


def is_int(value: object, least: int | None = None) -> bool:
    """Tell whether a value is a whole number, and not below `least`."""
    return (
        isinstance(value, int)
        and value is not True
        and value is not False
        and (least is None or value >= least)
    )


def kind_of(sort: str, dtypes: tuple[str, ...]) -> Kind:
    """Return the kind of a sort of literal, as the catalogue names it."""
    name, _, count = sort.partition(":")
    if "|" in sort:
        return OneOf(*sort.split("|"))
    if name == "sizes":
        return _sizes(int(count) if count else None)
    if name == "dtype":
        return OneOf(*dtypes, *_MIXED, what="a type of numbers")
    return _KINDS[name]


def _plain(what: str, fits: _Test, *schemas: Schema) -> Custom:
    """Return the kind of a literal that a test is true of."""

    def read(value: object, path: Path, reader: Reader) -> object:
        return value if fits(value) else reader.wrong(path, what, value)

    return Custom(read, {"anyOf": list(schemas)} if schemas else {})


def _array(item: Schema) -> Schema:
    return {"type": "array", "items": {"anyOf": [item, PARAMETER]}}


def _all_int(value: object, least: int | None = None) -> bool:
    return isinstance(value, list) and bool(value) and all(is_int(item, least) for item in value)


def _is_margin(value: object) -> bool:
    return is_int(value, 0) or (
        isinstance(value, list) and all(is_int(item, 0) or _all_int(item, 0) for item in value)
    )


def _is_shape(value: object) -> bool:
    return isinstance(value, list) and all(item is None or is_int(item, -1) for item in value)


def _is_number(value: object) -> bool:
    return type(value) in {int, float}


def _is_fraction(value: object) -> bool:
    return isinstance(value, (int, float)) and _is_number(value) and 0 <= value <= 1


def is_literal(value: object) -> bool:
    """Tell whether nothing but Python's own constants comes of a value.

    A mapping could be a framework's form of any object, which it would then make.
    """
    if isinstance(value, list):
        return all(map(is_literal, value))
    return value is None or type(value) in {bool, int, float, str}


def _sizes(count: int | None) -> Kind:
    def fits(value: object) -> bool:
        is_list = _all_int(value, 1) and isinstance(value, list)
        return is_int(value, 1) or (is_list and count in (None, len(value)))  # type: ignore[arg-type]

    many = "them" if count is None else str(count)
    length = {} if count is None else {"minItems": count, "maxItems": count}
    what = f"a positive whole number, or a list of {many}"
    return _plain(what, fits, POSITIVE, {**_array(POSITIVE), **length})


_KINDS: dict[str, Kind] = {
    "flag": flag,
    "count": _plain("a positive whole number", lambda value: is_int(value, 1), POSITIVE),
    "integer": _plain("a whole number", is_int, _INTEGER),
    "number": _plain("a number", _is_number, _NUMBER),
    "fraction": _plain(
        "a number from 0 to 1", _is_fraction, {**_NUMBER, "minimum": 0, "maximum": 1}
    ),
    "axes": _plain(
        "a whole number or a list of them",
        lambda value: is_int(value) or _all_int(value),
        *(_INTEGER, _array(_INTEGER)),
    ),
    "shape": _plain("a list of whole numbers", _is_shape, {"type": "array"}),
    "margins": _plain(
        "a whole number, or a list of them or of pairs", _is_margin, _INTEGER, {"type": "array"}
    ),
    "padding": _plain(
        "same, valid, a whole number or a list of them",
        lambda value: value in {"same", "valid"} if isinstance(value, str) else _is_margin(value),
        *({"enum": ["same", "valid"]}, _INTEGER, {"type": "array"}),
    ),
    "any": _plain(
        "a number, a text, or a list of them",
        is_literal,
        {"type": ["boolean", "number", "string", "array", "null"]},
    ),
}
