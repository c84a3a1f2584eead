"""What the code of an operation refuses of its arguments, read as syntax: the code is never run.

    def __init__(self, fold: int = 0, folds: int = 5):
        if fold >= folds:
            raise ValueError(f"fold {fold} is none of the {folds}")

The job says this when it makes the operation; so does the check, which follows the first statements
of `__init__` and `execute`, or of a function, as far as they are assignments and refusals. What it
cannot tell of a condition (an unknown function, what an input holds) is left to the job.
"""

from __future__ import annotations

import ast
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Any, NamedTuple

from deepforge_hpc.pipeline.evaluate import CannotTell, Connected, evaluate, place_of
from deepforge_hpc.pipeline.interface import NO_DEFAULT, Function

if TYPE_CHECKING:
    from deepforge_hpc.files.faults import Path
    from deepforge_hpc.pipeline.interface import OperationCode, Parameter

_QUIET = (ast.Assign, ast.AnnAssign, ast.If, ast.Pass, ast.Raise)


class _RefusedValues(NamedTuple):
    """What the code refuses."""

    message: str
    names: tuple[str, ...]
    """What its condition looks at, in order."""
    line: int


class _Left(Exception):  # noqa: N818 - no error: the job will tell
    """What follows cannot be told."""


def refused(
    code: OperationCode,
    attributes: Mapping[str, Any],
    inputs: Mapping[str, str | Sequence[str]],
    unknown: Collection[str],
) -> Iterator[tuple[Path, str]]:
    """Yield what the code of an operation refuses: where in the operation, and its message.

    It stands at the first attribute that is given of those that it is about, or at an input.
    `unknown` are names of arguments that are given otherwise.
    """
    if not code.functions:  # as of most
        return
    ports = {
        name: Connected() if isinstance(given, str) else [Connected() for _ in given]
        for name, given in inputs.items()
    }
    taken = {*attributes, *ports, *unknown}
    values = {**_defaults(code.parameters, taken), **attributes}
    by_execute = {**_defaults(code.inputs, taken), **ports}
    if code.kind != "class":
        values |= by_execute
    for function in code.functions:
        for one in _refusals(function, values):
            places = [("attributes", name) for name in one.names if name in attributes]
            places += [("inputs", name) for name in one.names if name in inputs]
            yield next(iter(places), ()), f"{one.message} ({code.file}:{one.line})"
        of_object = {name: value for name, value in values.items() if name.startswith("self.")}
        values = by_execute | of_object


def _defaults(parameters: Iterable[Parameter], taken: Collection[str]) -> dict[str, Any]:
    """Return the defaults that count, as far as they are data."""
    return {
        one.name: one.default
        for one in parameters
        if not one.required and one.name not in taken and one.default is not NO_DEFAULT
    }


def _refusals(function: Function, values: dict[str, Any]) -> list[_RefusedValues]:
    """Return what a function refuses of arguments that are known.

    `values` has them by name, and gets what the function assigns: of its object as `self.NAME`.
    """
    found: list[_RefusedValues] = []
    with suppress(_Left, RecursionError):
        found.extend(_follow(function.body, values, ()))
    return found


def _follow(
    body: Sequence[ast.stmt], values: dict[str, Any], tests: tuple[ast.expr, ...]
) -> Iterator[_RefusedValues]:
    for node in body:
        if isinstance(node, ast.If):
            yield from _branch(node, values, tests)
        elif isinstance(node, ast.Raise) and tests:
            yield _refusal(node, values, tests)
            return
        elif isinstance(node, ast.Assign):
            for target in node.targets:
                _assign(target, node.value, values)
        elif isinstance(node, ast.AnnAssign):
            if node.value is not None:
                _assign(node.target, node.value, values)
        elif not _does_nothing(node):
            raise _Left


def _does_nothing(node: ast.stmt) -> bool:
    is_text = isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
    return is_text or isinstance(node, ast.Pass)


def _branch(
    node: ast.If, values: dict[str, Any], tests: tuple[ast.expr, ...]
) -> Iterator[_RefusedValues]:
    try:
        is_so = bool(evaluate(node.test, values))
    except CannotTell:
        for inner in ast.walk(node):
            if isinstance(inner, ast.stmt) and not isinstance(inner, _QUIET):
                raise _Left from None
            if isinstance(inner, (ast.Name, ast.Attribute)) and isinstance(inner.ctx, ast.Store):
                values.pop(place_of(inner), None)
    else:
        yield from _follow(node.body if is_so else node.orelse, values, (*tests, node.test))


def _refusal(
    node: ast.Raise, values: Mapping[str, Any], tests: tuple[ast.expr, ...]
) -> _RefusedValues:
    message: Any = None
    if isinstance(node.exc, ast.Call) and node.exc.args:
        with suppress(CannotTell):
            message = evaluate(node.exc.args[0], values)
    if not isinstance(message, str):
        message = f"the code refuses this: {' and '.join(map(ast.unparse, tests))}"
    names = dict.fromkeys(name for test in reversed(tests) for name in _names(test))
    return _RefusedValues(message, tuple(names), node.lineno)


def _names(node: ast.AST) -> Iterator[str]:
    """Yield the names that an expression reads, from left to right; of `self.x`, x."""
    if place := place_of(node):
        yield place.removeprefix("self.")
    for child in ast.iter_child_nodes(node):
        yield from _names(child)


def _assign(target: ast.expr, value: ast.expr, values: dict[str, Any]) -> None:
    """Take over what is assigned; what is not known is forgotten, and all that it might change."""
    pairs = [(target, value)]
    if isinstance(target, ast.Tuple) and isinstance(value, ast.Tuple):
        both = zip(target.elts, value.elts, strict=False)
        pairs = list(both) if len(target.elts) == len(value.elts) else pairs
    before = dict(values)  # all are read before one is assigned
    for one, its in pairs:
        place = place_of(one)
        try:
            found = evaluate(its, before)
        except CannotTell:
            for node in ast.walk(its):
                values.pop(place_of(node), None)
            place = ""
        if place:
            values[place] = found
            continue
        for node in ast.walk(one):
            values.pop(place_of(node), None)
