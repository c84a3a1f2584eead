"""Expressions of plain data, as the code of an operation has them: evaluated, never run.

Nothing is known here but the values that are given and a few functions of Python: no module, no
object, no operator that makes much of little.
"""

from __future__ import annotations

import ast
import operator
import re
from collections.abc import Callable, Mapping
from typing import Any, NoReturn


class CannotTell(Exception):  # noqa: N818 - no error: the job will tell
    """It cannot be told here what an expression is."""


class Connected:
    """A value that only the job has: it is not None, and all else of it is unknown."""

    def _unknown(self, *_: object) -> NoReturn:
        raise CannotTell

    __eq__ = __hash__ = __bool__ = __repr__ = __format__ = _unknown


_SPEC = re.compile(r",?(\.\d{1,2})?[defg%]?")
_NUMBERS: dict[type[ast.AST], Callable[[Any, Any], Any]] = {
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
    ast.FloorDiv: operator.floordiv,
    ast.Mod: operator.mod,
}
"""Of numbers alone: a text times a number may be of any length."""
_SIGNS: dict[type[ast.AST], Callable[[Any, Any], Any]] = {
    **_NUMBERS,
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.BitOr: operator.or_,
    ast.BitAnd: operator.and_,
    ast.Eq: operator.eq,
    ast.NotEq: operator.ne,
    ast.Lt: operator.lt,
    ast.LtE: operator.le,
    ast.Gt: operator.gt,
    ast.GtE: operator.ge,
    ast.Is: operator.is_,
    ast.IsNot: operator.is_not,
    ast.In: lambda a, b: a in b,
    ast.NotIn: lambda a, b: a not in b,
}
_FUNCTIONS: dict[str, Callable[..., Any]] = {
    one.__name__: one
    for one in (
        abs,
        all,
        any,
        bool,
        dict,
        float,
        int,
        len,
        list,
        max,
        min,
        set,
        sorted,
        str,
        sum,
        tuple,
    )
}
_METHODS: dict[str, type[Any]] = {
    **dict.fromkeys(("get", "items", "keys", "values"), dict),
    **dict.fromkeys(("endswith", "isdecimal", "split", "startswith"), str),
}
_Values = Mapping[str, Any]


def place_of(node: ast.AST) -> str:
    """Return the key of a name, or of an attribute of one; else nothing."""
    if isinstance(node, ast.Name):
        return node.id
    if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
        return f"{node.value.id}.{node.attr}"
    return ""


def evaluate(node: ast.expr, values: _Values) -> Any:
    """Return the value of an expression; CannotTell if that cannot be told."""
    evaluated = _EVALUATORS.get(type(node))
    if evaluated is None:
        raise CannotTell
    try:
        return evaluated(node, values)
    except (ArithmeticError, LookupError, RecursionError, TypeError, ValueError) as error:
        raise CannotTell from error


def _constant(node: ast.Constant, _values: _Values) -> Any:
    if node.value is not None and not isinstance(node.value, (bool, int, float, str)):
        raise CannotTell
    return node.value


def _read(node: ast.expr, values: _Values) -> Any:
    return values[place_of(node)]


def _either(node: ast.BoolOp, values: _Values) -> Any:
    found = None
    for one in node.values:
        found = evaluate(one, values)
        if bool(found) is isinstance(node.op, ast.Or):
            break
    return found


def _unary(node: ast.UnaryOp, values: _Values) -> Any:
    found = evaluate(node.operand, values)
    return {ast.Not: operator.not_, ast.USub: operator.neg}[type(node.op)](found)


def _binary(node: ast.BinOp, values: _Values) -> Any:
    pair = evaluate(node.left, values), evaluate(node.right, values)
    if type(node.op) in _NUMBERS and not all(isinstance(one, (int, float)) for one in pair):
        raise CannotTell
    return _SIGNS[type(node.op)](*pair)


def _compare(node: ast.Compare, values: _Values) -> bool:
    left = evaluate(node.left, values)
    for sign, one in zip(node.ops, node.comparators, strict=True):
        right = evaluate(one, values)
        if not _SIGNS[type(sign)](left, right):
            return False
        left = right
    return True


def _choice(node: ast.IfExp, values: _Values) -> Any:
    return evaluate(node.body if evaluate(node.test, values) else node.orelse, values)


def _several(node: ast.List | ast.Tuple | ast.Set, values: _Values) -> Any:
    found: list[Any] = []
    for one in node.elts:
        if isinstance(one, ast.Starred):
            found += evaluate(one.value, values)
        else:
            found.append(evaluate(one, values))
    return {ast.List: list, ast.Tuple: tuple, ast.Set: set}[type(node)](found)


def _item(node: ast.Subscript, values: _Values) -> Any:
    return evaluate(node.value, values)[evaluate(node.slice, values)]


def _each(node: ast.GeneratorExp | ast.ListComp | ast.SetComp, values: _Values) -> Any:
    (loop,) = node.generators
    if any(isinstance(one, ast.comprehension) for one in ast.walk(node.elt)):
        raise CannotTell  # one in another might take for ever
    if not isinstance(loop.target, ast.Name):
        raise CannotTell
    found = []
    for item in evaluate(loop.iter, values):
        inner = {**values, loop.target.id: item}
        if all(evaluate(test, inner) for test in loop.ifs):
            found.append(evaluate(node.elt, inner))
    return set(found) if isinstance(node, ast.SetComp) else found


def _call(node: ast.Call, values: _Values) -> Any:
    given = [evaluate(one, values) for one in node.args]
    if node.keywords:
        raise CannotTell
    if isinstance(node.func, ast.Attribute):
        of, method = evaluate(node.func.value, values), node.func.attr
        if isinstance(of, _METHODS[method]):
            return getattr(of, method)(*given)
    elif isinstance(node.func, ast.Name) and node.func.id not in values:
        return _FUNCTIONS[node.func.id](*given)
    raise CannotTell


def _text(node: ast.JoinedStr, values: _Values) -> str:
    return "".join(str(evaluate(one, values)) for one in node.values)


def _formatted(node: ast.FormattedValue, values: _Values) -> str:
    found = evaluate(node.value, values)
    spec = "" if node.format_spec is None else evaluate(node.format_spec, values)
    if not _SPEC.fullmatch(spec):  # a width may be any number
        raise CannotTell
    how: dict[int, Callable[[Any], Any]] = {ord("r"): repr, ord("s"): str, -1: lambda one: one}
    return format(how[node.conversion](found), spec)


_EVALUATORS: dict[type[ast.AST], Callable[[Any, _Values], Any]] = {
    ast.Attribute: _read,
    ast.BinOp: _binary,
    ast.BoolOp: _either,
    ast.Call: _call,
    ast.Compare: _compare,
    ast.Constant: _constant,
    ast.FormattedValue: _formatted,
    ast.GeneratorExp: _each,
    ast.IfExp: _choice,
    ast.JoinedStr: _text,
    ast.List: _several,
    ast.ListComp: _each,
    ast.Name: _read,
    ast.Set: _several,
    ast.SetComp: _each,
    ast.Subscript: _item,
    ast.Tuple: _several,
    ast.UnaryOp: _unary,
}
