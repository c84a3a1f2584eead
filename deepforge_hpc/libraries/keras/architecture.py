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
fed by nothing but left-out layers is left out too. The last layer is the output, unless `outputs`
(of a block: `output`) names others. The arguments of steps are read when the blocks are expanded.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from deepforge_hpc.files.faults import BAD, NAME, NAME_RULE, Path, Reader, shown
from deepforge_hpc.files.kinds import (
    Custom,
    Items,
    MapOf,
    OneOf,
    OneOrMore,
    Schema,
    Shared,
    Text,
    data,
    described,
    version,
)
from deepforge_hpc.files.object import Object, key
from deepforge_hpc.libraries.keras.arguments import (
    PARAMETER,
    POSITIVE,
    TABLES,
    arguments,
    call,
    is_int,
)
from deepforge_hpc.libraries.keras.graph import Argument
from deepforge_hpc.libraries.keras.schema import INPUT_DTYPES, LAYERS

_STEP_WORDS = ("from", "when")
REQUIRED = object()
"""The default of a parameter that must be given."""
_NAME = Text(f"a name of {NAME_RULE}", NAME.pattern)
_NAMES = OneOrMore(_NAME, least=1)
_ONE_NAME = {
    "type": "object",
    "minProperties": 1,
    "maxProperties": 1,
    "propertyNames": _NAME.schema(),
}
_WHEN = Custom(data, {"anyOf": [{"type": "boolean"}, PARAMETER]})
_DESCRIPTION = Text(lines=True, empty=True)


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One layer or block, with where its input comes from."""

    kind: str
    """Name of a Keras layer or of a block."""
    arguments: object
    sources: tuple[str, ...]
    """Empty: the step before."""
    when: object
    path: Path


@dataclass(frozen=True, slots=True, kw_only=True)
class Layer:
    """A named line of `layers`."""

    name: str
    steps: tuple[Step, ...]
    path: Path


@described(
    {
        "type": "object",
        "properties": {
            "from": _NAMES.schema(),
            "when": _WHEN.schema(),
            # What `defaults` gives need not stand here, so no argument of a layer is required.
            **{
                name: {"anyOf": [{"$ref": f"#/definitions/{name}"}, {"type": "null"}]}
                for name in LAYERS
            },
        },
        "propertyNames": _NAME.schema(),
        "minProperties": 1,
        "maxProperties": 3,
    }
)
def _step(value: object, path: Path, reader: Reader) -> object:
    """Read `{Kind: arguments, from: .., when: ..}`."""
    kinds = [name for name in value if name not in _STEP_WORDS] if isinstance(value, dict) else []
    if not isinstance(value, dict) or len(kinds) != 1:
        found = f"found {' and '.join(kinds)}" if kinds else "there is none"
        hint = "write {Dense: {units: 10}}, and {Flatten: {}} for no arguments"
        reader.fault(path, f"a step names one layer or block; {found}", hint)
        return BAD
    sources = _NAMES(value["from"], (*path, "from"), reader) if "from" in value else ()
    return Step(
        kind=kinds[0],
        arguments=value[kinds[0]],
        sources=() if sources is BAD else sources,
        when=value.get("when", True),
        path=(*path, kinds[0]),
    )


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


@described({"type": "array", "items": {"anyOf": [_NAME.schema(), _ONE_NAME]}})
def _parameters(value: object, path: Path, reader: Reader) -> object:
    """Read `[needed, {optional: default}]` to defaults by name."""
    if not isinstance(value, list):
        return reader.wrong(path, "a list such as [filters, {kernel: 3}]", value)
    found: dict[str, object] = {}
    for index, item in enumerate(value):
        name, default = item, REQUIRED
        if isinstance(item, dict) and len(item) == 1:
            (name, default), *_ = item.items()
        if _NAME(name, (*path, index), reader) in found:
            reader.fault((*path, index), f"parameter {name} is there twice")
        found[str(name)] = default
    return found


@dataclass(frozen=True, slots=True, kw_only=True)
class Block:
    """Layers with parameters; the network itself is one, without a name."""

    name: str
    description: str = key(_DESCRIPTION, "")
    parameters: Mapping[str, object] = key(_parameters, factory=dict)
    inputs: tuple[str, ...] = key(_NAMES, ("x",))
    layers: tuple[Layer, ...] = key(_LAYERS, (), required=True)
    output: str = key(_NAME, "")
    outputs: tuple[str, ...] = ()
    """Of the network."""

    @property
    def path(self) -> Path:
        """The place in the file."""
        return ("blocks", self.name) if self.name else ()


@described({"anyOf": [POSITIVE, {"type": "null"}]})
def _size(value: object, path: Path, reader: Reader) -> object:
    if value is None or is_int(value, 1):
        return value
    return reader.wrong(path, "a positive whole number or null", value)


@dataclass(frozen=True, slots=True, kw_only=True)
class Input:
    """One input of the network."""

    name: str
    shape: tuple[int | None, ...] = key(Items(_size, "a list of sizes"), (), required=True)
    """Without the batch, e.g. [64, 64, 5]; null is any size."""
    dtype: str = key(OneOf(*INPUT_DTYPES), "float32")
    when: object = key(_WHEN, default=True)

    @property
    def path(self) -> Path:
        """The place in the file."""
        return ("inputs", self.name)


_BLOCK = Shared("block", Object(Block, named=True))
_DEFAULTS = Object(dict, {name: Shared(name, arguments("layer", name)) for name in LAYERS})


@dataclass(frozen=True, slots=True, kw_only=True)
class Architecture:
    """A whole file."""

    dfh: int = key(version, 1)
    library: str = key(OneOf("keras"), "", required=True)
    name: str = key(_NAME, "", required=True, name="architecture")
    description: str = key(_DESCRIPTION, "")
    parameters: Mapping[str, object] = key(_parameters, factory=dict)
    inputs: Mapping[str, Input] = key(
        MapOf(Object(Input, shorthand="shape", named=True)), factory=dict, required=True
    )
    defaults: Mapping[str, Mapping[str, Argument]] = key(_DEFAULTS, factory=dict)
    """By layer."""
    blocks: Mapping[str, Block] = key(MapOf(_BLOCK), factory=dict)
    layers: tuple[Layer, ...] = key(_LAYERS, (), required=True)
    outputs: tuple[str, ...] = key(_NAMES, ())

    @property
    def body(self) -> Block:
        """The network itself as a block."""
        return Block(
            name="",
            parameters=self.parameters,
            inputs=tuple(self.inputs),
            layers=self.layers,
            outputs=self.outputs,
        )


_FILE = Object(Architecture)


def read(reader: Reader) -> Architecture | None:
    """Return the architecture of a document; faults go to the reader."""
    found = _FILE(reader.document.value(), (), reader)
    if not isinstance(found, Architecture):
        return None
    for name, default in found.parameters.items():
        if default is REQUIRED:
            reader.fault(("parameters",), f"parameter {name} of the architecture needs a value")
    for name in found.blocks:
        if name in LAYERS or name in _STEP_WORDS:
            message = f"{shown(name)} already means another thing"
            reader.fault(("blocks", name), message, "rename the block", key=True)
    return found


def schema() -> Schema:
    """Return the JSON Schema of a file.

    A name that is no Keras layer is one of a block, whose parameters only `dfh check` knows.
    """
    found = _FILE.schema()
    found["definitions"] = {
        **{shared.name: shared.kind.schema() for shared in (_LAYERS, _STEP, _BLOCK)},
        **{sort: call(sort).definition() for sort in TABLES},
        **{name: arguments("layer", name).schema() for name in LAYERS},
    }
    return found
