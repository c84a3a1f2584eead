"""What the annotation of a return value promises; the job checks the value against it."""

from __future__ import annotations

import ast
from collections.abc import Collection
from dataclasses import dataclass

from deepforge_hpc.pipeline.annotation import (
    AnnotationError,
    Annotations,
    expression,
    shortened,
    type_arguments,
)

_NO_PROMISE = frozenset({"Any", "object", "NoReturn", "Never"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Promise:
    """What an output will be, as far as its annotation says so plainly."""

    annotation: str = ""
    """As the code has it; empty if it promises nothing."""
    types: tuple[str, ...] = ()
    """Of bool, dict, float, int, list, str; empty: any but None."""
    optional: bool = True
    """Whether it may be None."""


def read_promise(
    node: ast.expr | None, annotations: Annotations, formats: Collection[str]
) -> Promise:
    """Return the promise of one output's annotation; the id of a format promises nothing."""
    if node is None or (isinstance(node, ast.Constant) and node.value in formats):
        return Promise()
    optional = allows_none(node, annotations)
    try:
        types = annotations.constraint(node).types - {"None"}
    except AnnotationError:  # of limits, which are for attributes
        types = frozenset()
    if optional and not types:
        return Promise()
    return Promise(annotation=shortened(node), types=tuple(sorted(types)), optional=optional)


_NO_KEYS = frozenset({"int", "float", "bool", "bytes", "list", "None", "complex"})
_OTHER_FILES = frozenset({"parquet", "safetensors", "skops", "keras", "hdf5", "file"})
_NO_JSON = frozenset(
    {
        *("set", "frozenset", "bytes", "bytearray", "complex", "Set", "FrozenSet"),
        *("datetime.date", "datetime.datetime", "datetime.time", "datetime.timedelta"),
        *("decimal.Decimal", "fractions.Fraction", "uuid.UUID", "torch.nn.Module"),
    }
)
_SAID_OF_KEYS = frozenset({"Annotated", "Literal", "Optional", "Union"})


def json_problem(node: ast.expr | None, annotations: Annotations, *, inside: bool = False) -> str:
    """Return why JSON cannot hold what an annotation says; empty if it can, or nobody knows."""
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        node = expression(node.value)
    if not isinstance(node, ast.Subscript):
        name = annotations.plain(node) if node is not None else ""
        is_other = inside and annotations.port(node, ()) in _OTHER_FILES
        return f"JSON has no {name}" if name in _NO_JSON or is_other else ""
    name, members = annotations.plain(node.value), type_arguments(node)
    if name == "dict" and len(members) == 2:
        if _is_no_key(members[0], annotations):
            return f"keys of a JSON object are texts, not {shortened(members[0])}"
        members = members[1:]
    elif name == "Annotated":
        members = members[:1]
    elif name != "list":
        return f"JSON has no {name}" if name in _NO_JSON else ""
    found = (json_problem(member, annotations, inside=True) for member in members)
    return next(filter(None, found), "")


def _is_no_key(node: ast.expr | None, annotations: Annotations) -> bool:
    """Tell whether JSON has no such keys as an annotation says."""
    if isinstance(node, ast.Constant):
        return node.value is None or (
            isinstance(node.value, str) and _is_no_key(expression(node.value), annotations)
        )
    if isinstance(node, ast.Subscript):
        return annotations.plain(node.value) not in _SAID_OF_KEYS
    return node is not None and annotations.plain(node) in _NO_KEYS | _NO_JSON


def chosen_by_value(node: ast.expr | None, annotations: Annotations) -> bool:
    """Tell whether an annotation says that all members are arrays or tensors.

    As JSON they would be lists of numbers of no type; by the value the runtime finds what fits.
    """
    kind, members = annotations.members(node)
    ports = {annotations.port(member, ()) for member in members}
    if kind == "list":
        return ports == {"npy"}
    return kind == "dict" and ports in ({"npy"}, {"safetensors"})


def allows_none(node: ast.expr | None, annotations: Annotations) -> bool:
    """Tell whether None is a value of an annotation; of one that cannot be read it may be."""
    if node is None:
        return True
    if isinstance(node, ast.Constant):
        if isinstance(node.value, str):
            return allows_none(expression(node.value), annotations)
        return node.value is None
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.BitOr):
        return any(allows_none(side, annotations) for side in (node.left, node.right))
    if isinstance(node, ast.Subscript):
        return _subscript_allows_none(node, annotations)
    return annotations.plain(node) in _NO_PROMISE


def _subscript_allows_none(node: ast.Subscript, annotations: Annotations) -> bool:
    name, members = annotations.plain(node.value), type_arguments(node)
    if name == "Literal":
        return any(isinstance(member, ast.Constant) and member.value is None for member in members)
    if name == "Annotated":
        return allows_none(members[0] if members else None, annotations)
    if name == "Union":
        return any(allows_none(member, annotations) for member in members)
    return name == "Optional"
