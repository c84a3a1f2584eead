"""The graph of one network: every layer call with its sources, its arguments and its place.

What reads files makes it (`expand`), and what works on networks takes it: the emitter of code, the
judge, plots and comparisons.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import NamedTuple

from deepforge_hpc.errors import Fault
from deepforge_hpc.files.faults import Path


class Place(NamedTuple):
    """Where something stands in a file, for messages."""

    file: str
    """As the user would name it."""
    line: int
    column: int
    path: Path
    """Its keys, such as ("layers", 3, "conv0", "Conv2D")."""

    def fault(self, message: str, hint: str = "") -> Fault:
        """Return what is wrong here."""
        return Fault(message, self.file, self.line, self.column, hint)


@dataclass(frozen=True, slots=True)
class Tensor:
    """What an input or a layer call gives to others."""

    name: str
    index: int | None = None
    """Which one, of a call that gives several; None is all that it gives, mostly one tensor."""

    @classmethod
    def lost(cls, name: str) -> Tensor:
        """Return what stands for a tensor that is not there, so that the rest can be looked at."""
        return cls(f"?{name}")

    def __str__(self) -> str:
        return self.name if self.index is None else f"{self.name}.{self.index}"


class Passage(NamedTuple):
    """A block, or a repetition, that a layer came through."""

    block: str
    """The block's name; empty for a layer that is repeated itself."""
    layer: str
    """Name of the line that uses it."""
    repetition: int | None
    """Counted from 1; None where nothing is repeated."""
    place: Place
    given: tuple[tuple[str, str], ...] = ()
    """The parameters of the block, and what stands for them, as source text."""

    def __str__(self) -> str:
        words = f"block {self.block}" if self.block else ""
        turn = "" if self.repetition is None else f"repetition {self.repetition}"
        return " ".join(word for word in (words, turn) if word) + f" of {self.layer}"


class Argument(NamedTuple):
    """The value of a layer's argument."""

    data: object
    """As in the file, with the parameters of blocks replaced."""
    code: str
    """As source text: literals and names of the catalogue."""
    objects: tuple[str, ...] = ()
    """What of the project stands in the source, as MODULE:Name."""
    is_known: bool = True
    """Whether nothing is wrong with it."""


CallValue = Tensor | tuple[Tensor, ...] | bool | int | float | None
"""An argument of a call: tensors, or a literal."""


@dataclass(frozen=True, slots=True, kw_only=True)
class GraphInput:
    """An input of a network."""

    name: str
    shape: tuple[int | None, ...]
    """Without the batch."""
    dtype: str
    place: Place
    options: Mapping[str, int] = field(default_factory=dict)
    """What else it says, by the framework's words; numbers and true."""

    @property
    def words(self) -> tuple[str, ...]:
        """Return that as source text."""
        return tuple(f"{name}={value!r}" for name, value in self.options.items())

    def fault(self, message: str, hint: str = "") -> Fault:
        """Return what is wrong with it, at its place."""
        return self.place.fault(f"input {self.name}: {message}", hint)


@dataclass(frozen=True, slots=True, kw_only=True)
class LayerCall:
    """One layer, called on tensors."""

    name: str
    """Unique in its graph. The framework knows the layer by it, unless it is a `shared` one."""
    kind: str
    """`Dense`; `MODULE:Name` of a layer of the project; of a nested model the block's name."""
    code: str
    """How source names its class: `keras.layers.Dense`; empty for a nested model."""
    arguments: Mapping[str, Argument]
    """Those that are given, in the framework's order; of a shared layer its own."""
    sources: tuple[Tensor, ...]
    """What it is called on, in this order."""
    merges: bool = False
    """Its sources are given as one list, as `Add` wants them."""
    keywords: Mapping[str, CallValue]
    """Arguments of the call, such as `mask`."""
    shared: str = ""
    """Name of the earlier call whose layer, with its weights, is called again."""
    model: Graph | None = None
    """The network inside, of a nested model."""
    place: Place
    passages: tuple[Passage, ...] = ()
    """From the outermost block to the innermost."""
    is_broken: bool = False
    """Its file has a fault in it, so that it cannot be made."""

    @property
    def words(self) -> tuple[str, ...]:
        """Return the arguments as source text."""
        return tuple(f"{name}={item.code}" for name, item in self.arguments.items())

    @property
    def objects(self) -> tuple[str, ...]:
        """Return what of the project it names, as MODULE:Name."""
        own = (self.kind,) if ":" in self.kind else ()
        return (*own, *(name for item in self.arguments.values() for name in item.objects))

    @property
    def reads(self) -> tuple[Tensor, ...]:
        """Return all that it is given: sources, and tensors among the arguments of the call."""
        return (*self.sources, *(one for item in self.keywords.values() for one in _tensors(item)))

    def on(self, other: Callable[[Tensor], Tensor]) -> LayerCall:
        """Return the same call on other tensors."""
        keywords: dict[str, CallValue] = {}
        for name, value in self.keywords.items():
            if isinstance(value, Tensor):
                keywords[name] = other(value)
            else:
                keywords[name] = tuple(map(other, value)) if isinstance(value, tuple) else value
        return replace(self, sources=tuple(map(other, self.sources)), keywords=keywords)

    @property
    def layer(self) -> str:
        """Return the name that its layer has in the framework."""
        return self.shared or self.name

    def fault(self, message: str, hint: str = "") -> Fault:
        """Return what is wrong with it, at its place, with the blocks that it came through."""
        came = "".join(f", in {passage}" for passage in reversed(self.passages))
        return self.place.fault(f"{self.name}: {message}{came}", hint)


def _tensors(value: CallValue) -> Iterator[Tensor]:
    if isinstance(value, Tensor):
        yield value
    elif isinstance(value, tuple):
        yield from value


@dataclass(frozen=True, slots=True, kw_only=True)
class Graph:
    """A network: calls in an order in which each stands after its sources."""

    name: str
    library: str
    """Whose layers these are."""
    inputs: tuple[GraphInput, ...]
    calls: tuple[LayerCall, ...]
    outputs: tuple[Tensor, ...]
    objects: Mapping[str, Place] = field(default_factory=dict)
    """What it needs of the project, as MODULE:Name, with the first place that names it."""
    files: tuple[str, ...] = ()
    """Files that it was read from, the architecture's own first."""

    def chain(self, tensor: Tensor) -> Iterator[LayerCall]:
        """Yield what gives a tensor, then what that is called on, as long as it is one layer.

        In place of a nested model stands what is in it.
        """
        calls = {call.name: call for call in self.calls}
        while (call := calls.get(tensor.name)) is not None:
            if call.model is not None:
                yield from call.model.chain(call.model.outputs[tensor.index or 0])
                return
            yield call
            if len(call.sources) != 1:
                return
            tensor = call.sources[0]
