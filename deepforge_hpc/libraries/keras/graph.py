"""Blocks expanded to the flat graph of one network: every layer with its sources and its source."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from deepforge_hpc.libraries.keras.architecture import NAME, Block, Step
from deepforge_hpc.libraries.keras.parameters import UNKNOWN, Parameters, Value
from deepforge_hpc.libraries.keras.schema import LAYERS
from deepforge_hpc.libraries.keras.values import (
    BadValueError,
    bind,
    literal,
    missing,
    suggestion,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

    from deepforge_hpc.libraries.keras.architecture import Architecture, Input, Path, Reader

MAX_STEPS = 10_000
_MAX_NESTING = 16
_ABSENT = ""
"""Stands for the output of a layer that `when` left out."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Node:
    """One Keras layer, its arguments as source text."""

    name: str
    kind: str
    arguments: tuple[tuple[str, str], ...]
    sources: tuple[str, ...]
    path: Path


@dataclass(frozen=True, slots=True, kw_only=True)
class Graph:
    """A network: nodes in an order in which each stands after its sources."""

    name: str
    inputs: tuple[Input, ...]
    nodes: tuple[Node, ...]
    outputs: tuple[str, ...]


class TooLargeError(Exception):
    """The blocks expand to too many layers, or contain themselves."""


