"""An architecture file as frozen data, before blocks are expanded. Values are not looked at here.

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
(of a block: `output`) names others.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from deepforge_hpc.files import yaml12
from deepforge_hpc.libraries.keras.schema import INPUT_DTYPES, LAYERS
from deepforge_hpc.libraries.keras.values import suggestion

if TYPE_CHECKING:
    from deepforge_hpc.errors import Fault

NAME = re.compile(r"[A-Za-z][A-Za-z0-9_]{0,63}")
_TOP = (
    "library", "architecture", "description", "dfh", "inputs", "defaults", "blocks", "parameters",
    "layers", "outputs",
)  # fmt: skip
_BLOCK = ("parameters", "inputs", "layers", "output", "description")
_STEP = ("from", "when")

Path = yaml12.Path


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


@dataclass(frozen=True, slots=True, kw_only=True)
class Block:
    """Layers with parameters; the network itself is one."""

    name: str
    parameters: dict[str, object]
    """Name to default."""
    required: tuple[str, ...]
    inputs: tuple[str, ...]
    layers: tuple[Layer, ...]
    outputs: tuple[str, ...]
    path: Path


@dataclass(frozen=True, slots=True, kw_only=True)
class Input:
    """One input of the network."""

    name: str
    shape: tuple[int | None, ...]
    dtype: str
    when: object
    path: Path


@dataclass(frozen=True, slots=True, kw_only=True)
class Architecture:
    """A whole file."""

    name: str
    inputs: tuple[Input, ...]
    defaults: dict[str, Any]
    blocks: dict[str, Block]
    body: Block


class Reader:
    """Reads the document and collects the faults of its form."""

    def __init__(self, document: yaml12.Document) -> None:
        self.document = document
        self.faults: list[Fault] = []

    def fault(self, message: str, path: Path, hint: str = "", *, key: bool = False) -> None:
        """Keep a fault."""
        self.faults.append(self.document.fault(message, path, hint=hint, key=key))

    def read(self) -> Architecture | None:
        """Return the architecture; None if so much is wrong that there is none."""
        data = self.document.value()
        if not isinstance(data, dict):
            self.fault("an architecture file must be a mapping", ())
            return None
        self.keys(data, _TOP, ())
        for key in ("library", "architecture", "inputs"):  # `layers` says more itself
            if key not in data:
                self.fault(f"{key}: is missing", ())
        if data.get("library", "keras") != "keras":
            self.fault(f"library must be keras, not {data['library']!r}", ("library",))
        if data.get("dfh", 1) != 1 or isinstance(data.get("dfh"), (bool, float)):
            self.fault(f"format version {data['dfh']!r} is not known", ("dfh",), "this is dfh: 1")
        inputs = self.inputs(data.get("inputs"))
        blocks = self.mapping(data.get("blocks"), ("blocks",))
        return Architecture(
            name=self.name(data.get("architecture", "network"), ("architecture",)),
            inputs=inputs,
            defaults=self.mapping(data.get("defaults"), ("defaults",)),
            blocks={name: self.block(name, value) for name, value in blocks.items()},
            body=self.body(data, tuple(item.name for item in inputs)),
        )

    def mapping(self, value: object, path: Path) -> dict[str, Any]:
        """Return a mapping; empty for nothing."""
        if value is None:
            return {}
        if not isinstance(value, dict):
            self.fault(f"{path[-1]} must be a mapping", path)
            return {}
        return value

    def keys(self, data: dict[str, Any], known: tuple[str, ...], path: Path) -> None:
        """Refuse unknown keys."""
        for key in data:
            if key not in known:
                self.fault(f"unknown key {key!r}", (*path, key), suggestion(key, known), key=True)

    def name(self, value: object, path: Path, *, key: bool = False) -> str:
        """Return a name that can stand in code."""
        if isinstance(value, str) and NAME.fullmatch(value):
            return value
        hint = "letters, digits and _, at most 64, a letter first"
        self.fault(f"{value!r} cannot be a name", path, hint, key=key)
        return ""

    def names(self, value: object, path: Path) -> tuple[str, ...]:
        """Return one name or a list of names as a tuple."""
        if not isinstance(value, list):
            return (self.name(value, path),)
        if not value:
            self.fault("an empty list of names", path)
        return tuple(self.name(item, (*path, i)) for i, item in enumerate(value))

    def inputs(self, value: object) -> tuple[Input, ...]:
        """Read the inputs of the network."""
        found = []
        for name, item in self.mapping(value, ("inputs",)).items():
            path: Path = ("inputs", name)
            self.name(name, path, key=True)
            data = item if isinstance(item, dict) else {"shape": item}
            self.keys(data, ("shape", "dtype", "when"), path)
            shape, dtype = data.get("shape"), data.get("dtype", "float32")
            if not isinstance(shape, list) or not all(
                size is None or (type(size) is int and size > 0) for size in shape
            ):
                self.fault(
                    "a shape must be a list of positive whole numbers or null",
                    path,
                    "without the batch, e.g. [64, 64, 5]",
                )
                shape = []
            if dtype not in INPUT_DTYPES:
                hint = f"known: {', '.join(INPUT_DTYPES)}"
                self.fault(f"no dtype {dtype!r}", (*path, "dtype"), hint)
                dtype = "float32"
            found.append(
                Input(
                    name=name,
                    shape=tuple(shape),
                    dtype=dtype,
                    when=data.get("when", True),
                    path=path,
                )
            )
        return tuple(found)

    def body(self, data: dict[str, Any], inputs: tuple[str, ...]) -> Block:
        """Read the network itself."""
        parameters, required = self.parameters(data.get("parameters"), ("parameters",))
        for name in required:
            self.fault(f"parameter {name} of the architecture needs a value", ("parameters",))
        return Block(
            name="",
            parameters={**dict.fromkeys(required), **parameters},
            required=(),
            inputs=inputs,
            layers=self.layers(data.get("layers"), ("layers",)),
            outputs=self.names(data["outputs"], ("outputs",)) if "outputs" in data else (),
            path=(),
        )

    def block(self, name: str, value: object) -> Block:
        """Read a block."""
        path: Path = ("blocks", name)
        data = self.mapping(value, path)
        self.keys(data, _BLOCK, path)
        self.name(name, path, key=True)
        if name in LAYERS or name in _STEP:
            self.fault(f"{name!r} already means another thing", path, "rename the block", key=True)
        parameters, required = self.parameters(data.get("parameters"), (*path, "parameters"))
        return Block(
            name=name,
            parameters=parameters,
            required=required,
            inputs=self.names(data.get("inputs", "x"), (*path, "inputs")),
            layers=self.layers(data.get("layers"), (*path, "layers")),
            outputs=(self.name(data["output"], (*path, "output")),) if "output" in data else (),
            path=path,
        )

    def parameters(self, value: object, path: Path) -> tuple[dict[str, object], tuple[str, ...]]:
        """Read `[needed, {optional: default}]`; return all with defaults, and the needed ones."""
        if not isinstance(value, list | None):
            self.fault("parameters must be a list, e.g. [filters, {kernel: 3}]", path)
            value = None
        found: dict[str, object] = {}
        required = []
        for i, item in enumerate(value or []):
            if isinstance(item, dict) and len(item) == 1:
                name, default = next(iter(item.items()))
            else:
                name, default = item, None
                required.append(str(name))
            if self.name(name, (*path, i)) in found:
                self.fault(f"parameter {name} is there twice", (*path, i))
            found[str(name)] = default
        return found, tuple(required)

    def layers(self, value: object, path: Path) -> tuple[Layer, ...]:
        """Read a list of layers."""
        if not isinstance(value, list) or not value:
            self.fault("layers must be a list of `- name: {Layer: {arguments}}`", path)
            return ()
        found = []
        for i, item in enumerate(value):
            here = (*path, i)
            if not isinstance(item, dict) or len(item) != 1:
                hint = "write `- name: {Layer: {arguments}, from: other}`"
                self.fault("a layer must be one name with one value", here, hint)
                continue
            name, content = next(iter(item.items()))
            at = (*here, name)
            if self.name(name, at, key=True):
                steps = self.steps(content, at)
                found.append(Layer(name=name, steps=steps, path=at))
        return tuple(found)

    def steps(self, content: object, path: Path) -> tuple[Step, ...]:
        """Read one step, or a list of them."""
        if not isinstance(content, list):
            return tuple(self.step(content, path))
        if not content:
            self.fault("a layer without steps", path)
        return tuple(step for i, item in enumerate(content) for step in self.step(item, (*path, i)))

    def step(self, item: object, path: Path) -> list[Step]:
        """Read `{Kind: arguments, from: .., when: ..}`; an empty list if it is not one."""
        kinds = [key for key in item if key not in _STEP] if isinstance(item, dict) else []
        if not isinstance(item, dict) or len(kinds) != 1:
            found = f"found {' and '.join(kinds)}" if kinds else "there is none"
            hint = "write {Dense: {units: 10}}, and {Flatten: {}} for no arguments"
            self.fault(f"a step names one layer or block; {found}", path, hint)
            return []
        kind = kinds[0]
        return [
            Step(
                kind=kind,
                arguments=item[kind],
                sources=self.names(item["from"], (*path, "from")) if "from" in item else (),
                when=item.get("when", True),
                path=(*path, kind),
            )
        ]
