"""The outputs of an operation: the names that its code returns, which all returns must agree on."""

from __future__ import annotations

import ast
import builtins
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

from deepforge_hpc.files.faults import NAME, NAME_RULE
from deepforge_hpc.pipeline.syntax import children, nodes, statements

Report = Callable[[ast.AST, str, str], None]
Function = ast.FunctionDef | ast.AsyncFunctionDef

NAME_IT = "return a variable, self.x, a tuple of these, or {'name': value}"
_TRY = (ast.Try, getattr(ast, "TryStar", ast.Try))  # except* came with Python 3.11
_SCOPES = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef, ast.Lambda)
_EXITS = frozenset({"exit", "quit", "sys.exit", "os._exit", "os.abort"})


@dataclass(frozen=True, slots=True)
class Outputs:
    """What a function returns."""

    names: tuple[str, ...] = ()
    form: str = "none"
    """none | one | tuple | dict"""
    line: int = 0

    def words(self) -> str:
        """Return it for a message."""
        names = ", ".join(self.names)
        return {"none": "nothing", "dict": f"a dict of {names}"}.get(self.form, names)


def read_outputs(function: Function, report: Report) -> Outputs:
    """Return the outputs of a function; what is wrong goes to `report(node, message, hint)`."""
    returns: list[ast.Return] = []
    for node in _own_nodes(function.body):
        if isinstance(node, (ast.Yield, ast.YieldFrom)):
            message = f"{function.name} is a generator: it yields"
            report(node, message, "collect the values and return them under a name")
            return Outputs()
        if isinstance(node, ast.Return):
            returns.append(node)
    found = [_read(node, report) for node in returns]
    known = [outputs for outputs in found if outputs is not None]
    if not known:
        return Outputs()
    valued = [outputs for outputs in known if outputs.form != "none"]
    first = valued[0] if valued else known[0]
    for node, outputs in zip(returns, found, strict=True):
        if outputs is not None and not _agree(outputs, first):
            message = (
                f"{function.name} returns {outputs.words()} here, "
                f"but {first.words()} in line {first.line}"
            )
            report(node, message, "return the same names everywhere")
    if valued and falls_through(function.body):
        message = (
            f"{function.name} can end without a return, "
            f"but returns {first.words()} in line {first.line}"
        )
        report(function, message, "end every branch with the same return, or with raise")
    return first


def _agree(one: Outputs, other: Outputs) -> bool:
    if one.form != other.form:
        return False
    if one.form == "dict":
        return set(one.names) == set(other.names)
    return one.names == other.names


def _own_nodes(body: list[ast.stmt]) -> Iterator[ast.AST]:
    """Yield the nodes of a function in the order of the text, without those of inner functions."""
    stack: list[ast.AST] = list(reversed(body))
    while stack:
        node = stack.pop()
        yield node
        if isinstance(node, _SCOPES):
            continue
        stack.extend(reversed(children(node)))


def _read(node: ast.Return, report: Report) -> Outputs | None:
    """Return the names that one `return` gives; None if they cannot be read."""
    value = node.value
    if value is None or (isinstance(value, ast.Constant) and value.value is None):
        return Outputs(line=node.lineno)
    names: list[str] | None
    if isinstance(value, ast.Tuple):
        form, names = "tuple", _tuple(value, report)
    elif isinstance(value, ast.Dict):
        form, names = "dict", _dict(value, report)
    else:
        form, names = "one", _tuple(ast.Tuple(elts=[value]), report)
    if names is None:
        return None
    for index, name in enumerate(names):
        if name in names[:index]:
            report(node, f"two outputs are named {name!r}", "give each a name of its own")
            return None
        if not NAME.fullmatch(name):
            report(node, f"output {name!r} is not a name for a pipeline", NAME_RULE)
            return None
    return Outputs(tuple(names), form if names else "none", node.lineno)


def _tuple(value: ast.Tuple, report: Report) -> list[str] | None:
    names = []
    for number, element in enumerate(value.elts, 1):
        if isinstance(element, ast.Name):
            names.append(element.id)
        elif (
            isinstance(element, ast.Attribute)
            and isinstance(element.value, ast.Name)
            and element.value.id == "self"
        ):
            names.append(element.attr)
        else:
            which = f"output {number}" if len(value.elts) > 1 else "the output"
            report(element, f"{which} has no name", NAME_IT)
            return None
    return names


