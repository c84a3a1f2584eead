"""The interface of an operation, read from its code by `ast`: the code is never run.

A class: the arguments of `__init__` are attributes and references, those of `execute` are inputs,
the names that `execute` returns are outputs. A function: its arguments are all three, and the
pipeline says which is which.
"""

from __future__ import annotations

import ast
import math
from collections.abc import Collection, Iterator
from dataclasses import replace
from typing import Any

from deepforge_hpc.errors import Fault
from deepforge_hpc.files.faults import NAME, NAME_RULE, nearest
from deepforge_hpc.files.yaml12 import MAX_INTEGER_BITS
from deepforge_hpc.pipeline.annotation import (
    ANY,
    AnnotationError,
    Annotations,
    Constraint,
    imported_names,
    shortened,
)
from deepforge_hpc.pipeline.effects import Effects
from deepforge_hpc.pipeline.interface import (
    NO_DEFAULT,
    Function,
    Member,
    OperationCode,
    Parameter,
    Port,
)
from deepforge_hpc.pipeline.promise import allows_none, chosen_by_value, json_problem, read_promise
from deepforge_hpc.pipeline.returns import NAME_IT, Outputs, falls_through, read_outputs, undefined
from deepforge_hpc.pipeline.shape import Shape, Shapes
from deepforge_hpc.pipeline.syntax import statements
from deepforge_hpc.runtime.base.redact import filter_value
from deepforge_hpc.runtime.formats import FORMATS

_MAX_BASES = 20
_WITHOUT_INIT = ("object", "abc.ABC", "typing.Generic", "typing.Protocol")
_WRITES_INIT = ("dataclasses.dataclass", "attr.s", "attr.define", "attrs.define", "attrs.frozen")


class ParsedModule:
    """A parsed Python file, what it imports and defines, and what its statements do."""

    def __init__(self, tree: ast.Module, file: str) -> None:
        self.tree = tree
        self.file = file
        statements = list(module_statements(tree.body))
        self.imports = imported_names(statements)
        self.definitions: dict[str, ast.ClassDef | Function] = {
            node.name: node
            for node in statements
            if isinstance(node, (ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef))
        }
        self.aliases = _aliases(statements, {*self.imports, *self.definitions})
        self.effects = Effects(tree)


def _aliases(statements: list[ast.stmt], other: Collection[str]) -> dict[str, ast.expr]:
    """Return what may be another name of a type: names of the module that are set once."""
    found: dict[str, list[ast.expr | None]] = {}
    for node in statements:
        targets = node.targets if isinstance(node, ast.Assign) else [getattr(node, "target", None)]
        for target in [*targets, getattr(node, "name", None)]:  # `type NAME = ...`, since 3.12
            if isinstance(target, ast.Name):
                found.setdefault(target.id, []).append(getattr(node, "value", None))
    return {
        name: values[0]
        for name, values in found.items()
        if len(values) == 1 and values[0] is not None and name not in other
    }


def module_statements(body: list[ast.stmt]) -> Iterator[ast.stmt]:
    """Yield the statements of a module, and those inside `if` and `try` around them."""
    for node in body:
        yield node
        if isinstance(node, ast.If):
            yield from module_statements([*node.body, *node.orelse])
        elif isinstance(node, ast.Try):
            handlers = [statement for handler in node.handlers for statement in handler.body]
            yield from module_statements([*node.body, *handlers, *node.orelse])


def read_operation(
    parsed: ParsedModule, name: str, formats: Collection[str] = FORMATS
) -> tuple[OperationCode | None, list[Fault]]:
    """Return the interface of a class or function that a file defines, and its faults.

    With faults its outputs may not be known; its arguments are, or there is no interface.
    """
    reader = _CodeReader(parsed, formats)
    try:
        code = reader.read(name)
        return (None if reader.hides_names else code), reader.faults
    except RecursionError:
        message = f"{name!r} is nested too deeply to be read"
        reader.fault(parsed.definitions[name], message, "move the inner part to a function")
        return None, reader.faults


