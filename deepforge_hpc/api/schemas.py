"""JSON Schemas for editors, of the declarations that the files are read by.

They say what JSON Schema can say: names, kinds and limits of single values. What values say about
each other (a queue's node type, an output's consumer) only `dfh check` and `dfh site check` know.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

Schema = dict[str, Any]
# Not a newer one: editors know this one best.
_DIALECT = "http://json-schema.org/draft-07/schema#"
_NAME: Schema = {"type": "string", "pattern": r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,63}$"}


def pipeline_schema() -> Schema:
    """Return the schema of pipeline.yaml."""
    from deepforge_hpc.pipeline.file import PIPELINE

    return _titled("pipeline", "A pipeline of deepforge_hpc", PIPELINE.schema())


def site_schema() -> Schema:
    """Return the schema of a site file, with `extends` and variants."""
    from deepforge_hpc.site.read import SITE

    whole = SITE.schema()
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
        "base": {"type": "boolean", "description": "No machine: only for others to extend."},
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
    """Return the schema of an architecture file, as the library that it names tells it.

    Of one that is installed and does not work the name alone is known.
    """
    from deepforge_hpc.plugins import registry

    own = registry.built_in("libraries")
    names = [*own, *sorted(registry.installed("libraries").difference(own))]
    definitions: dict[str, Schema] = {}
    working = []
    for name in names:
        try:
            schema = _named_apart(registry.create("libraries", name).schema(), name)
        except Exception:  # the code of another package may raise anything
            if name in own:
                raise
            continue
        working.append(name)
        definitions |= schema.pop("definitions", {})
        definitions[name] = schema
    each = [
        {
            "if": {"properties": {"library": {"const": name}}},
            "then": {"$ref": f"#/definitions/{name}"},
        }
        for name in working
    ]
    schema = {
        "type": "object",
        "properties": {"library": {"enum": names}},
        "required": ["library"],
        "allOf": each,
        "definitions": definitions,
    }
    return _titled("architecture", "An architecture of deepforge_hpc", schema)


def _named_apart(schema: Schema, library: str) -> Schema:
    """Return a schema whose definitions have names that no other library has."""
    prefix = "#/definitions/"
    text = json.dumps(schema).replace(f'"$ref": "{prefix}', f'"$ref": "{prefix}{library}.')
    found: Schema = json.loads(text)
    named = {f"{library}.{name}": one for name, one in found.get("definitions", {}).items()}
    return {**found, "definitions": named}


SCHEMAS: dict[str, Callable[[], Schema]] = {
    "site": site_schema,
    "pipeline": pipeline_schema,
    "architecture": architecture_schema,
}


def _titled(name: str, title: str, schema: Schema) -> Schema:
    head = {"$schema": _DIALECT, "$id": f"urn:deepforge-hpc:{name}:1", "title": title}
    return {**head, **schema}