def _dict(value: ast.Dict, report: Report) -> list[str] | None:
    names = []
    for key in value.keys:
        if not isinstance(key, ast.Constant) or not isinstance(key.value, str):
            report(key or value, "a key of the returned dict is not a constant text", NAME_IT)
            return None
        names.append(key.value)
    return names


def undefined(function: Function, module: ast.Module) -> Iterator[tuple[ast.Name, set[str]]]:
    """Yield each returned name that nothing in function and module defines, and what is defined."""
    own = _defined(nodes(function))
    foreign = [name for name in _returned(function) if name.id not in own]
    if not foreign:  # as of most: the module is not looked at
        return
    outer = _defined(_own_nodes(module.body))
    outer.update(*(node.names for node in statements(module) if isinstance(node, ast.Global)))
    known = own | outer | set(dir(builtins))
    if "*" not in known:  # of `from x import *`
        yield from ((name, own) for name in foreign if name.id not in known)


def _returned(function: Function) -> Iterator[ast.Name]:
    """Yield the names that a function returns, alone or in a tuple or a dict."""
    for node in statements(function, own=True):
        if isinstance(node, ast.Return):
            value = node.value
            values = value.elts if isinstance(value, ast.Tuple) else [value]
            values = value.values if isinstance(value, ast.Dict) else values
            yield from (item for item in values if isinstance(item, ast.Name))


def _defined(among: Iterable[ast.AST]) -> set[str]:
    """Return the names that some nodes define, in whatever scope of theirs."""
    found: set[str | None] = set()
    for node in among:
        if isinstance(node, ast.Name) and not isinstance(node.ctx, ast.Load):
            found.add(node.id)
        elif isinstance(node, ast.alias):
            found.add(node.asname or node.name.partition(".")[0])
        elif isinstance(node, ast.arg):
            found.add(node.arg)
        elif isinstance(node, ast.MatchMapping):
            found.add(node.rest)
        elif not isinstance(node, ast.keyword):
            found.add(getattr(node, "name", None))  # def, class, except, match
    return {name for name in found if isinstance(name, str)}


def falls_through(body: list[ast.stmt]) -> bool:
    """Tell whether control can reach the end of a block."""
    return all(_passes(node) for node in body)


def _passes(node: ast.stmt) -> bool:
    """Tell whether control can go on after a statement."""
    result = True
    if isinstance(node, (ast.Return, ast.Raise)):
        result = False
    elif isinstance(node, ast.If):
        result = falls_through(node.body) or not node.orelse or falls_through(node.orelse)
    elif isinstance(node, (ast.With, ast.AsyncWith)):
        result = falls_through(node.body)
    elif isinstance(node, _TRY):
        ends = falls_through([*node.body, *node.orelse])
        ends = ends or any(falls_through(handler.body) for handler in node.handlers)
        result = ends and falls_through(node.finalbody)
    elif isinstance(node, ast.While):
        is_endless = isinstance(node.test, ast.Constant) and bool(node.test.value)
        result = _breaks(node.body) or (not is_endless and falls_through(node.orelse))
    elif isinstance(node, (ast.For, ast.AsyncFor)):
        result = _breaks(node.body) or falls_through(node.orelse)
    elif isinstance(node, ast.Match):
        last = node.cases[-1]
        is_total = isinstance(last.pattern, ast.MatchAs) and last.pattern.pattern is None
        is_total = is_total and last.guard is None
        result = not is_total or any(falls_through(case.body) for case in node.cases)
    elif isinstance(node, ast.Expr) and isinstance(node.value, ast.Call):
        result = _dotted(node.value.func) not in _EXITS
    elif isinstance(node, ast.Assert):
        result = not (isinstance(node.test, ast.Constant) and not node.test.value)
    return result


def _breaks(body: list[ast.stmt]) -> bool:
    """Tell whether a loop with that body has a `break` of its own."""
    todo: list[ast.AST] = list(body)
    while todo:
        node = todo.pop()
        if isinstance(node, ast.Break):
            return True
        if isinstance(node, (ast.For, ast.AsyncFor, ast.While)):
            todo += node.orelse
        elif not isinstance(node, _SCOPES):
            todo += children(node)
    return False


def _dotted(node: ast.expr) -> str:
    if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
        return f"{node.value.id}.{node.attr}"
    return node.id if isinstance(node, ast.Name) else ""