class Expander:
    """Expands an architecture; faults go to the reader that read it."""

    def __init__(self, architecture: Architecture, reader: Reader) -> None:
        self.architecture = architecture
        self.reader = reader
        self.nodes: dict[str, Node] = {}
        self.taken: set[str] = set()
        self.parameters = Parameters(reader)
        self.steps = 0

    def expand(self) -> Graph:
        """Return the graph; it is whole only if the reader has no faults."""
        architecture = self.architecture
        body = architecture.body
        self.check_defaults()
        values = {name: Value(value=v, path=()) for name, v in body.parameters.items()}
        present = [
            item
            for item in architecture.inputs
            if self.parameters.when(item.when, values, item.path)
        ]
        self.taken = {item.name for item in architecture.inputs}
        scope = {item.name: _ABSENT for item in architecture.inputs}
        scope.update({item.name: item.name for item in present})
        try:
            outputs = self.block(body, values, scope, "", ())
        except TooLargeError as error:
            self.reader.fault(str(error), ("layers",))
            outputs = ()
        graph = Graph(
            name=architecture.name,
            inputs=tuple(present),
            nodes=tuple(self.nodes.values()),
            outputs=outputs,
        )
        if not self.reader.faults:
            self.check_use(graph)
        return graph

    def check_defaults(self) -> None:
        """Check `defaults` once, whether or not a layer uses them."""
        for kind, arguments in self.architecture.defaults.items():
            path = ("defaults", kind)
            schema = LAYERS.get(kind)
            if schema is None:
                hint = suggestion(kind, LAYERS)
                self.reader.fault(f"no Keras layer {kind!r}", path, hint, key=True)
                continue
            try:
                for name, value in bind(schema, arguments).items():
                    self.literal(kind, name, Value(value=value, path=(*path, name)), {})
            except BadValueError as fault:
                self.reader.fault(fault.message, (*path, *fault.path), fault.hint)

    def block(
        self,
        block: Block,
        values: Mapping[str, Value],
        inputs: dict[str, str],
        prefix: str,
        stack: tuple[str, ...],
    ) -> tuple[str, ...]:
        """Expand the layers of a block and return the names of its outputs."""
        scope = dict(inputs)
        before = scope[block.inputs[0]] if len(block.inputs) == 1 else None
        for layer in block.layers:
            if layer.name in scope:
                self.reader.fault(f"the name {layer.name} is taken", layer.path, key=True)
            for i, step in enumerate(layer.steps, 1):
                suffix = "" if i == len(layer.steps) else f"_{i}"
                before = self.step(
                    step, f"{prefix}{layer.name}{suffix}", scope, before, values, stack
                )
            scope[layer.name] = _ABSENT if before is None else before
        if not block.outputs:
            return () if before is None else (before,)
        path = (*block.path, "output" if block.name else "outputs")
        return tuple(self.source(name, scope, path) for name in block.outputs)

    def step(
        self,
        step: Step,
        name: str,
        scope: dict[str, str],
        before: str | None,
        values: Mapping[str, Value],
        stack: tuple[str, ...],
    ) -> str:
        """Add one step and return the name of the layer that holds its output."""
        self.steps += 1
        if self.steps > MAX_STEPS:
            message = f"the blocks expand to more than {MAX_STEPS:,} layers"
            raise TooLargeError(message)
        if step.sources:
            path = (*step.path[:-1], "from")
            found = [self.source(source, scope, path) for source in step.sources]
        elif before is None:
            self.reader.fault(f"{name} needs `from`: there are several inputs", step.path)
            return _ABSENT
        else:
            found = [before]
        sources = tuple(source for source in found if source != _ABSENT)
        if not sources or not self.parameters.when(step.when, values, (*step.path[:-1], "when")):
            return _ABSENT
        block = self.architecture.blocks.get(step.kind)
        if block is not None:
            return self.use_block(block, step, name, sources, values, stack)
        if step.kind not in LAYERS:
            known = [*self.architecture.blocks, *LAYERS]
            hint = suggestion(step.kind, known)
            self.reader.fault(f"no Keras layer or block {step.kind!r}", step.path, hint, key=True)
            return name
        self.add_layer(step, name, sources, values)
        return name

    def use_block(
        self,
        block: Block,
        step: Step,
        name: str,
        sources: tuple[str, ...],
        values: Mapping[str, Value],
        stack: tuple[str, ...],
    ) -> str:
        """Expand a block in place; return the name of the layer that holds its output."""
        if block.name in stack or len(stack) >= _MAX_NESTING:
            message = f"block {block.name} contains itself: {' > '.join((*stack, block.name))}"
            raise TooLargeError(message)
        if len(sources) != len(block.inputs):
            message = f"block {block.name} takes {len(block.inputs)} inputs, not {len(sources)}"
            self.reader.fault(message, step.path)
            return name
        bound = self.parameters.bind(block, step, values)
        inputs = dict(zip(block.inputs, sources, strict=True))
        outputs = self.block(block, bound, inputs, f"{name}_", (*stack, block.name))
        return outputs[0] if outputs else name

    def add_layer(
        self, step: Step, name: str, sources: tuple[str, ...], values: Mapping[str, Value]
    ) -> None:
        """Add one Keras layer."""
        schema = LAYERS[step.kind]
        if name in self.taken or not NAME.fullmatch(name):
            self.reader.fault(f"the expanded name {name} is taken or too long", step.path)
        if len(sources) > 1 and schema.input == "one":
            self.reader.fault(f"{step.kind} takes one input, not {len(sources)}", step.path)
        default = self.architecture.defaults.get(step.kind) or {}
        merged: dict[str, Value] = {}
        try:
            for key, value in bind(schema, step.arguments).items():
                merged[key] = Value(value=value, path=(*step.path, key))
        except BadValueError as fault:
            self.reader.fault(fault.message, (*step.path, *fault.path), fault.hint, key=True)
        if isinstance(default, dict):
            for key, value in default.items():
                merged.setdefault(key, Value(value=value, path=("defaults", step.kind, key)))
        for key in missing(schema, dict(merged)):
            self.reader.fault(f"{step.kind} needs {key}", step.path)
        arguments = tuple(
            (key, self.literal(step.kind, key, merged[key], values))
            for key in schema.arguments
            if key in merged
        )
        self.taken.add(name)
        self.nodes[name] = Node(
            name=name, kind=step.kind, arguments=arguments, sources=sources, path=step.path
        )

    def literal(self, kind: str, name: str, given: Value, values: Mapping[str, Value]) -> str:
        """Return an argument as source text."""
        resolved = self.parameters.resolve(given.value, values, given.path)
        if resolved.value is UNKNOWN:
            return "None"
        try:
            return literal(LAYERS[kind], name, resolved.value)
        except BadValueError as fault:
            self.reader.fault(fault.message, (*resolved.path, *fault.path), fault.hint)
            return "None"

    def source(self, name: str, scope: dict[str, str], path: Path) -> str:
        """Return the layer that a name in `from` stands for."""
        if name in scope:
            return scope[name]
        hint = suggestion(name, scope) or "a layer must stand above those that use it"
        self.reader.fault(f"no layer {name!r} above this one", path, hint)
        return _ABSENT

    def check_use(self, graph: Graph) -> None:
        """Name what leads nowhere: Keras would leave it out without a word."""
        used = set(graph.outputs)
        for node in reversed(graph.nodes):
            if node.name in used:
                used.update(node.sources)
            else:
                self.reader.fault(f"{node.name} leads to no output", node.path, key=True)
        for item in graph.inputs:
            if item.name not in used:
                self.reader.fault(f"input {item.name} is not used", item.path, key=True)
        if not graph.outputs or _ABSENT in graph.outputs:
            self.reader.fault("the network has no output", ("layers",))
