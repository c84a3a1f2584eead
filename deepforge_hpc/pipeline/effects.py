"""Whether a statement of a module does more than bind its names when the module is imported."""

from __future__ import annotations

import ast
from collections.abc import Iterator

from deepforge_hpc.pipeline.annotation import Annotations, imported_names
from deepforge_hpc.pipeline.syntax import statements

_PURE_BUILTINS = frozenset(
    {
        *("abs", "bool", "bytes", "complex", "dict", "enumerate", "float", "frozenset", "int"),
        *("len", "list", "max", "min", "object", "pow", "range", "reversed", "round", "set"),
        *("slice", "sorted", "str", "sum", "tuple", "type", "zip", "property"),
    }
)
_PURE_MODULES = (
    *("collections.", "dataclasses.", "datetime.", "decimal.", "enum.", "fractions.", "functools."),
    *("itertools.", "logging.getLogger", "math.", "numpy.", "operator.", "os.path.", "pathlib."),
    *("re.", "string.", "typing.", "typing_extensions.", "abc.", "contextlib.", "numba."),
    *("tensorflow.function", "torch.jit.", "torch.no_grad", "jax.jit"),
)
_IMPURE = ("numpy.random", "numpy.set", "numpy.seterr", "numpy.load", "numpy.save")
_PURE_DECORATORS = frozenset({"staticmethod", "classmethod", "property"})
_PURE_BASES = frozenset(
    {
        *("object", "Exception", "ValueError", "RuntimeError", "TypeError", "KeyError"),
        *("abc.ABC", "typing.Generic", "typing.Protocol", "typing.NamedTuple", "typing.TypedDict"),
        *("enum.Enum", "enum.IntEnum", "enum.StrEnum", "torch.nn.Module", "keras.Model"),
        *("keras.layers.Layer", "tensorflow.keras.Model", "tensorflow.keras.layers.Layer"),
        *("torch.utils.data.Dataset", "sklearn.base.BaseEstimator"),
        *("sklearn.base.TransformerMixin", "sklearn.base.ClassifierMixin"),
        "sklearn.base.RegressorMixin",
    }
)
_HOOKS = frozenset({"__init_subclass__", "__set_name__"})


class Effects:
    """Judges the statements of one file; what is not known to be harmless has an effect."""

    def __init__(self, tree: ast.Module) -> None:
        self.names = Annotations(imported_names(statements(tree)))
        self._classes = {node.name: node for node in tree.body if isinstance(node, ast.ClassDef)}
        self._defined = {
            node.name for node in tree.body if isinstance(node, (ast.FunctionDef, ast.ClassDef))
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
            elif name not in _PURE_BASES:
                return False
        return not any(map(self.has, node.body))

    def _decorated(self, node: ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef) -> bool:
        """Tell whether the decorators are known, and register nothing."""
        for decorator in node.decorator_list:
            call = decorator.func if isinstance(decorator, ast.Call) else decorator
            name = self.names.name(call)
            is_setter = name.endswith((".setter", ".getter", ".deleter"))
            if not (name in _PURE_DECORATORS or is_setter or self._is_harmless(name)):
                return False
        return True

    def _is_pure(self, node: ast.AST) -> bool:
        """Tell whether an expression only makes a value."""
        if isinstance(node, ast.Lambda):
            return True
        if isinstance(node, (ast.Await, ast.Yield, ast.YieldFrom, ast.NamedExpr)):
            return False
        if isinstance(node, ast.Call) and not self._may_call(node.func):
            return False
        return all(map(self._is_pure, ast.iter_child_nodes(node)))

    def _is_annotation(self, node: ast.expr) -> bool:
        return self._keeps_annotations or self._is_pure(node)

    def _may_call(self, function: ast.expr) -> bool:
        name = self.names.name(function)
        if isinstance(function, ast.Attribute) and not name:
            inner = function.value
            while isinstance(inner, (ast.Attribute, ast.Subscript)):
                inner = inner.value
            # A method of what was made just now, which is looked at by itself; not of what has a
            # name, which it may change.
            return not isinstance(inner, ast.Name)
        return name in _PURE_BUILTINS - self._defined or self._is_harmless(name)

    @staticmethod
    def _is_harmless(name: str) -> bool:
        return name.startswith(_PURE_MODULES) and not name.startswith(_IMPURE)


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
