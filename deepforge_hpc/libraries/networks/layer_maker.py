"""One layer of an architecture: its arguments read, its call added to the network."""

from __future__ import annotations

from typing import Any

from deepforge_hpc.files.faults import BAD, NAME, Path, nearest, shown
from deepforge_hpc.libraries.networks.architecture import Step
from deepforge_hpc.libraries.networks.arguments import Arguments, Free, argument, kinds
from deepforge_hpc.libraries.networks.code import is_object
from deepforge_hpc.libraries.networks.dialect import Dialect
from deepforge_hpc.libraries.networks.frame import Frame
from deepforge_hpc.libraries.networks.graph import Argument, CallValue, LayerCall, Tensor
from deepforge_hpc.libraries.networks.parameters import UNKNOWN


class LayerMaker:
    """Adds layers; faults go to the files that they stand in."""

    def __init__(self, dialect: Dialect) -> None:
        self.dialect, self.kinds = dialect, kinds(dialect)

    def arguments(self, step: Step, frame: Frame) -> Arguments | Free | None:
        """Return what a layer takes; None if there is no such layer."""
        if is_object(step.kind):
            return Free(self.kinds, step.kind)
        if found := self.kinds.arguments("layer", step.kind):
            return found
        why = self.kinds.refusal("layer", step.kind) or self._unknown(step, frame)
        frame.fault(step.path, *why, key=True)
        return None

    def _unknown(self, step: Step, frame: Frame) -> tuple[str, str]:
        message = f"no {self.dialect.framework} layer or block {shown(step.kind)}"
        line = next(one for one in reversed(step.path[:-1]) if isinstance(one, str))
        if self.kinds.arguments("layer", line):  # `- Dense: {units: 10}`, without a name
            return message, f"write `- name: {{{line}: ..}}`"
        known = [*frame.unit.blocks, *self.kinds.catalogue.known("layer")]
        return message, self.kinds.instead(step.kind) or nearest(step.kind, known)

    def claim(self, name: str, step: Step, frame: Frame) -> None:
        """Take the name of a layer."""
        if name in frame.network.taken or not NAME.fullmatch(name):
            frame.fault(step.path, f"the expanded name {name} is taken or too long")
            frame.network.has_twins |= name in frame.network.taken
        frame.network.taken.add(name)

    def add(
        self,
        one: Arguments | Free,
        step: Step,
        name: str,
        frame: Frame,
        sources: tuple[Tensor, ...],
    ) -> None:
        """Add one layer."""
        before = len(frame.unit.reader.faults)
        self.claim(name, step, frame)
        if len(sources) > 1 and one.takes == "one":
            frame.fault(step.path, f"{step.kind} takes one input, not {len(sources)}")
        found = dict(frame.unit.architecture.defaults.get(one.name, {}))
        for key, value in one.given(step.arguments, step.path, frame.unit.reader).items():
            found[key] = self.read(one, key, value, frame, (*step.path, key))
        one.check_required(found, step.path, frame.unit.reader)
        keywords = self.keywords(step, one.call, frame)
        has_fault = len(frame.unit.reader.faults) > before
        frame.network.add(
            LayerCall(
                name=name,
                kind=one.name,
                code=one.code,
                arguments=one.ordered(found),
                sources=sources,
                merges=one.takes == "list" or (one.takes == "any" and len(sources) > 1),
                keywords=keywords,
                place=frame.unit.place(step.path),
                passages=frame.passages,
                is_broken=has_fault or not all(item.is_known for item in found.values()),
            ),
            frame.unit,
            gives_several=(several := one.gives_several(found, step.call)),
            first=several and self.dialect.takes_first and isinstance(one, Arguments),
        )

    def add_unknown(self, step: Step, name: str, frame: Frame, sources: tuple[Tensor, ...]) -> None:
        """Add a layer that there is not, so that what it reads is known to be read."""
        self.claim(name, step, frame)
        call = LayerCall(
            name=name,
            kind=step.kind,
            code="",
            arguments={},
            sources=sources,
            keywords=self.keywords(step, None, frame),
            place=frame.unit.place(step.path),
            passages=frame.passages,
            is_broken=True,
        )
        frame.network.add(call, frame.unit)

    def read(
        self, one: Arguments | Free, name: str, value: object, frame: Frame, path: Path
    ) -> Argument:
        """Return an argument, with the parameters of blocks replaced."""
        resolved = frame.parameters.resolve(value, frame.values, path)
        if resolved.value is UNKNOWN:
            return argument(None, BAD)
        return one.read(name, resolved.value, resolved.path, resolved.reader)

    def keywords(
        self, step: Step, known: tuple[str, ...] | None, frame: Frame
    ) -> dict[str, CallValue]:
        """Return the arguments of a call; `known` is None where any name will do."""
        found: dict[str, CallValue] = {}
        for name, value in step.call.items():
            path = (*step.beside("call"), name)
            if known is not None and name not in known:
                message = f"the call of {step.kind} has no argument {shown(name)}"
                frame.fault(path, message, nearest(name, known), key=True)
            if (read := self.call_value(value, frame, path)) is not BAD:
                found[name] = read
        return found

    def call_value(self, value: object, frame: Frame, path: Path) -> Any:
        """Return tensors for names, and literals; BAD for what is left out, lost for a fault."""
        resolved = frame.parameters.resolve(value, frame.values, path).value
        if isinstance(resolved, str):
            return frame.tensor(resolved, path) or BAD
        names = resolved if isinstance(resolved, list) else ()
        if names and all(isinstance(name, str) for name in names):
            tensors = [frame.tensor(name, path) for name in names]
            return BAD if None in tensors else tuple(tensors)
        if resolved is None or type(resolved) in {bool, int, float}:
            return resolved
        if resolved is not UNKNOWN:
            what = "expected a layer, a list of layers, or a number"
            frame.fault(path, f"{what}, not {shown(value)}")
        return Tensor.lost(str(path[-1]))
