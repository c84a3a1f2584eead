"""Blocks expanded to the flat graph of one network."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace

from deepforge_hpc.files.faults import Path, nearest, shown
from deepforge_hpc.libraries.networks.architecture import REUSE, Block, Step, check_parameters
from deepforge_hpc.libraries.networks.frame import NOTHING, Frame, LayerList, Several, Source
from deepforge_hpc.libraries.networks.graph import (
    Graph,
    GraphInput,
    LayerCall,
    Passage,
    Place,
    Tensor,
)
from deepforge_hpc.libraries.networks.layer_maker import LayerMaker
from deepforge_hpc.libraries.networks.parameters import UNKNOWN, Parameters, Values
from deepforge_hpc.libraries.networks.sources import ArchitectureFile, ArchitectureFiles
from deepforge_hpc.runtime.base.text import listed

MAX_STEPS = 10_000
_MAX_NESTING = 16


class TooLargeError(Exception):
    """The blocks expand to too many layers, or contain themselves."""


class Expander:
    """Expands an architecture; faults go to the readers of its files."""

    def __init__(self, units: ArchitectureFiles) -> None:
        self.units = units
        self.layers = LayerMaker(units.dialect)
        self.steps = 0

    def expand(self, unit: ArchitectureFile) -> Graph:
        """Return the graph of a file; it is whole only if there are no faults."""
        found, reader = unit.architecture, unit.reader
        check_parameters(found, reader)
        parameters = Parameters(reader)
        values = parameters.defaults(found.body)
        stack = ((unit.file, ""),)
        try:
            frame = self.frame(unit, found.body, values, (), stack)
            graph = self.network(frame, found.name)
        except TooLargeError as error:
            reader.fault(("layers",), str(error))
            graph = Graph(name=found.name, library=found.library, inputs=(), calls=(), outputs=())
        if not self.units.faults:  # a slip in a name is told at the name
            self.units.check_unused()
        custom = {name: unit.place(("custom", i)) for i, name in enumerate(found.custom)}
        return replace(graph, objects={**custom, **graph.objects}, files=self.units.names)

    def frame(
        self,
        unit: ArchitectureFile,
        block: Block,
        values: Values,
        passages: tuple[Passage, ...],
        stack: tuple[tuple[str, str], ...],
    ) -> Frame:
        """Return the frame of a model of its own: of a file, or a nested one."""
        return Frame(
            unit=unit,
            block=block,
            network=LayerList(taken=set(block.inputs)),
            scope={name: Tensor(name) for name in _present(block, unit, values)},
            values=values,
            passages=passages,
            stack=stack,
        )

    def network(self, frame: Frame, name: str) -> Graph:
        """Return the graph of a model of its own."""
        inputs = tuple(self.inputs(frame))
        for absent in frame.block.inputs.keys() - frame.scope.keys():
            frame.scope[absent] = None
            path = (*frame.block.path, "inputs", absent, "when")
            frame.network.left_out[absent] = (frame.unit, path)
        found = self.block(frame)
        whole = found.outputs.values() if isinstance(found, Several) else (found,)
        outputs = tuple(frame.one(one, "the output", frame.block.path) for one in whole)
        calls = tuple(frame.network.calls.values())
        graph = Graph(
            name=name,
            library=frame.unit.architecture.library,
            inputs=inputs,
            calls=calls,
            outputs=tuple(tensor for tensor in outputs if tensor is not None),
            objects=_objects(calls),
        )
        if self.is_wired(graph, frame):
            self.check_use(graph, frame, outputs)
        return graph

    def inputs(self, frame: Frame) -> Iterator[GraphInput]:
        """Yield the inputs that `when` does not leave out."""
        for name, item in frame.block.inputs.items():
            if name not in frame.scope or item is None:
                continue
            path: Path = (*frame.block.path, "inputs", name)
            shape = [self._size(frame, size, path) for size in item.shape]
            sized = replace(item, batch=self._size(frame, item.batch, path))
            words = self.units.dialect.input_options.items()
            said = {theirs: getattr(sized, own) for own, theirs in words}
            yield GraphInput(
                name=name,
                shape=tuple(shape),
                dtype=item.dtype,
                place=frame.unit.place(path),
                options={word: value for word, value in said.items() if value},
            )

    def _size(self, frame: Frame, size: object, path: Path) -> int | None:
        """Return a size, a parameter replaced."""
        found = frame.parameters.resolve(size, frame.values, path)
        if found.value is None or (type(found.value) is int and found.value > 0):
            return found.value
        if found.value is not UNKNOWN:
            what = f"a size must be a positive whole number or null, not {shown(found.value)}"
            found.reader.fault(found.path, what)
        return None

    def block(self, frame: Frame) -> Source:
        """Expand the layers of a block and return its output, or several."""
        block, scope = frame.block, frame.scope
        before: Source = scope[next(iter(block.inputs))] if len(block.inputs) == 1 else NOTHING
        for layer in block.layers:
            if layer.name in scope:
                frame.fault(layer.path, f"the name {layer.name} is taken", key=True)
                frame.network.has_twins = True
            start = len(frame.network.order)
            for i, step in enumerate(layer.steps, 1):
                suffix = "" if i == len(layer.steps) else f"_{i}"
                before = self.step(step, f"{layer.name}{suffix}", frame, before)
            scope[layer.name] = before
            frame.lines[layer.name] = tuple(frame.network.order[start:])
        if block.output:
            return frame.source(block.output, (*block.path, "output"))
        if not block.outputs:
            return before
        path = (*block.path, "outputs")
        if len(block.outputs) == 1:
            return frame.source(block.outputs[0], path)
        return Several({name: frame.tensor(name, path) for name in block.outputs})

    def step(self, step: Step, line: str, frame: Frame, before: Source) -> Source:
        """Add one step, as often as it is repeated, and return its output."""
        sources = self.sources(step, line, frame, before)
        if step.repeat is None:
            return self.once(step, line, frame, sources)
        name, place = f"{frame.prefix}{line}", frame.unit.place(step.path)
        found: Source = None
        turn, faults_before = 0, len(frame.unit.reader.faults)
        for turn, values in enumerate(
            frame.parameters.repetitions(step, frame.values, MAX_STEPS), 1
        ):
            inner = frame.within(Passage("", name, turn, place), values)
            made = self.once(step, f"{line}_r{turn}", inner, sources)
            if made is not None:
                found = made
                first = inner.one(made, step.kind, step.path)
                sources = (*((first,) if first else ()), *sources[1:])
        if not turn and len(frame.unit.reader.faults) > faults_before:
            return Tensor.lost(line)
        return found if turn or not sources else sources[0]

    def sources(self, step: Step, line: str, frame: Frame, before: Source) -> tuple[Tensor, ...]:
        """Return what a step is given; nothing that was left out."""
        if step.sources:
            path = step.beside("from")
            found = [frame.tensor(name, path) for name in step.sources]
        elif before is NOTHING:
            if frame.block.inputs:  # else what is wrong with them was told
                message = f"{frame.prefix}{line} needs `from`: there are several inputs"
                frame.fault(step.path, message)
            return (Tensor.lost(line),)
        else:
            found = [frame.one(before, "the layer above", step.path)]
        return tuple(source for source in found if source is not None)

    def once(self, step: Step, line: str, frame: Frame, sources: tuple[Tensor, ...]) -> Source:
        """Add one step and return its output; None if it is left out."""
        self.count()
        is_there = frame.parameters.when(step.when, frame.values, step.beside("when"))
        if not is_there:
            frame.network.left_out[f"{frame.prefix}{line}"] = (frame.unit, step.beside("when"))
        if not sources or not is_there:
            return None
        if step.kind == REUSE:
            return self.reuse(step, line, frame, sources)
        block = frame.unit.blocks.get(step.kind)
        if block is not None:
            return self.use_block(block, step, line, frame, sources)
        name = f"{frame.prefix}{line}"
        if one := self.layers.arguments(step, frame):
            self.layers.add(one, step, name, frame, sources)
        else:
            self.layers.add_unknown(step, name, frame, sources)
        return Tensor(name)

    def count(self) -> None:
        """Count a step; TooLargeError for one too many."""
        self.steps += 1
        if self.steps > MAX_STEPS:
            raise TooLargeError(f"the blocks expand to more than {MAX_STEPS:,} layers")

    def use_block(
        self, block: Block, step: Step, line: str, frame: Frame, sources: tuple[Tensor, ...]
    ) -> Source:
        """Expand a block, in place or as one layer; return its output."""
        name = f"{frame.prefix}{line}"
        unit = frame.unit.used.get(block.name) if block.uses else frame.unit
        if unit is None:
            return Tensor(name)  # its file has faults
        body = unit.architecture.body if block.uses else block
        opened = (unit.file, body.name)
        if opened in frame.stack or len(frame.stack) > _MAX_NESTING:
            chain = [*(word for _, word in frame.stack if word), block.name]
            raise TooLargeError(f"block {block.name} contains itself: {' > '.join(chain)}")
        declared = Parameters(unit.reader)
        values = frame.parameters.bind(body, declared, step, frame.values)
        present = _present(body, unit, values)
        if len(sources) != len(present):
            message = f"block {block.name} takes {len(present)} inputs, not {len(sources)}"
            frame.fault(step.path, message)
            return Tensor(name)
        given = tuple((name, repr(value.value)) for name, value in values.items())
        passage = Passage(block.name, name, None, frame.unit.place(step.path), given)
        passages, stack = (*frame.passages, passage), (*frame.stack, opened)
        if block.nested:
            inner = self.frame(unit, body, values, passages, stack)
            return self.nest(self.network(inner, name), body, step, frame, sources)
        if step.call:
            frame.fault(step.beside("call"), f"the block {block.name} is no layer to be called so")
        inner = Frame(
            unit=unit,
            block=body,
            network=frame.network,
            scope={**dict.fromkeys(body.inputs), **dict(zip(present, sources, strict=True))},
            values=values,
            prefix=f"{name}_",
            passages=passages,
            stack=stack,
        )
        return self.block(inner)

    def nest(
        self, graph: Graph, body: Block, step: Step, frame: Frame, sources: tuple[Tensor, ...]
    ) -> Source:
        """Add a model of its own as one layer; return its output, or several."""
        self.layers.claim(graph.name, step, frame)
        frame.network.add(
            LayerCall(
                name=graph.name,
                kind=step.kind,
                code="",
                arguments={},
                sources=sources,
                merges=len(sources) > 1,
                keywords=self.layers.keywords(step, self.units.dialect.of_models, frame),
                model=graph,
                place=frame.unit.place(step.path),
                passages=frame.passages,
            ),
            frame.unit,
        )
        if len(graph.outputs) == 1:
            return Tensor(graph.name)
        return Several({name: Tensor(graph.name, i) for i, name in enumerate(body.outputs)})

    def reuse(self, step: Step, line: str, frame: Frame, sources: tuple[Tensor, ...]) -> Source:
        """Call the layers of an earlier line again, on other tensors; return the output."""
        old = step.arguments
        if not isinstance(old, str) or old not in frame.lines:
            hint = nearest(str(old), frame.lines) or "name a layer above this one"
            frame.fault(step.path, f"there is no layer {shown(old)} to use again", hint)
            return Tensor.lost(line)
        calls = [frame.network.calls[name] for name in frame.lines[old]]
        inside = {call.name for call in calls}
        reads = dict.fromkeys(one for call in calls for one in call.reads if one.name not in inside)
        if len(reads) != len(sources):
            frame.fault(step.path, f"{old} takes {len(reads)} inputs, not {len(sources)}")
            return Tensor.lost(line)
        given = dict(zip(reads, sources, strict=True))
        cut, base = len(frame.prefix) + len(old), f"{frame.prefix}{line}"

        def again(tensor: Tensor) -> Tensor:
            if tensor.name not in inside:
                return given[tensor]
            return replace(tensor, name=f"{base}{tensor.name[cut:]}")

        for call in calls:
            self.count()
            made = replace(
                call.on(again),
                name=f"{base}{call.name[cut:]}",
                shared=call.layer,
                place=frame.unit.place(step.path),
                passages=frame.passages,
            )
            self.layers.claim(made.name, step, frame)
            frame.network.add(made, frame.unit)
        found = frame.scope[old]
        if isinstance(found, Several):
            return Several({n: one and again(one) for n, one in found.outputs.items()})
        return found and again(found)

    def is_wired(self, graph: Graph, frame: Frame) -> bool:
        """Tell whether it is known what each layer reads: nothing of that has a fault."""
        known = {item.name for item in graph.inputs} | {call.name for call in graph.calls}
        reads = (*graph.outputs, *(tensor for call in graph.calls for tensor in call.reads))
        is_known = all(tensor.name in known for tensor in reads)
        return is_known and self.units.are_whole and not frame.network.has_twins

    def check_use(self, graph: Graph, frame: Frame, outputs: tuple[Tensor | None, ...]) -> None:
        """Name what leads nowhere: what is made of the network would not have it."""
        left_out = frame.network.left_out
        hint = f"`when` leaves out {listed(left_out)}" if left_out else ""
        if None in outputs and left_out:
            unit, path = next(iter(left_out.values()))
            has = "not all of its outputs" if any(outputs) else "no output"
            unit.reader.fault(path, f"the network has {has}: {hint}")
            return
        if not outputs or None in outputs:
            frame.fault((*frame.block.path, "layers"), "the network has no output")
        used = {tensor.name for tensor in graph.outputs}
        for call in reversed(graph.calls):
            if call.name in used:
                used.update(tensor.name for tensor in call.reads)
            else:
                reader = frame.network.owners[call.name].reader
                reader.fault(call.place.path, f"{call.name} leads to no output", hint, key=True)
        for item in graph.inputs:
            if item.name not in used:
                frame.fault(item.place.path, f"input {item.name} is not used", hint, key=True)


def _objects(calls: Iterable[LayerCall]) -> dict[str, Place]:
    """Return what layers need of the project, each with the first place that says so."""
    found: dict[str, Place] = {}
    for call in calls:
        inner = call.model.objects if call.model is not None else {}
        for name, place in (*((name, call.place) for name in call.objects), *inner.items()):
            found.setdefault(name, place)
    return found


def _present(block: Block, unit: ArchitectureFile, values: Values) -> list[str]:
    """Return the inputs of a block that `when` does not leave out."""
    parameters = Parameters(unit.reader)
    return [
        name
        for name, item in block.inputs.items()
        if item is None or parameters.when(item.when, values, (*block.path, "inputs", name, "when"))
    ]
