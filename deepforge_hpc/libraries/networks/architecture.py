"""An architecture file as frozen data, before blocks are expanded.

    library: keras
    architecture: tiny
    inputs: {images: [64, 64, 5]}
    defaults: {Conv2D: {padding: same}}          # for every layer of that kind
    blocks:
      conv:                                      # has parameters, inputs (default: x), layers
        parameters: [filters, {kernel: 3}]
        layers:
          - y: [{Conv2D: {filters: $filters, kernel_size: $kernel}, from: x}, {PReLU: {}}]
    layers:
      - first: {conv: [16, 5]}                   # a block takes arguments by position or by name
      - out: {Dense: {units: 2}, from: first}    # without `from`: the layer above

A layer may be a list of steps, each fed by the one before. `when: false` leaves a step out; what is
fed by nothing but left-out layers is left out too. `repeat` stacks a step, `reuse` calls a layer of
before again with its weights, `call` gives arguments to the call. A block is laid out where it is
used, or stays one layer of its own (`nested`); `uses` takes it from another file. The last layer is
the output, unless `outputs` names others. The arguments of steps are read when blocks are expanded.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from deepforge_hpc.files.faults import BAD, NAME, NAME_RULE, Path, Reader, near, nearest, shown
from deepforge_hpc.files.kinds import (
    Items,
    MapOf,
    OneOf,
    OneOrMore,
    Schema,
    Shared,
    Text,
    described,
    flag,
    version,
)
from deepforge_hpc.files.object import Object, closed, key
from deepforge_hpc.libraries.networks.arguments import Kinds, kinds, layer_definitions
from deepforge_hpc.libraries.networks.catalogue import Texts
from deepforge_hpc.libraries.networks.code import OBJECT, OBJECT_RULE, OBJECT_SCHEMA
from deepforge_hpc.libraries.networks.dialect import Dialect
from deepforge_hpc.libraries.networks.graph import Argument
from deepforge_hpc.libraries.networks.inputs import (
    DTYPE,
    INPUTS,
    NAMED,
    WHEN,
    BlockInputs,
    Input,
    check_inputs,
)
from deepforge_hpc.libraries.networks.literals import PARAMETER
from deepforge_hpc.plugins.registry import known

STEP_WORDS = ("from", "when", "repeat", "call")
REUSE = "reuse"
_OF_FILES = ("parameters", "inputs", "layers", "output", "outputs")
"""Keys of a block that it has from another file, if it uses one."""
REQUIRED = object()
"""The default of a parameter that must be given."""
_SOURCE = Text(
    f"a name of {NAME_RULE}, or LAYER.OUTPUT",
    rf"{NAME.pattern}(?:\.(?:{NAME.pattern}|[0-9]{{1,4}}))?",
)
_SOURCES = OneOrMore(_SOURCE, least=1)
_ONE_NAME = {
    "type": "object",
    "minProperties": 1,
    "maxProperties": 1,
    "propertyNames": NAMED.schema(),
}
_DESCRIPTION = Text(lines=True, empty=True)
_LISTS: Schema = {"anyOf": [{"type": "array"}, PARAMETER]}
_REPEAT: Schema = {
    "anyOf": [
        {"type": "integer", "minimum": 0},
        PARAMETER,
        {"type": "object", "minProperties": 1, "additionalProperties": _LISTS},
    ]
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One layer or block, with where its input comes from."""

    kind: str
    """Name of a layer of the framework, of a block, `MODULE:Name`, or `reuse`."""
    arguments: object
    sources: tuple[str, ...]
    """Empty: the step before."""
    when: object
    repeat: object
    """A number; lists of what differs between the repetitions; None for once."""
    call: Mapping[str, object]
    """Arguments of the call."""
    path: Path

    def beside(self, word: str) -> Path:
        """Return the place of `from`, `when`, ..., which stands beside the kind."""
        return (*self.path[:-1], word)


@dataclass(frozen=True, slots=True, kw_only=True)
class Layer:
    """A named line of `layers`."""

    name: str
    steps: tuple[Step, ...]
    path: Path


def _slip(name: object) -> str:
    """Return the word of a step that a name is near to; empty for none."""
    return near(str(name), STEP_WORDS, 0.74)


