"""Whether a statement of a module does more than bind its names when the module is imported."""

from __future__ import annotations

import ast
import functools
from collections import Counter
from collections.abc import Iterator

from deepforge_hpc.pipeline import harmless
from deepforge_hpc.pipeline.annotation import Annotations, imported_names
from deepforge_hpc.pipeline.harmless import is_harmless
from deepforge_hpc.pipeline.syntax import nodes, statements

_PURE_DECORATORS = frozenset({"staticmethod", "classmethod", "property"})
_HOOKS = frozenset({"__init_subclass__", "__set_name__"})


class Effects:
    """Judges the statements of one file; what is not known to be harmless has an effect."""

    def __init__(self, tree: ast.Module) -> None:
        self.names = Annotations(imported_names(statements(tree)))
        self._classes = {node.name: node for node in tree.body if isinstance(node, ast.ClassDef)}
        self._tree = tree
        self._defined = {
            node.name
            for node in statements(tree, own=True)
            if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef))
        }
        self._keeps_annotations = self.names.name(ast.Name("annotations")).startswith("__future__")
        """Whether annotations are kept as they stand, and none is evaluated."""

    def has(self, node: ast.stmt) -> bool:
        """Tell whether a statement may do something besides binding names."""
        return not self._only_binds(node)

    def _only_binds(self, node: ast.stmt) -> bool:
        found = False
        if isinstance(node, (ast.Import, ast.ImportFrom, ast.Pass)):
            found = True
        elif isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            defaults = [*node.args.defaults, *filter(None, node.args.kw_defaults)]
            found = self._decorated(node) and all(map(self._is_pure, defaults))
            found = found and all(map(self._is_annotation, _annotations(node)))
        elif isinstance(node, ast.ClassDef):
            found = self._is_plain_class(node)
        elif isinstance(node, ast.Assign):
            found = all(map(_is_name, node.targets)) and self._is_pure(node.value)
        elif isinstance(node, ast.AnnAssign):
            found = _is_name(node.target) and (node.value is None or self._is_pure(node.value))
            found = found and self._is_annotation(node.annotation)
        elif isinstance(node, ast.If):
            inner = [*node.body, *node.orelse]
            found = self._is_pure(node.test) and all(map(self._only_binds, inner))
        elif isinstance(node, ast.Try):
            handlers = [item for handler in node.handlers for item in handler.body]
            inner = [*node.body, *handlers, *node.orelse, *node.finalbody]
            found = all(map(self._only_binds, inner))
        elif isinstance(node, ast.Expr):
            found = isinstance(node.value, ast.Constant)
        return found

    def _is_plain_class(self, node: ast.ClassDef, depth: int = 0) -> bool:
        if node.keywords or not self._decorated(node) or depth > 20:
            return False
        for base in node.bases:
            name = self.names.name(base.value if isinstance(base, ast.Subscript) else base)
            known = self._classes.get(name)
            if known is not None and known is not node:
                hooks = {item.name for item in known.body if isinstance(item, ast.FunctionDef)}
                if hooks & _HOOKS or not self._is_plain_class(known, depth + 1):
                    return False
            elif not harmless.is_plain_base(name):
                return False
        return not any(map(self.has, node.body))

    def _decorated(self, node: ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef) -> bool:
        """Tell whether the decorators are known, and register nothing."""
        return all(map(self._is_decorator, node.decorator_list))

    def _is_decorator(self, node: ast.expr) -> bool:
        name = self.names.name(node.func if isinstance(node, ast.Call) else node)
        if isinstance(node, ast.Call):
            if name == "functools.partial":  # the decorator is what it keeps
                return all(map(self._is_decorator, node.args[:1])) and self._is_pure(node)
            return is_harmless(name) and self._is_pure(node)
        is_setter = name.endswith((".setter", ".getter", ".deleter"))
        return name in _PURE_DECORATORS or is_setter or is_harmless(name)

    def _is_pure(self, node: ast.AST) -> bool:
        """Tell whether an expression only makes a value."""
        if isinstance(node, ast.Lambda):
            return True
        if isinstance(node, (ast.Await, ast.Yield, ast.YieldFrom, ast.NamedExpr)):
            return False
        if isinstance(node, ast.Call) and not self._may_call(node):
            return False
        return all(map(self._is_pure, ast.iter_child_nodes(node)))

    def _is_annotation(self, node: ast.expr) -> bool:
        return self._keeps_annotations or self._is_pure(node)

    def _may_call(self, node: ast.Call) -> bool:
        function = node.func
        name = self.names.name(function)
        if any(keyword.arg in harmless.CHANGING_KEYWORDS for keyword in node.keywords):
            return False
        if name in harmless.BUILTINS - self._defined or is_harmless(name):
            return self._only_reads(node, name)
        return (
            isinstance(function, ast.Attribute)
            and function.attr in harmless.METHODS
            and self._is_plain(function.value)
            and self._only_reads(node, function.attr)
        )

    def _only_reads(self, node: ast.Call, name: str) -> bool:
        """Tell whether a function, which has no effect itself, has none by what it is given."""
        given = [*node.args, *(keyword.value for keyword in node.keywords)]
        if harmless.writes_into(name, len(node.args)) and not isinstance(given[-1], ast.Constant):
            return False
        if name == "numpy.nan_to_num" and any(one.arg == "copy" for one in node.keywords):
            return False
        if name in harmless.KEEPERS:
            return True
        may_call = given if name in harmless.CALLERS else []
        if name in harmless.BUILTINS:  # they call only what has a name: `key=`
            may_call = given[len(node.args) :]
        held = [one for one in given if one not in may_call]
        return all(map(self._is_safe_to_call, may_call)) and not any(
            map(self._holds_function, held)
        )

    def _is_safe_to_call(self, node: ast.expr) -> bool:
        """Tell whether an argument is no function, or one that only makes a value."""
        if isinstance(node, ast.Lambda):
            return self._is_pure(node.body)
        if isinstance(node, (ast.Name, ast.Attribute)):
            name = self.names.name(node)
            is_known = name in harmless.BUILTINS - self._defined or is_harmless(name)
            return is_known or self._is_plain(node)
        return not self._holds_function(node)

    def _holds_function(self, node: ast.expr) -> bool:
        """Tell whether an argument names a function or class of the file, or is one."""
        return any(
            isinstance(one, ast.Lambda) or (isinstance(one, ast.Name) and one.id in self._defined)
            for one in nodes(node)
        )

    def _is_plain(self, node: ast.expr, depth: int = 0) -> bool:
        """Tell whether a value is one of Python's or numpy's own, with their methods."""
        if isinstance(node, ast.Name) and depth < _MOST_NAMES:
            value = self._bound_once.get(node.id)
            return value is not None and self._is_plain(value, depth + 1)
        if isinstance(node, ast.Call):
            name = self.names.name(node.func)
            inner = node.func.value if isinstance(node.func, ast.Attribute) else None
            is_made = name in _MAKERS - self._defined or name.startswith(_MAKING_MODULES)
            return is_made or (not name and inner is not None and self._is_plain(inner, depth))
        if isinstance(node, ast.Attribute):
            return self._is_plain(node.value, depth)
        if isinstance(node, ast.BinOp):
            return self._is_plain(node.left, depth) and self._is_plain(node.right, depth)
        return isinstance(node, _DISPLAYS)

    @functools.cached_property
    def _bound_once(self) -> dict[str, ast.expr]:
        """The values of names that one statement at the top gives, and nothing else changes."""
        imported = [
            alias.asname or alias.name
            for node in statements(self._tree)
            if isinstance(node, (ast.Import, ast.ImportFrom))
            for alias in node.names
        ]
        stored = (
            node.id
            for node in nodes(self._tree)
            if isinstance(node, ast.Name) and not isinstance(node.ctx, ast.Load)
        )
        number = Counter([*stored, *self._defined, *imported])
        return {
            node.targets[0].id: node.value
            for node in self._tree.body
            if isinstance(node, ast.Assign)
            and isinstance(node.targets[0], ast.Name)
            and number[node.targets[0].id] == 1
        }


