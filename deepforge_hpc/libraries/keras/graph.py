"""Blocks expanded to the flat graph of one network: every layer with its sources and its source."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from deepforge_hpc.files.faults import BAD, NAME, Path, Reader, nearest, shown
from deepforge_hpc.libraries.keras.architecture import Architecture, Block, Input, Step
from deepforge_hpc.libraries.keras.arguments import arguments
from deepforge_hpc.libraries.keras.parameters import UNKNOWN, Parameters, Value
from deepforge_hpc.libraries.keras.schema import LAYERS

MAX_STEPS = 10_000
_MAX_NESTING = 16
_ABSENT = ""
"""Stands for the output of a layer that `when` left out."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LayerCall:
    """One Keras layer."""

    name: str
    kind: str
    words: tuple[str, ...]
    """Its arguments as source text."""
    sources: tuple[str, ...]
    path: Path


@dataclass(frozen=True, slots=True, kw_only=True)
class Graph:
    """A network: calls in an order in which each stands after its sources."""

    name: str
    inputs: tuple[Input, ...]
    calls: tuple[LayerCall, ...]
    outputs: tuple[str, ...]


class TooLargeError(Exception):
    """The blocks expand to too many layers, or contain themselves."""


class Expander:
    """Expands an architecture; faults go to the reader that read it."""

    def __init__(self, architecture: Architecture, reader: Reader) -> None:
        self.architecture = architecture
        self.reader = reader
        self.calls: dict[str, LayerCall] = {}
        self.taken: set[str] = set()
        self.parameters = Parameters(reader)
        self.steps = 0

    def expand(self) -> Graph:
        """Return the graph; it is whole only if the reader has no faults."""
        architecture = self.architecture
        body = architecture.body
        values = {name: Value(value=v, path=()) for name, v in body.parameters.items()}
        present = [
            item
            for item in architecture.inputs.values()
            if self.parameters.when(item.when, values, item.path)
        ]
        self.taken = set(architecture.inputs)
        scope = dict.fromkeys(architecture.inputs, _ABSENT)
        scope.update({item.name: item.name for item in present})
        try:
            outputs = self.block(body, values, scope, "", ())
        except TooLargeError as error:
            self.reader.fault(("layers",), str(error))
            outputs = ()
        graph = Graph(
            name=architecture.name,
            inputs=tuple(present),
            calls=tuple(self.calls.values()),
            outputs=outputs,
        )
        if not self.reader.faults:
            self.check_use(graph)
        return graph

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
                self.reader.fault(layer.path, f"the name {layer.name} is taken", key=True)
            for i, step in enumerate(layer.steps, 1):
                suffix = "" if i == len(layer.steps) else f"_{i}"
                before = self.step(
                    step, f"{prefix}{layer.name}{suffix}", scope, before, values, stack
                )
            scope[layer.name] = _ABSENT if before is None else before
        outputs = (block.output,) if block.output else block.outputs
        if not outputs:
            return () if before is None else (before,)
        path = (*block.path, "output" if block.name else "outputs")
        return tuple(self.source(name, scope, path) for name in outputs)

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
            raise TooLargeError(f"the blocks expand to more than {MAX_STEPS:,} layers")
        if step.sources:
            path = (*step.path[:-1], "from")
            found = [self.source(source, scope, path) for source in step.sources]
        elif before is None:
            self.reader.fault(step.path, f"{name} needs `from`: there are several inputs")
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
            message = f"no Keras layer or block {shown(step.kind)}"
            self.reader.fault(step.path, message, nearest(step.kind, known), key=True)
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
            self.reader.fault(step.path, message)
            return name
        bound = self.parameters.bind(block, step, values)
        inputs = dict(zip(block.inputs, sources, strict=True))
        outputs = self.block(block, bound, inputs, f"{name}_", (*stack, block.name))
        return outputs[0] if outputs else name

    def add_layer(
        self, step: Step, name: str, sources: tuple[str, ...], values: Mapping[str, Value]
    ) -> None:
        """Add one Keras layer."""
        one, taken = arguments("layer", step.kind), name in self.taken
        if taken or not NAME.fullmatch(name):
            self.reader.fault(step.path, f"the expanded name {name} is taken or too long")
        if len(sources) > 1 and one.one.input == "one":
            self.reader.fault(step.path, f"{step.kind} takes one input, not {len(sources)}")
        found = dict(self.architecture.defaults.get(step.kind, {}))
        for key, value in one.given(step.arguments, step.path, self.reader).items():
            resolved = self.parameters.resolve(value, values, (*step.path, key))
            found[key] = "None"
            if resolved.value is not UNKNOWN:
                code = one.kinds[key](resolved.value, resolved.path, self.reader)
                found[key] = found[key] if code is BAD else code
        one.check_required(found, step.path, self.reader)
        self.taken.add(name)
        self.calls[name] = LayerCall(
            name=name,
            kind=step.kind,
            words=tuple(one.words(found)),
            sources=sources,
            path=step.path,
        )

    def source(self, name: str, scope: dict[str, str], path: Path) -> str:
        """Return the layer that a name in `from` stands for."""
        if name in scope:
            return scope[name]
        hint = nearest(name, scope) or "a layer must stand above those that use it"
        self.reader.fault(path, f"no layer {shown(name)} above this one", hint)
        return _ABSENT

    def check_use(self, graph: Graph) -> None:
        """Name what leads nowhere: Keras would leave it out without a word."""
        used = set(graph.outputs)
        for call in reversed(graph.calls):
            if call.name in used:
                used.update(call.sources)
            else:
                self.reader.fault(call.path, f"{call.name} leads to no output", key=True)
        for item in graph.inputs:
            if item.name not in used:
                self.reader.fault(item.path, f"input {item.name} is not used", key=True)
        if not graph.outputs or _ABSENT in graph.outputs:
            self.reader.fault(("layers",), "the network has no output")