@described({})  # as `step_schema` says of a dialect
def _step(value: object, path: Path, reader: Reader) -> object:
    """Read a step: `{Kind: arguments, from: .., when: ..}`."""
    content = dict(value) if isinstance(value, dict) else {}
    found = [name for name in content if name not in STEP_WORDS]
    several = found if len(found) > 1 else ()
    slips = {name: word for name in several if (word := _slip(name)) and word not in content}
    if len(found) - len(slips) == 1:
        for name, word in slips.items():
            hint = f"did you mean {word!r}?"
            reader.fault((*path, name), f"a step has no {shown(name)}", hint, key=True)
            content[word] = content.pop(name)  # to see what else is wrong
            found.remove(name)
    if len(found) != 1:
        what = f"found {' and '.join(found)}" if found else "there is none"
        hint = "write `- name: {Dense: {units: 10}}`, and {Flatten: {}} for no arguments"
        reader.fault(path, f"a step names one layer or block; {what}", hint)
        return BAD
    sources = _SOURCES(content["from"], (*path, "from"), reader) if "from" in content else ()
    call = content.get("call", {})
    if not isinstance(call, dict):
        reader.wrong((*path, "call"), "a mapping such as {mask: LAYER}", call)
        call = {}
    return Step(
        kind=found[0],
        arguments=content[found[0]],
        sources=() if sources is BAD else sources,
        when=content.get("when", True),
        repeat=content.get("repeat"),
        call=call,
        path=(*path, found[0]),
    )


def step_schema(dialect: Dialect) -> Schema:
    """Describe a step in a dialect."""
    # What `defaults` gives need not stand here, so no argument of a layer is required.
    layers = {
        n: {"anyOf": [{"$ref": f"#/definitions/{n}"}, {"type": "null"}]} for n in dialect.layers
    }
    return {
        "type": "object",
        "properties": {
            "from": _SOURCES.schema(),
            "when": WHEN.schema(),
            "repeat": _REPEAT,
            "call": {"type": "object"},
            REUSE: NAMED.schema(),
            **layers,
        },
        "propertyNames": {"anyOf": [NAMED.schema(), OBJECT_SCHEMA]},
        "minProperties": 1,
        "maxProperties": 1 + len(STEP_WORDS),
    }


_STEP = Shared("step", _step)
_STEPS = OneOrMore(_STEP, least=1)


@described({**_ONE_NAME, "additionalProperties": _STEPS.schema()})
def _layer(value: object, path: Path, reader: Reader) -> object:
    if not isinstance(value, dict) or len(value) != 1:
        hint = "write `- name: {Layer: {arguments}, from: other}`"
        reader.fault(path, "a layer must be one name with one value", hint)
        return BAD
    found = MapOf(_STEPS)(value, path, reader)
    return next(
        (Layer(name=name, steps=steps, path=(*path, name)) for name, steps in found.items()), BAD
    )


_LAYERS = Shared("layers", Items(_layer, "a list of `- name: {Layer: {arguments}}`", least=1))


@described({"type": "array", "items": {"anyOf": [NAMED.schema(), _ONE_NAME]}})
def _parameters(value: object, path: Path, reader: Reader) -> object:
    """Read `[needed, {optional: default}]` to defaults by name."""
    if not isinstance(value, list):
        return reader.wrong(path, "a list such as [filters, {kernel: 3}]", value)
    found: dict[str, object] = {}
    for index, item in enumerate(value):
        name, default = item, REQUIRED
        if isinstance(item, dict) and len(item) == 1:
            (name, default), *_ = item.items()
        if NAMED(name, (*path, index), reader) in found:
            reader.fault((*path, index), f"parameter {name} is there twice")
        found[str(name)] = default
    return found


@dataclass(frozen=True, slots=True, kw_only=True)
class Block:
    """Layers with parameters; the network itself is one, without a name."""

    name: str
    description: str = key(_DESCRIPTION, "")
    uses: str = key(Text("the path of an architecture file"), "")
    """Another architecture file, relative to this one: its network is the block."""
    nested: bool = key(flag, default=False)
    """Whether it stays a model of its own, as one layer; its inputs then have shapes."""
    parameters: Mapping[str, object] = key(_parameters, factory=dict)
    inputs: Mapping[str, Input | None] = key(BlockInputs(), factory=lambda: {"x": None})
    layers: tuple[Layer, ...] = key(_LAYERS, ())
    output: str = key(_SOURCE, "")
    outputs: tuple[str, ...] = key(_SOURCES, ())

    @property
    def path(self) -> Path:
        """The place in the file."""
        return ("blocks", self.name) if self.name else ()


@described({})
def _by_layer(value: object, path: Path, reader: Reader) -> object:
    return value if isinstance(value, dict) else reader.wrong(path, "a mapping", value)


_BLOCK = Shared("block", Object(Block, named=True))


