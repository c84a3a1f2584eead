"""Values of a YAML file as Python source: literals by `repr`, functions by allow-listed names."""

from __future__ import annotations

import difflib
from typing import TYPE_CHECKING

from deepforge_hpc.libraries.keras.schema import (
    ACTIVATIONS,
    CHOICES,
    FUNCTIONS,
    LAYERS,
    Callable,
    snake_case,
)

if TYPE_CHECKING:
    from collections.abc import Collection

_MODULES = {
    "layer": "layers",
    "initializer": "initializers",
    "regularizer": "regularizers",
    "constraint": "constraints",
}
_MAX_RANK = 3


class BadValueError(Exception):
    """A value does not fit; `path` leads to the part of it that is wrong."""

    def __init__(self, message: str, hint: str = "", path: tuple[str | int, ...] = ()) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint
        self.path = path


def suggestion(name: str, known: Collection[str]) -> str:
    """Return a hint that names the nearest of the known names, or all of them if few."""
    folded = {other.lower(): other for other in known}
    near = difflib.get_close_matches(name.lower(), folded, 1, 0.6)
    if near:
        return f"did you mean {folded[near[0]]}?"
    return f"known: {', '.join(sorted(known))}" if 0 < len(known) <= 16 else ""


def call(kind: str, schema: Callable, arguments: dict[str, object]) -> str:
    """Return the source of a call by keywords, in the order of the schema."""
    words = [
        f"{name}={literal(schema, name, arguments[name])}"
        for name in schema.arguments
        if name in arguments
    ]
    return f"keras.{_MODULES[kind]}.{schema.name}({', '.join(words)})"


def bind(schema: Callable, arguments: object) -> dict[str, object]:
    """Return the arguments of a layer or function; BadValueError for one that it does not take."""
    if arguments is None:
        return {}
    if not isinstance(arguments, dict):
        message = f"the arguments of {schema.name} must be a mapping, not {_show(arguments)}"
        raise BadValueError(message, f"write {{{schema.name}: {{}}}} for none")
    for name in arguments:
        if name not in schema.arguments:
            message = f"{schema.name} has no argument {name!r}"
            raise BadValueError(message, suggestion(name, schema.arguments), (name,))
    return dict(arguments)


def missing(schema: Callable, arguments: dict[str, object]) -> list[str]:
    """Return the names of the arguments that must be given and are not."""
    return [name for name in schema.required if name not in arguments]


def literal(schema: Callable, name: str, value: object) -> str:
    """Return the source of an argument's value; BadValueError if it does not fit the argument."""
    kind = schema.arguments[name]
    if value is None and name not in schema.required:
        return "None"
    if kind in FUNCTIONS:
        return _function(kind, value)
    if kind == "layer":
        return _layer(value)
    problem = _CHECKS[kind](name, value)
    if problem:
        message = f"{name} of {schema.name} must be {problem}, not {_show(value)}"
        hint = _choice_hint(kind, name, value)
        raise BadValueError(message, hint)
    return _source(value)


def _choice_hint(kind: str, name: str, value: object) -> str:
    known = ACTIVATIONS if kind == "activation" else CHOICES.get(name, ())
    if kind not in ("activation", "text") or not isinstance(value, str):
        return ""
    hint = suggestion(value, known)
    return hint if hint.startswith("did") else ""


def _source(value: object) -> str:
    """Return a literal; lists become tuples, so that no two layers can share a mutable value."""
    if isinstance(value, list):
        inner = ", ".join(_source(item) for item in value)
        return f"({inner},)" if len(value) == 1 else f"({inner})"
    assert value is None or type(value) in (bool, int, float, str)
    return repr(value)


def _one(value: object) -> tuple[str, object]:
    """Return name and arguments of `name` or `{name: arguments}`."""
    if isinstance(value, str):
        return value, {}
    if isinstance(value, dict) and len(value) == 1:
        return next(iter(value.items()))
    message = f"expected a name or one {{name: arguments}}, not {_show(value)}"
    raise BadValueError(message)


def _function(kind: str, value: object) -> str:
    name, arguments = _one(value)
    table = FUNCTIONS[kind]
    by_name = {**table, **{snake_case(key): schema for key, schema in table.items()}}
    if name not in by_name:
        message = f"Keras has no {kind} {_show(name)} that this library knows"
        raise BadValueError(message, suggestion(name, by_name))
    return _nested(kind, by_name[name], name, arguments)


def _layer(value: object) -> str:
    name, arguments = _one(value)
    if name not in LAYERS:
        message = f"no Keras layer {_show(name)}"
        raise BadValueError(message, suggestion(name, LAYERS))
    schema = LAYERS[name]
    return _nested("layer", schema, name, arguments)


def _nested(kind: str, schema: Callable, name: str, arguments: object) -> str:
    try:
        bound = bind(schema, arguments)
        if absent := missing(schema, bound):
            message = f"{schema.name} needs {' and '.join(absent)}"
            raise BadValueError(message)
        return call(kind, schema, bound)
    except BadValueError as fault:
        raise BadValueError(fault.message, fault.hint, (name, *fault.path)) from fault


def _show(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..."


def _is_int(value: object, least: int | None = None) -> bool:
    return type(value) is int and (least is None or value >= least)


def _all_int(value: object, least: int | None = None) -> bool:
    return isinstance(value, list) and bool(value) and all(_is_int(item, least) for item in value)


def _count(_name: str, value: object) -> str:
    return "" if _is_int(value, 1) else "a positive whole number"


def _integer(_name: str, value: object) -> str:
    return "" if _is_int(value) else "a whole number"


def _number(_name: str, value: object) -> str:
    return "" if type(value) in (int, float) else "a number"


def _flag(_name: str, value: object) -> str:
    return "" if isinstance(value, bool) else "true or false"


def _text(name: str, value: object) -> str:
    choices = CHOICES[name]
    return "" if value in choices else f"one of {', '.join(choices)}"


def _sizes(_name: str, value: object) -> str:
    fits = _is_int(value, 1) or (
        _all_int(value, 1) and isinstance(value, list) and len(value) <= _MAX_RANK
    )
    return "" if fits else f"a positive whole number, or a list of up to {_MAX_RANK}"


def _axes(_name: str, value: object) -> str:
    return "" if _is_int(value) or _all_int(value) else "a whole number or a list of them"


def _shape(_name: str, value: object) -> str:
    fits = isinstance(value, list) and all(item is None or _is_int(item, -1) for item in value)
    return "" if fits else "a list of whole numbers"


def _margins(_name: str, value: object) -> str:
    fits = _is_int(value, 0) or (
        isinstance(value, list)
        and len(value) <= _MAX_RANK
        and all(_is_int(item, 0) or _all_int(item, 0) for item in value)
    )
    return "" if fits else "a whole number, or a list of them or of pairs"


def _activation(_name: str, value: object) -> str:
    return "" if value in ACTIVATIONS else "an activation that Keras has"


_CHECKS = {
    "count": _count,
    "integer": _integer,
    "number": _number,
    "flag": _flag,
    "text": _text,
    "sizes": _sizes,
    "axes": _axes,
    "shape": _shape,
    "margins": _margins,
    "activation": _activation,
}
