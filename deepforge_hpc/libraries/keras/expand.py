"""Blocks expanded to the flat graph of one network."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from deepforge_hpc.files.faults import BAD, NAME, Path, Reader, nearest, shown
from deepforge_hpc.libraries.keras.architecture import Architecture, Block, Step
from deepforge_hpc.libraries.keras.arguments import arguments
from deepforge_hpc.libraries.keras.graph import (
    Argument,
    Graph,
    GraphInput,
    LayerCall,
    Passage,
    Place,
    Tensor,
)
from deepforge_hpc.libraries.keras.parameters import UNKNOWN, Parameters, Value
from deepforge_hpc.libraries.keras.schema import LAYERS

MAX_STEPS = 10_000
_MAX_NESTING = 16
_NOTHING: Final = object()
"""Stands before the first layer where there are several inputs."""
Scope = dict[str, Tensor | None]
"""What a name in `from` stands for; None for the output of a layer that `when` left out."""


class TooLargeError(Exception):
    """The blocks expand to too many layers, or contain themselves."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Frame:
    """A block that is being expanded: what its names stand for, and how it was reached."""

    block: Block
    scope: Scope
    values: Mapping[str, Value]
    prefix: str = ""
    passages: tuple[Passage, ...] = ()


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
        body = self.architecture.body
        values = {name: Value(value=v, path=()) for name, v in body.parameters.items()}
        inputs = self.inputs(values)
        self.taken = set(self.architecture.inputs)
        scope: Scope = dict.fromkeys(self.architecture.inputs)
        scope.update({item.name: Tensor(item.name) for item in inputs})
        try:
            outputs = self.block(Frame(block=body, scope=scope, values=values))
        except TooLargeError as error:
            self.reader.fault(("layers",), str(error))
            outputs = ()
        graph = Graph(
            name=self.architecture.name,
            inputs=inputs,
            calls=tuple(self.calls.values()),
            outputs=tuple(tensor for tensor in outputs if tensor is not None),
        )
        if not self.reader.faults:
            if not outputs or None in outputs:
                self.reader.fault(("layers",), "the network has no output")
            self.check_use(graph)
        return graph

    def inputs(self, values: Mapping[str, Value]) -> tuple[GraphInput, ...]:
        """Return the inputs that `when` does not leave out."""
        return tuple(
            GraphInput(
                name=item.name, shape=item.shape, dtype=item.dtype, place=self.place(item.path)
            )
            for item in self.architecture.inputs.values()
            if self.parameters.when(item.when, values, item.path)
        )

    def place(self, path: Path) -> Place:
        """Return where a key stands."""
        return Place(self.reader.document.file, *self.reader.document.mark(path, key=True), path)

    def block(self, frame: Frame) -> tuple[Tensor | None, ...]:
        """Expand the layers of a block and return its outputs."""
        block, scope = frame.block, frame.scope
        before: Tensor | object | None = _NOTHING
        if len(block.inputs) == 1:
            before = scope[block.inputs[0]]
        for layer in block.layers:
            if layer.name in scope:
                self.reader.fault(layer.path, f"the name {layer.name} is taken", key=True)
            for i, step in enumerate(layer.steps, 1):
                suffix = "" if i == len(layer.steps) else f"_{i}"
                before = self.step(step, f"{layer.name}{suffix}", frame, before)
            scope[layer.name] = before if isinstance(before, Tensor) else None
        outputs = (block.output,) if block.output else block.outputs
        if not outputs:
            return (before,) if isinstance(before, Tensor) else (None,)
        path = (*block.path, "output" if block.name else "outputs")
        return tuple(self.source(name, scope, path) for name in outputs)

    def step(
        self, step: Step, line: str, frame: Frame, before: Tensor | object | None
    ) -> Tensor | None:
        """Add one step and return its output; None if it is left out."""
        self.steps += 1
        if self.steps > MAX_STEPS:
            raise TooLargeError(f"the blocks expand to more than {MAX_STEPS:,} layers")
        name = f"{frame.prefix}{line}"
        if step.sources:
            path = (*step.path[:-1], "from")
            found = [self.source(source, frame.scope, path) for source in step.sources]
        elif before is _NOTHING:
            self.reader.fault(step.path, f"{name} needs `from`: there are several inputs")
            return None
        else:
            found = [before] if isinstance(before, Tensor) else []
        sources = tuple(source for source in found if source is not None)
        is_there = self.parameters.when(step.when, frame.values, (*step.path[:-1], "when"))
        if not sources or not is_there:
            return None
        block = self.architecture.blocks.get(step.kind)
        if block is not None:
            return self.use_block(block, step, line, frame, sources)
        if step.kind not in LAYERS:
            known = [*self.architecture.blocks, *LAYERS]
            message = f"no Keras layer or block {shown(step.kind)}"
            self.reader.fault(step.path, message, nearest(step.kind, known), key=True)
        else:
            self.add_layer(step, name, frame, sources)
        return Tensor(name)

    def use_block(
        self, block: Block, step: Step, line: str, frame: Frame, sources: tuple[Tensor, ...]
    ) -> Tensor | None:
        """Expand a block in place; return its output."""
        stack = tuple(passage.block for passage in frame.passages)
        if block.name in stack or len(stack) >= _MAX_NESTING:
            message = f"block {block.name} contains itself: {' > '.join((*stack, block.name))}"
            raise TooLargeError(message)
        name = f"{frame.prefix}{line}"
        if len(sources) != len(block.inputs):
            message = f"block {block.name} takes {len(block.inputs)} inputs, not {len(sources)}"
            self.reader.fault(step.path, message)
            return Tensor(name)
        passage = Passage(block.name, name, None, self.place(step.path))
        inner = Frame(
            block=block,
            scope=dict(zip(block.inputs, sources, strict=True)),
            values=self.parameters.bind(block, step, frame.values),
            prefix=f"{name}_",
            passages=(*frame.passages, passage),
        )
        outputs = self.block(inner)
        return outputs[0] if outputs else Tensor(name)

    def add_layer(self, step: Step, name: str, frame: Frame, sources: tuple[Tensor, ...]) -> None:
        """Add one Keras layer."""
        one, taken = arguments("layer", step.kind), name in self.taken
        if taken or not NAME.fullmatch(name):
            self.reader.fault(step.path, f"the expanded name {name} is taken or too long")
        if len(sources) > 1 and one.one.input == "one":
            self.reader.fault(step.path, f"{step.kind} takes one input, not {len(sources)}")
        found = dict(self.architecture.defaults.get(step.kind, {}))
        for key, value in one.given(step.arguments, step.path, self.reader).items():
            resolved = self.parameters.resolve(value, frame.values, (*step.path, key))
            code: Any = BAD
            if resolved.value is not UNKNOWN:
                code = one.kinds[key](resolved.value, resolved.path, self.reader)
            found[key] = Argument(resolved.value, "None" if code is BAD else code)
        one.check_required(found, step.path, self.reader)
        self.taken.add(name)
        self.calls[name] = LayerCall(
            name=name,
            kind=step.kind,
            arguments={key: found[key] for key in one.kinds if key in found},
            sources=sources,
            merges=one.one.input == "list",
            keywords={},
            place=self.place(step.path),
            passages=frame.passages,
        )

    def source(self, name: str, scope: Scope, path: Path) -> Tensor | None:
        """Return what a name in `from` stands for."""
        if name in scope:
            return scope[name]
        hint = nearest(name, scope) or "a layer must stand above those that use it"
        self.reader.fault(path, f"no layer {shown(name)} above this one", hint)
        return None

    def check_use(self, graph: Graph) -> None:
        """Name what leads nowhere: Keras would leave it out without a word."""
        used = {tensor.name for tensor in graph.outputs}
        for call in reversed(graph.calls):
            if call.name in used:
                used.update(tensor.name for tensor in call.reads)
            else:
                path = call.place.path
                self.reader.fault(path, f"{call.name} leads to no output", key=True)
        for item in graph.inputs:
            if item.name not in used:
                self.reader.fault(item.place.path, f"input {item.name} is not used", key=True)
