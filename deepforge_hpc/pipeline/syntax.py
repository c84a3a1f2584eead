"""Ways through a syntax tree that cost less than those of `ast`: much of the time of a check."""

from __future__ import annotations

import ast
from collections.abc import Iterator

_BLOCKS = ("body", "orelse", "handlers", "finalbody", "cases")
_KEPT = "nodes_below"
_SCOPES = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)


def statements(node: ast.AST, *, own: bool = False) -> Iterator[ast.AST]:
    """Yield a node and the statements in it, not their expressions; `own`: of no scope inside."""
    todo = [node]
    for one in todo:
        yield one
        if not own or one is node or not isinstance(one, _SCOPES):
            for block in _BLOCKS:
                todo += getattr(one, block, ())


def nodes(node: ast.AST) -> Iterator[ast.AST]:
    """Yield a node and all in it."""
    todo = [node]
    for one in todo:
        yield one
        todo += children(one)


def children(node: ast.AST) -> list[ast.AST]:
    """Return the nodes right below one, but whether a name is read or set (`ctx`).

    They are kept with the node: a tree is walked five times or so.
    """
    found: list[ast.AST] | None = getattr(node, _KEPT, None)
    if found is not None:
        return found
    found = []
    setattr(node, _KEPT, found)
    for name in node._fields:
        value = getattr(node, name, None)
        if isinstance(value, list):
            found += [item for item in value if isinstance(item, ast.AST)]
        elif isinstance(value, ast.AST) and name != "ctx":
            found.append(value)
    return found