@dataclass(frozen=True, slots=True, kw_only=True)
class Architecture:
    """A whole file."""

    dfh: int = key(version, 1)
    library: str = key(Text(), "", required=True)
    name: str = key(NAMED, "", required=True, name="architecture")
    description: str = key(_DESCRIPTION, "")
    parameters: Mapping[str, object] = key(_parameters, factory=dict)
    inputs: Mapping[str, Input] = key(Shared("inputs", INPUTS), factory=dict, required=True)
    defaults: Mapping[str, Mapping[str, Argument]] = key(_by_layer, factory=dict)
    """Arguments by layer, for every layer of that kind in this file."""
    blocks: Mapping[str, Block] = key(MapOf(_BLOCK), factory=dict)
    layers: tuple[Layer, ...] = key(_LAYERS, (), required=True)
    outputs: tuple[str, ...] = key(_SOURCES, ())
    custom: tuple[str, ...] = key(Items(Text(OBJECT_RULE, OBJECT)), ())
    """Losses, metrics and other objects of the project, as MODULE:Name, that a saved model of this
    network needs to be loaded again."""

    @property
    def body(self) -> Block:
        """The network itself as a block."""
        return Block(
            name="",
            parameters=self.parameters,
            inputs=self.inputs,
            layers=self.layers,
            outputs=self.outputs,
        )


_FILE = Object(Architecture)


def read(reader: Reader, dialect: Dialect) -> Architecture | None:
    """Return the architecture of a document as `complete` wants it; faults go to the reader."""
    found = _FILE(reader.document.value(), (), reader)
    if not isinstance(found, Architecture):
        return None
    if found.library not in {"", dialect.library}:
        libraries = known("libraries")
        names = (dialect.library,) if found.library in libraries else sorted(libraries)
        OneOf(*names)(found.library, ("library",), reader)
    for block in found.blocks.values():
        is_layer = dialect.catalogue.find("layer", block.name)
        if is_layer or block.name in (*STEP_WORDS, REUSE):
            message = f"{shown(block.name)} already means another thing"
            reader.fault(block.path, message, "rename the block", key=True)
        _check_block(block, reader)
    return found


def complete(found: Architecture, reader: Reader, dialect: Dialect) -> Architecture:
    """Return it with its defaults read; what is wrong now is of no consequence for other layers."""
    for block in (found.body, *found.blocks.values()):
        check_inputs(block.inputs, (*block.path, "inputs"), reader, dialect)
    return replace(found, defaults=_defaults(found.defaults, reader, dialect))


def _defaults(
    given: Mapping[str, object], reader: Reader, dialect: Dialect
) -> dict[str, Mapping[str, Argument]]:
    """Return the arguments that each layer gets, by its first name."""
    found: dict[str, Mapping[str, Argument]] = {}
    for name, item in given.items():
        here, one = ("defaults", name), kinds(dialect).arguments("layer", name)
        if one is None:
            hint = nearest(name, dialect.catalogue.known("layer"))
            reader.fault(here, f"unknown key {shown(name)}", hint, key=True)
        else:
            found[one.thing.name] = one(item, here, reader)
    return found


def _check_block(block: Block, reader: Reader) -> None:
    """Report what a block lacks, or has besides another file."""
    here = reader.document.value()["blocks"][block.name]
    if block.uses:
        for name in [name for name in _OF_FILES if name in here]:
            message = f"{name} of the block come from {block.uses}"
            reader.fault((*block.path, name), message, key=True)
    elif "layers" not in here:
        reader.fault(block.path, "'layers' is missing")
    elif block.nested and None in block.inputs.values():
        message = "the inputs of a nested block need shapes"
        reader.fault(block.path, message, "write inputs: {x: [64, 64, 5]}", key=True)
    if block.output and block.outputs:
        reader.fault((*block.path, "outputs"), "output and outputs exclude each other", key=True)


def check_parameters(found: Architecture, reader: Reader) -> None:
    """Report parameters without a value of a network that no other file uses."""
    for name, default in found.parameters.items():
        if default is REQUIRED:
            reader.fault(("parameters",), f"parameter {name} of the architecture needs a value")


def schema(dialect: Dialect, texts: Texts) -> Schema:
    """Return the JSON Schema of a file in a dialect.

    A name that is no layer is one of a block, whose parameters only `dfh check` knows.
    """
    found = _FILE.schema()
    layers = {name: {"$ref": f"#/definitions/{name}"} for name in dialect.layers}
    found["properties"]["library"].update(OneOf(dialect.library).schema())
    found["properties"]["defaults"].update(closed(layers))
    found["definitions"] = {
        "inputs": INPUTS.schema(),
        **{shared.name: shared.kind.schema() for shared in (_LAYERS, _BLOCK)},
        DTYPE.name: OneOf(*dialect.catalogue.dtypes).schema(),
        _STEP.name: step_schema(dialect),
        **layer_definitions(Kinds(dialect), texts),
    }
    return found
