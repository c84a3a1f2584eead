"""The interface of an operation as frozen data: what its code says, and what it is bound to."""

from __future__ import annotations

import ast
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple

from deepforge_hpc.pipeline.annotation import Constraint
from deepforge_hpc.pipeline.installed import Software
from deepforge_hpc.pipeline.promise import Promise
from deepforge_hpc.pipeline.reach import Piece
from deepforge_hpc.pipeline.shape import UNKNOWN, Shape
from deepforge_hpc.runtime.base.plan import Environment, OperationSource, OutputPort, Reference

Function = ast.FunctionDef | ast.AsyncFunctionDef
NO_DEFAULT: Final = object()
"""No default, or one that is no JSON value."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Member:
    """A member of an argument that is a list, as an input: the fields are those of the argument."""

    type: str
    annotation: str
    shape: Shape


@dataclass(frozen=True, slots=True, kw_only=True)
class Parameter:
    """One argument of an operation's code."""

    name: str
    line: int
    required: bool
    constraint: Constraint
    """What it may be as an attribute."""
    type: str
    """Format id of it as an input; `any` without a known annotation."""
    annotation: str = ""
    """The annotation, if it stands for no format."""
    shape: Shape = UNKNOWN
    """What its annotation allows of an input."""
    default: Any = NO_DEFAULT
    default_code: str = ""
    """The default, as the code has it."""
    hides_default: bool = False
    """Whether the default looks like a credential."""
    member: Member | None = None
    """What each value of a list of inputs is; None if it takes no list."""
    is_star: bool = False
    """Whether it is `*NAME`: it takes a list of inputs alone."""
    trained: str = ""
    """An argument: what is given is a network that was trained, as the library of its file keeps
    one."""
    weights_of: str = ""
    """An argument: weights without their network need the file of it there."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Port:
    """One output of an operation's code."""

    name: str
    type: str
    annotation: str = ""
    """The annotation, if it stands for no format."""
    promise: Promise
    shape: Shape = UNKNOWN
    """What its annotation says of it."""
    problem: str = ""
    """Why JSON cannot hold it, where its annotation says so."""
    by_value: bool = False
    """Whether the value had better choose its format: it has arrays or tensors in it."""
    is_extra: bool = False
    """Whether a pipeline may leave it unused."""
    trained: str = ""
    """An argument: it is the network of its file, trained, as the library of that keeps one."""

    def output(self, kind: str) -> OutputPort:
        """Return it as a plan has it, in a format."""
        said = self.promise
        return OutputPort(self.name, kind, said.annotation, said.types, said.optional)


@dataclass(frozen=True, slots=True, kw_only=True)
class OperationCode:
    """What the code of an operation says of its interface."""

    object: str
    kind: str
    """class | function"""
    parameters: tuple[Parameter, ...]
    """Of `__init__`, or of the function."""
    inputs: tuple[Parameter, ...]
    """Of `execute`; empty for a function."""
    outputs: tuple[Port, ...]
    returns: str
    """none | one | tuple | dict"""
    star: tuple[str, ...] = ()
    """Of what takes the inputs, the arguments before `*NAME`, and NAME; empty if there is none."""
    functions: tuple[Function, ...] = ()
    """`__init__`, if there is one, and `execute`; or the function. Empty where none raises."""
    file: str
    line: int


class Edge(NamedTuple):
    """Where one input of an operation comes from; `edge_of` makes it."""

    port: str
    """Of a list `parts[0]`, `parts[1]`, ..."""
    type: str
    """Format id that the operation wants; `any` if it does not say."""
    operation: str | None = None
    output: str | None = None
    external: str | None = None
    shape: Shape = UNKNOWN
    """What its annotation allows."""
    weights_of: str = ""
    """As that of the parameter."""


def edge_of(
    port: str, kind: str, source: str, shape: Shape = UNKNOWN, weights_of: str = ""
) -> Edge:
    """Return the edge from a source as a pipeline names it: `INPUT` or `OPERATION.OUTPUT`."""
    operation, dot, output = source.partition(".")
    if dot:
        return Edge(port, kind, operation, output, shape=shape, weights_of=weights_of)
    return Edge(port, kind, external=source, shape=shape, weights_of=weights_of)


@dataclass(frozen=True, slots=True, kw_only=True)
class OperationInterface:
    """An operation of the pipeline with its code: all that a job of it needs."""

    name: str
    source: OperationSource
    attributes: Mapping[str, Any]
    """As given, with overrides, and the seed if the code takes one."""
    defaults: Mapping[str, Any]
    """Of the attributes that are not given, where JSON can hold them."""
    computed: Mapping[str, str]
    """Of the others, what the code says: `LIMIT`, `Path("x")`."""
    references: tuple[Reference, ...]
    inputs: tuple[Edge, ...]
    """Sorted by port; the members of a list in their order."""
    outputs: tuple[OutputPort, ...]
    """In the order in which the code returns them."""
    environment: Environment
    seed: int | None
    after: tuple[str, ...]
    """Operations named by `after:`, sorted."""
    place: str
    """file:line of the code."""
    pieces: tuple[Piece, ...] = ()
    """What its code is."""
    promises: Mapping[str, Shape] = field(default_factory=dict)
    """Output -> what its annotation says of it."""
    software: Software = ()
    """The packages that it imports, as its environment has them."""
    extra: frozenset[str] = frozenset()
    """Outputs that a pipeline may leave unused."""
