"""What an expansion knows while it is inside a block."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Final

from deepforge_hpc.files.faults import Path, nearest, shown
from deepforge_hpc.libraries.networks.architecture import Block
from deepforge_hpc.libraries.networks.circles import circle
from deepforge_hpc.libraries.networks.graph import LayerCall, Passage, Tensor
from deepforge_hpc.libraries.networks.parameters import Parameters, Value
from deepforge_hpc.libraries.networks.sources import ArchitectureFile


@dataclass(frozen=True, slots=True)
class Several:
    """What a block or a nested model with several outputs gives, by name."""

    outputs: Mapping[str, Tensor | None]


Source = Tensor | Several | None
"""What a name in `from` stands for; None for the output of a layer that `when` left out."""
NOTHING: Final = Several({})
"""Stands before the first layer of a block that has several inputs."""


@dataclass(slots=True, eq=False)
class LayerList:
    """Layers of one model, as they are added."""

    taken: set[str] = field(default_factory=set)
    calls: dict[str, LayerCall] = field(default_factory=dict)
    order: list[str] = field(default_factory=list)
    owners: dict[str, ArchitectureFile] = field(default_factory=dict)
    """The file that each call stands in."""
    several: set[str] = field(default_factory=set)
    """Calls that give more than one tensor, as far as that can be told without the framework."""
    firsts: set[str] = field(default_factory=set)
    """Those of them whose first tensor is meant where no number says which."""
    has_twins: bool = False
    """Two layers have one name, so that nobody knows which of them is read."""
    left_out: dict[str, tuple[ArchitectureFile, Path]] = field(default_factory=dict)
    """Lines and inputs that a `when` left out, with its place."""

    def add(
        self,
        call: LayerCall,
        unit: ArchitectureFile,
        *,
        gives_several: bool = False,
        first: bool = False,
    ) -> None:
        """Add a call of a file; `first`: as `firsts`."""
        if gives_several or call.shared in self.several:
            self.several.add(call.name)
        if first or call.shared in self.firsts:
            self.firsts.add(call.name)
        self.calls[call.name] = call
        self.order.append(call.name)
        self.owners[call.name] = unit


@dataclass(frozen=True, slots=True, kw_only=True)
class Frame:
    """A block that is being expanded: what its names stand for, and how it was reached."""

    unit: ArchitectureFile
    """The file that its text stands in."""
    block: Block
    network: LayerList
    scope: dict[str, Source]
    values: Mapping[str, Value]
    lines: dict[str, tuple[str, ...]] = field(default_factory=dict)
    """Names of the calls that each line of the block made: `reuse` makes them again."""
    prefix: str = ""
    passages: tuple[Passage, ...] = ()
    stack: tuple[tuple[str, str], ...] = ()
    """Files and blocks that are open, to see a circle."""

    @property
    def parameters(self) -> Parameters:
        """Return what resolves parameters in its file."""
        return Parameters(self.unit.reader)

    def fault(self, path: Path, message: str, hint: str = "", *, key: bool = False) -> None:
        """Keep a fault of its file."""
        self.unit.reader.fault(path, message, hint, key=key)

    def within(self, passage: Passage, values: Mapping[str, Value] | None = None) -> Frame:
        """Return the same frame inside a repetition."""
        found = self.values if values is None else {**self.values, **values}
        return replace(self, passages=(*self.passages, passage), values=found)

    def source(self, name: str, path: Path) -> Source:
        """Return what a name in `from` stands for: a layer, or LAYER.OUTPUT."""
        layer, _, output = name.partition(".")
        if layer not in self.scope:
            hint = nearest(layer, self.scope) or "a layer must stand above those that use it"
            what = f"no layer {shown(layer)} above this one"
            if way := circle(self.block, path, layer):
                what = f"{way[0]} reads itself: {' > '.join(way)}"
                hint = "break the circle: a layer reads what stands above it"
            elif any(layer == below.name for below in self.block.layers):
                hint = "move it up: a layer stands above those that use it"
            self.fault(path, what, hint)
            return Tensor.lost(name)
        found = self.scope[layer]
        return self._output(layer, found, output, path) if output else found

    def _output(self, layer: str, found: Source, output: str, path: Path) -> Source:
        """Return one of several outputs, by name or by number from 0."""
        is_layer = isinstance(found, Tensor) and found.index is None
        gives_several = isinstance(found, Tensor) and found.name in self.network.several
        if isinstance(found, Tensor) and is_layer and gives_several and output.isdecimal():
            return Tensor(found.name, int(output))
        outputs = dict(found.outputs) if isinstance(found, Several) else {}
        numbered = dict(zip(map(str, range(len(outputs))), outputs.values(), strict=True))
        known = {**numbered, **outputs}
        if found is None or output in known:
            return known.get(output)
        # Of one tensor, it would be the first example of the batch without a word.
        one = "those of a layer are numbered: write .0" if gives_several else "it gives one tensor"
        hint = f"it has {', '.join(outputs)}" if outputs else one
        self.fault(path, f"{layer} has no output {shown(output)}", hint)
        return Tensor.lost(layer)

    def tensor(self, name: str, path: Path) -> Tensor | None:
        """Return what a name stands for, which must be one output."""
        return self.one(self.source(name, path), name, path)

    def one(self, found: Source, name: str, path: Path) -> Tensor | None:
        """Return the one output that was found; a lost one and a fault for several."""
        if not isinstance(found, Several):
            if found is None or found.index is not None or found.name not in self.network.firsts:
                return found
            return Tensor(found.name, 0)
        known = ", ".join(f"{name}.{output}" for output in found.outputs)
        self.fault(path, f"{name} has several outputs", f"write from: and one of {known}")
        return Tensor.lost(name)
