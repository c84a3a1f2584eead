"""JSON Schemas for editors, of the declarations that the files are read by.

They say what JSON Schema can say: names, kinds and limits of single values. What values say about
each other (a queue's node type, an output's consumer) only `dfh check` and `dfh site check` know.
"""

from __future__ import annotations

import ast
import functools
import inspect
import itertools
from typing import TYPE_CHECKING, Any

from deepforge_hpc.files.kinds import Items, MapOf, Record

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from types import ModuleType

Schema = dict[str, Any]
# Not a newer one: editors know this one best.
_DIALECT = "http://json-schema.org/draft-07/schema#"
_NAME: Schema = {"type": "string", "pattern": r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,63}$"}


def pipeline_schema() -> Schema:
    """Return the schema of pipeline.yaml."""
    from deepforge_hpc.pipeline.file import PIPELINE

    return _titled("pipeline", "A pipeline of deepforge_hpc", _explained(PIPELINE))


def site_schema() -> Schema:
    """Return the schema of a site file, with `extends` and variants."""
    from deepforge_hpc.site.reader import SITE

    whole = _explained(SITE)
    parts = whole["properties"]
    refs = {name: {"$ref": f"#/definitions/{name}"} for name in parts}
    part: Schema = {"type": "object", "properties": refs, "additionalProperties": False}
    own: Schema = {
        "extends": {**_NAME, "description": "The site that this one is laid over."},
        "variants": {
            "type": "object",
            "propertyNames": _NAME,
            "additionalProperties": part,
            "description": "Parts that are laid over the file, as in --site NAME/VARIANT.",
        },
        "default_variant": _NAME,
    }
    return _titled(
        "site",
        "A site of deepforge_hpc",
        {
            "type": "object",
            "properties": {**refs, **own},
            "additionalProperties": False,
            "required": ["site"],
            "anyOf": [{"required": ["scheduler"]}, {"required": ["extends"]}],
            "definitions": parts,
        },
    )


def architecture_schema() -> Schema:
    """Return the schema of an architecture file."""
    from deepforge_hpc.libraries.keras.jsonschema import architecture_schema as keras

    return _titled("architecture", "An architecture of deepforge_hpc", keras())


SCHEMAS: dict[str, Callable[[], Schema]] = {
    "site": site_schema,
    "pipeline": pipeline_schema,
    "architecture": architecture_schema,
}


def _titled(name: str, title: str, schema: Schema) -> Schema:
    head = {"$schema": _DIALECT, "$id": f"urn:deepforge-hpc:{name}:1", "title": title}
    return {**head, **schema}


def _explained(record: Record) -> Schema:
    """Return a record's schema with what the dataclasses say of their fields."""
    schema = record.schema()
    for kind, found in _records(record, schema):
        texts = _field_texts(kind.build)
        for key, (_, field) in kind.fields.items():
            if text := texts.get(field):
                found["properties"][key].setdefault("description", text)
    return schema


def _records(kind: object, schema: Schema) -> Iterator[tuple[Record, Schema]]:
    """Yield each record below a kind, with its part of the schema."""
    if isinstance(kind, Record):
        found = next(one for one in (schema, *schema.get("anyOf", ())) if "properties" in one)
        yield kind, found
        for key, (inner, _) in kind.fields.items():
            yield from _records(inner, found["properties"][key])
    elif isinstance(kind, Items):
        yield from _records(kind.kind, schema["items"])
    elif isinstance(kind, MapOf):
        yield from _records(kind.kind, schema["additionalProperties"])
    elif (held := getattr(kind, "kind", None)) is not None:
        for one in schema["anyOf"]:
            if one.keys() & {"properties", "items", "additionalProperties", "anyOf"}:
                yield from _records(held, one)
                return


def _field_texts(build: object) -> dict[str, str]:
    """Return the texts that stand below the fields of a dataclass, in its source."""
    if not inspect.isclass(build) or (module := inspect.getmodule(build)) is None:
        return {}
    return _class_texts(module).get(build.__name__, {})


@functools.cache
def _class_texts(module: ModuleType) -> dict[str, dict[str, str]]:
    tree = ast.parse(inspect.getsource(module))
    return {node.name: _texts(node.body) for node in tree.body if isinstance(node, ast.ClassDef)}


def _texts(body: list[ast.stmt]) -> dict[str, str]:
    texts = {}
    for field, below in itertools.pairwise(body):
        if not isinstance(field, ast.AnnAssign) or not isinstance(field.target, ast.Name):
            continue
        if isinstance(below, ast.Expr) and isinstance(below.value, ast.Constant):
            texts[field.target.id] = inspect.cleandoc(str(below.value.value)).replace("\n", " ")
    return texts