class _CodeReader:
    def __init__(self, parsed: ParsedModule, formats: Collection[str]) -> None:
        self.parsed = parsed
        self.annotations = Annotations(parsed.imports)
        self.shapes = Shapes(self.annotations, parsed.definitions, parsed.aliases)
        self.formats = formats
        self.faults: list[Fault] = []
        self.hides_names = False
        """True if the names of some arguments cannot be known."""

    def fault(self, node: ast.AST | None, message: str, hint: str = "") -> None:
        self.faults.append(
            Fault(
                message=message,
                file=self.parsed.file,
                line=getattr(node, "lineno", 0),
                column=getattr(node, "col_offset", -1) + 1,
                hint=hint,
            )
        )

    def read(self, name: str) -> OperationCode | None:
        node = self.parsed.definitions[name]
        kind = "function"
        inputs: tuple[Parameter, ...] = ()
        star: tuple[str, ...] = ()
        functions: tuple[Function, ...] = ()
        if isinstance(node, ast.ClassDef):
            methods = self._methods(node)
            if methods is None:
                return None
            init, execute = methods
            outputs, returns = self._outputs(execute)
            parameters = self._bound(init) if init is not None else ()
            kind, inputs = "class", self._bound(execute, takes_inputs=True)
            functions = (execute,) if init is None else (init, execute)
            star = _star(execute.args, [*execute.args.posonlyargs, *execute.args.args][1:])
        elif self._is_plain(node):
            outputs, returns = self._outputs(node)
            names = [*node.args.posonlyargs, *node.args.args]
            parameters = self._parameters(node.args, names, node, takes_inputs=True)
            star, functions = _star(node.args, names), (node,)
        else:
            return None
        return OperationCode(
            object=name,
            kind=kind,
            parameters=parameters,
            inputs=inputs,
            outputs=outputs,
            returns=returns,
            star=star,
            functions=functions if any(map(_raises, functions)) else (),
            file=self.parsed.file,
            line=node.lineno,
        )

    def _methods(self, node: ast.ClassDef) -> tuple[Function | None, Function] | None:
        """Return `__init__`, if there is one, and `execute` of a class; None if one has a fault."""
        execute = self._method(node, "execute")
        init = self._method(node, "__init__")
        if init is None and (origin := self._unread_init(node)):
            message = f"the arguments of class {node.name} come from {origin}, which is not read"
            self.fault(node, message, "define __init__ in it, or in a base class of the same file")
            return None
        if execute is None:
            hint = "define def execute(self, ...) in it, or in a base class of the same file"
            self.fault(node, f"class {node.name} has no method execute", hint)
            return None
        is_plain = self._is_plain(execute) and (init is None or self._is_plain(init))
        return (init, execute) if is_plain else None

    def _method(self, node: ast.ClassDef, name: str, depth: int = 0) -> Function | None:
        """Return a method of a class, or of its bases in the same file."""
        for member in reversed(node.body):
            if isinstance(member, (ast.FunctionDef, ast.AsyncFunctionDef)) and member.name == name:
                return member
        for base in node.bases if depth < _MAX_BASES else []:
            known = self.parsed.definitions.get(base.id) if isinstance(base, ast.Name) else None
            if isinstance(known, ast.ClassDef) and known is not node:
                found = self._method(known, name, depth + 1)
                if found is not None:
                    return found
        return None

    def _unread_init(self, node: ast.ClassDef, depth: int = 0) -> str:
        """Return what gives a class without an own `__init__` one that cannot be seen."""
        for decorator in node.decorator_list:
            function = decorator.func if isinstance(decorator, ast.Call) else decorator
            if (name := self.annotations.name(function)) in _WRITES_INIT:
                return f"@{name}"
        for base in node.bases if depth < _MAX_BASES else []:
            name = self.annotations.name(base.value if isinstance(base, ast.Subscript) else base)
            known = self.parsed.definitions.get(name)
            if isinstance(known, ast.ClassDef):
                if known is not node and (origin := self._unread_init(known, depth + 1)):
                    return origin
            elif name not in _WITHOUT_INIT:
                return f"base class {name or shortened(base)}"
        return ""

    def _is_plain(self, node: Function) -> bool:
        if isinstance(node, ast.AsyncFunctionDef):
            self.fault(node, f"{node.name} is async", "write a plain def; call asyncio.run in it")
            return False
        for decorator in node.decorator_list:
            name = self.annotations.name(decorator)
            if name in ("staticmethod", "classmethod", "property"):
                self.fault(node, f"{node.name} is a {name}", "write a plain method with self")
                return False
        return True

    def _bound(self, node: Function, *, takes_inputs: bool = False) -> tuple[Parameter, ...]:
        """Return the parameters of a method, without self."""
        names = [*node.args.posonlyargs, *node.args.args]
        if not names:
            self.fault(node, f"{node.name} has no self", "write it as a method")
            self.hides_names = True
            return ()
        return self._parameters(node.args, names[1:], node, takes_inputs=takes_inputs)

    def _parameters(
        self, arguments: ast.arguments, names: list[ast.arg], node: Function, *, takes_inputs: bool
    ) -> tuple[Parameter, ...]:
        for star, prefix in ((arguments.vararg, "*"), (arguments.kwarg, "**")):
            if star is not None and (prefix == "**" or not takes_inputs):
                message = f"{node.name} takes {prefix}{star.arg}: its names cannot be read"
                self.fault(star, message, "name each argument")
                self.hides_names = True
        owned = {id(name) for name in names}
        for name in arguments.posonlyargs:
            if id(name) in owned:
                message = f"{name.arg!r} is positional-only"
                self.fault(name, message, "remove the / : arguments are given by name")
        positional = [*arguments.posonlyargs, *arguments.args]
        defaults: list[ast.expr | None] = [None] * (len(positional) - len(arguments.defaults))
        pairs = list(zip(positional, [*defaults, *arguments.defaults], strict=True))
        pairs = [pair for pair in pairs if id(pair[0]) in owned]
        pairs += zip(arguments.kwonlyargs, arguments.kw_defaults, strict=True)
        found = [self._parameter(name, default) for name, default in pairs]
        if takes_inputs and arguments.vararg is not None:
            found.append(self._star(arguments.vararg))
        return tuple(found)

    def _star(self, node: ast.arg) -> Parameter:
        """Return `*NAME`: its annotation is that of each value."""
        one = self._parameter(node, None)
        member = Member(type=one.type, annotation=one.annotation, shape=one.shape)
        return replace(one, required=False, member=member, is_star=True)

    def _parameter(self, node: ast.arg, default: ast.expr | None) -> Parameter:
        try:
            constraint = self.annotations.constraint(node.annotation)
        except AnnotationError as error:
            self.fault(node, f"argument {node.arg!r}: {error}")
            constraint = Constraint()
        if not NAME.fullmatch(node.arg):
            self.fault(node, f"argument {node.arg!r} is not a name for a pipeline", NAME_RULE)
        value = NO_DEFAULT if default is None else _json_literal(default)
        if value is not NO_DEFAULT and value is not None and (why := constraint.problem(value)):
            self.fault(default, f"the default of {node.arg!r} {why}")
        kind, unknown = self._type(node.annotation)
        shape = self.shapes.read(node.annotation)
        default_code = "" if default is None else shortened(default)
        said = {node.arg: default_code}
        return Parameter(
            name=node.arg,
            line=node.lineno,
            required=default is None,
            constraint=constraint,
            type=kind or ANY,
            annotation=unknown,
            shape=shape,
            default=value,
            default_code=default_code,
            hides_default=filter_value(said) != said,
            member=self._member(node.annotation, kind, shape),
            trained=self._argument(node.annotation, "trained"),
            weights_of=self._argument(node.annotation, "weights_of"),
        )

    def _argument(self, annotation: ast.expr | None, key: str) -> str:
        try:
            return self.annotations.argument(annotation, key)
        except AnnotationError:  # which `constraint` tells of an argument
            return ""

    def _type(self, annotation: ast.expr | None) -> tuple[str, str]:
        """Return the format that an annotation stands for; else nothing, and the annotation."""
        kind = self.annotations.port(annotation, self.formats)
        return kind, "" if kind or annotation is None else shortened(annotation)

    def _member(self, annotation: ast.expr | None, kind: str, shape: Shape) -> Member | None:
        takes_list, inner = self.annotations.member(annotation)
        if takes_list:
            kind, unknown = self._type(inner)
            return Member(type=kind or ANY, annotation=unknown, shape=self.shapes.read(inner))
        # What may be a list, though it is not plainly one.
        members = shape.members() if kind in ("", "json") else None
        return None if members is None else Member(type=ANY, annotation="", shape=members)

    def _outputs(self, node: Function) -> tuple[tuple[Port, ...], str]:
        before = len(self.faults)
        found: Outputs = read_outputs(node, self.fault)
        for typo, known in undefined(node, self.parsed.tree):
            self.fault(typo, f"{typo.id} is not defined here", nearest(typo.id, known))
        if not found.names:
            if len(self.faults) == before:
                self._refuse_empty_promise(node, found)
            return (), found.form
        try:
            annotations = self.annotations.parts(node.returns, len(found.names), found.form)
        except AnnotationError as error:
            self.fault(node.returns, f"{node.name}: {error}")
            annotations = [None] * len(found.names)
        ports = []
        for name, annotation in zip(found.names, annotations, strict=True):
            kind, unknown = self._type(annotation)
            promise = read_promise(annotation, self.annotations, self.formats)
            problem = json_problem(annotation, self.annotations) if kind in ("", "json") else ""
            by_value = chosen_by_value(annotation, self.annotations)
            ports.append(
                Port(
                    name=name,
                    type=kind or ANY,
                    annotation=unknown,
                    promise=promise,
                    shape=self.shapes.read(annotation),
                    problem=problem,
                    by_value=by_value,
                    is_extra=self.annotations.is_extra(annotation),
                    trained=self._argument(annotation, "trained"),
                )
            )
        return tuple(ports), found.form

    def _refuse_empty_promise(self, node: Function, found: Outputs) -> None:
        """Refuse code that ends without an output, and is annotated to return something."""
        can_end = bool(found.line) or falls_through(node.body)
        if node.returns is not None and can_end and not allows_none(node.returns, self.annotations):
            message = (
                f"{node.name} is annotated to return {shortened(node.returns)}, but has no output"
            )
            self.fault(node.returns, message, f"{NAME_IT}; or annotate it -> None")


def _raises(node: Function) -> bool:
    """Tell whether code may refuse arguments: what never does is not followed for each use."""
    return any(isinstance(inner, ast.Raise) for inner in statements(node))


def _star(arguments: ast.arguments, names: list[ast.arg]) -> tuple[str, ...]:
    if arguments.vararg is None:
        return ()
    return (*(name.arg for name in names), arguments.vararg.arg)


def _json_literal(node: ast.expr) -> Any:
    """Return the value of a default that JSON carries without a change; else NO_DEFAULT."""
    try:
        value = ast.literal_eval(node)
    except (ValueError, TypeError, SyntaxError, MemoryError, RecursionError):
        return NO_DEFAULT
    return value if _is_json(value) else NO_DEFAULT


def _is_json(value: object) -> bool:
    if isinstance(value, list):
        return all(_is_json(item) for item in value)
    if isinstance(value, dict):
        return all(isinstance(key, str) and _is_json(item) for key, item in value.items())
    if isinstance(value, float):
        return math.isfinite(value)
    if isinstance(value, int):
        return value.bit_length() <= MAX_INTEGER_BITS
    return value is None or isinstance(value, str)
