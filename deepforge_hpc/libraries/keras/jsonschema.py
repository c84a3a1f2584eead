"""The JSON Schema of an architecture file, of the same tables that check it.

A name that is no Keras layer is one of a block, whose parameters only `dfh check` knows.
"""

from __future__ import annotations

from typing import Any

from deepforge_hpc.libraries.keras.architecture import NAME
from deepforge_hpc.libraries.keras.schema import (
    ACTIVATIONS,
    CHOICES,
    FUNCTIONS,
    INPUT_DTYPES,
    LAYERS,
    Callable,
    snake_case,
)

Schema = dict[str, Any]
_NAME: Schema = {"type": "string", "pattern": f"^{NAME.pattern}$"}
_PARAMETER: Schema = {"type": "string", "pattern": r"^\$[A-Za-z][A-Za-z0-9_]*$"}
_INTEGER: Schema = {"type": "integer"}
_POSITIVE: Schema = {"type": "integer", "minimum": 1}
_NAMES: Schema = {"anyOf": [_NAME, {"type": "array", "items": _NAME, "minItems": 1}]}
_WHEN: Schema = {"anyOf": [{"type": "boolean"}, _PARAMETER]}
_PARAMETERS: Schema = {
    "type": "array",
    "items": {
        "anyOf": [
            _NAME,
            {"type": "object", "minProperties": 1, "maxProperties": 1, "propertyNames": _NAME},
        ]
    },
}
_LAYERS: Schema = {"$ref": "#/definitions/layers"}


def architecture_schema() -> Schema:
    """Return the schema of a whole file."""
    return {
        "type": "object",
        "properties": {
            "dfh": {"const": 1},
            "library": {"const": "keras"},
            "architecture": _NAME,
            "description": {"type": "string"},
            "parameters": _PARAMETERS,
            "inputs": {
                "type": "object",
                "propertyNames": _NAME,
                "additionalProperties": _input(),
            },
            "defaults": {
                "type": "object",
                "properties": {name: _reference(name) for name in LAYERS},
                "additionalProperties": False,
            },
            "blocks": {
                "type": "object",
                "propertyNames": _NAME,
                "additionalProperties": {"$ref": "#/definitions/block"},
            },
            "layers": _LAYERS,
            "outputs": _NAMES,
        },
        "required": ["library", "architecture", "inputs", "layers"],
        "additionalProperties": False,
        "definitions": {
            "layers": _layers(),
            "step": _step(),
            "block": _block(),
            "layer": _call({name: _nested(name) for name in LAYERS}),
            **{kind: _function(kind) for kind in FUNCTIONS},
            **{name: _arguments(one) for name, one in LAYERS.items()},
        },
    }


def _input() -> Schema:
    size: Schema = {"anyOf": [_POSITIVE, {"type": "null"}]}
    shape: Schema = {"type": "array", "items": size}
    full: Schema = {
        "type": "object",
        "properties": {"shape": shape, "dtype": {"enum": list(INPUT_DTYPES)}, "when": _WHEN},
        "required": ["shape"],
        "additionalProperties": False,
    }
    return {"anyOf": [shape, full]}


def _block() -> Schema:
    return {
        "type": "object",
        "properties": {
            "parameters": _PARAMETERS,
            "inputs": _NAMES,
            "layers": _LAYERS,
            "output": _NAME,
            "description": {"type": "string"},
        },
        "required": ["layers"],
        "additionalProperties": False,
    }


def _layers() -> Schema:
    step: Schema = {"$ref": "#/definitions/step"}
    return {
        "type": "array",
        "minItems": 1,
        "items": {
            "type": "object",
            "minProperties": 1,
            "maxProperties": 1,
            "propertyNames": _NAME,
            "additionalProperties": {
                "anyOf": [step, {"type": "array", "items": step, "minItems": 1}]
            },
        },
    }


def _step() -> Schema:
    # What `defaults` gives need not stand here, so nothing is required of a layer's arguments.
    layers = {name: _or_nothing(_reference(name)) for name in LAYERS}
    return {
        "type": "object",
        "properties": {"from": _NAMES, "when": _WHEN, **layers},
        "propertyNames": _NAME,
        "minProperties": 1,
        "maxProperties": 3,
    }


def _reference(name: str) -> Schema:
    return {"$ref": f"#/definitions/{name}"}


def _or_nothing(schema: Schema) -> Schema:
    return {"anyOf": [schema, {"type": "null"}]}


def _nested(name: str) -> Schema:
    """Describe the arguments of a layer inside another one, which no defaults fill up."""
    required = list(LAYERS[name].required)
    return {"allOf": [_reference(name), {"required": required}]} if required else _reference(name)


def _arguments(one: Callable) -> Schema:
    return {
        "type": "object",
        "properties": {name: _value(name, kind) for name, kind in one.arguments.items()},
        "additionalProperties": False,
    }


def _value(name: str, kind: str) -> Schema:
    return {"anyOf": [*_plain(name, kind), _PARAMETER, {"type": "null"}]}


def _plain(name: str, kind: str) -> list[Schema]:
    if kind in FUNCTIONS or kind == "layer":
        return [_reference(kind)]
    integers: Schema = {"type": "array", "items": {"anyOf": [_INTEGER, _PARAMETER]}}
    sizes: Schema = {"type": "array", "maxItems": 3, "items": {"anyOf": [_POSITIVE, _PARAMETER]}}
    table: dict[str, list[Schema]] = {
        "count": [_POSITIVE],
        "integer": [_INTEGER],
        "number": [{"type": "number"}],
        "flag": [{"type": "boolean"}],
        "text": [{"enum": list(CHOICES.get(name, ()))}],
        "sizes": [_POSITIVE, sizes],
        "axes": [_INTEGER, integers],
        "shape": [{"type": "array"}],
        "margins": [_INTEGER, {"type": "array", "maxItems": 3}],
        "activation": [{"enum": list(ACTIVATIONS)}],
    }
    return table[kind]


def _function(kind: str) -> Schema:
    table = {name: _or_nothing(_arguments(one)) for name, one in FUNCTIONS[kind].items()}
    return _call({**table, **{snake_case(name): one for name, one in table.items()}})


def _call(table: Schema) -> Schema:
    """Describe a name, or {name: arguments}."""
    one: Schema = {
        "type": "object",
        "properties": table,
        "additionalProperties": False,
        "minProperties": 1,
        "maxProperties": 1,
    }
    return {"anyOf": [{"enum": list(table)}, one]}
