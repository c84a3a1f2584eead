"""The texts that stand below the fields of a dataclass: what its keys mean, for JSON Schemas."""

from __future__ import annotations

import ast
import functools
import inspect
import itertools
from types import ModuleType


def field_texts(declared: type) -> dict[str, str]:
    """Return the texts of a class's fields, each on one line; they are read from its source."""
    module = inspect.getmodule(declared)
    return {} if module is None else _class_texts(module).get(declared.__name__, {})


@functools.cache
def _class_texts(module: ModuleType) -> dict[str, dict[str, str]]:
    try:
        tree = ast.parse(inspect.getsource(module))
    except (OSError, TypeError):  # a built-in type, or no source at hand
        return {}
    return {node.name: _texts(node.body) for node in tree.body if isinstance(node, ast.ClassDef)}


def _texts(body: list[ast.stmt]) -> dict[str, str]:
    texts = {}
    for field, below in itertools.pairwise(body):
        if not isinstance(field, ast.AnnAssign) or not isinstance(field.target, ast.Name):
            continue
        if isinstance(below, ast.Expr) and isinstance(below.value, ast.Constant):
            texts[field.target.id] = inspect.cleandoc(str(below.value.value)).replace("\n", " ")
    return texts