_MOST_NAMES = 20
_MAKERS = frozenset(
    {"bytes", "dict", "float", "frozenset", "int", "len", "list", "range", "set", "str", "tuple"}
)
_MAKING_MODULES = ("datetime.", "decimal.", "fractions.", "math.", "numpy.", "pathlib.", "re.")
_DISPLAYS = (
    *(ast.Constant, ast.Dict, ast.DictComp, ast.JoinedStr, ast.List, ast.ListComp, ast.Set),
    *(ast.SetComp, ast.Tuple),
)
"""Expressions that make a value of Python."""


def _annotations(node: ast.FunctionDef | ast.AsyncFunctionDef) -> Iterator[ast.expr]:
    """Yield what Python evaluates when it defines a function."""
    given = node.args
    extra = filter(None, (given.vararg, given.kwarg))
    for one in (*given.posonlyargs, *given.args, *given.kwonlyargs, *extra):
        if one.annotation is not None:
            yield one.annotation
    if node.returns is not None:
        yield node.returns


def _is_name(target: ast.expr) -> bool:
    if isinstance(target, (ast.Tuple, ast.List)):
        return all(map(_is_name, target.elts))
    return isinstance(target, ast.Name)


def is_type_checking(test: ast.expr) -> bool:
    """Tell whether an `if` is for type checkers alone."""
    name = test.attr if isinstance(test, ast.Attribute) else getattr(test, "id", "")
    return bool(name == "TYPE_CHECKING")


def is_main(test: ast.expr) -> bool:
    """Tell whether an `if` is for a file that runs as a program, as no operation does."""
    return isinstance(test, ast.Compare) and ast.unparse(test) == "__name__ == '__main__'"
