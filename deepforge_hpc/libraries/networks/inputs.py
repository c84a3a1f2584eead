"""The inputs of a network, and of its blocks, as they stand in an architecture file."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from deepforge_hpc.files.faults import BAD, NAME, NAME_RULE, Path, Reader
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
    flag,
)
from deepforge_hpc.files.object import Object, key
from deepforge_hpc.libraries.networks.dialect import Dialect
from deepforge_hpc.libraries.networks.literals import PARAMETER, POSITIVE, is_int

NAMED = Text(f"a name of {NAME_RULE}", NAME.pattern)
NAMES = OneOrMore(NAMED, least=1)
WHEN = Custom(data, {"anyOf": [{"type": "boolean"}, PARAMETER]})
OPTIONS = ("batch", "sparse", "ragged", "optional")
"""Keys of an input that not every framework has."""


@described({"anyOf": [POSITIVE, {"type": "null"}, PARAMETER]})
def _size(value: object, path: Path, reader: Reader) -> object:
    is_parameter = isinstance(value, str) and value.startswith("$")
    if value is None or is_int(value, 1) or is_parameter:
        return value
    return reader.wrong(path, "a positive whole number or null", value)


DTYPE = Shared("dtype", Text("a type of numbers"))


@dataclass(frozen=True, slots=True, kw_only=True)
class Input:
    """One input of a network."""

    name: str
    shape: tuple[object, ...] = key(Items(_size, "a list of sizes"), (), required=True)
    """Without the batch, e.g. [64, 64, 5]; null is any size."""
    dtype: str = key(DTYPE, "float32")
    batch: object = key(_size, None)
    """Takes batches of just this size, as layers that keep their state need."""
    sparse: bool = key(flag, default=False)
    """Takes sparse tensors."""
    ragged: bool = key(flag, default=False)
    """Takes tensors whose rows differ in length."""
    optional: bool = key(flag, default=False)
    """May be given nothing."""
    when: object = key(WHEN, default=True)


_INPUT = Object(Input, shorthand="shape", named=True)


@described(_INPUT.schema())
def _input(value: object, path: Path, reader: Reader) -> object:
    if is_int(value):
        return reader.wrong(path, "a list of sizes", value, f"write {path[-1]}: [{value}]")
    return _INPUT(value, path, reader)


INPUTS = MapOf(_input)


class BlockInputs:
    """Names; or shapes by name, for the inputs of a nested block."""

    def __call__(self, value: object, path: Path, reader: Reader, /) -> object:
        """Return the inputs by name, or BAD."""
        if isinstance(value, dict):
            return INPUTS(value, path, reader)
        found = NAMES(value, path, reader)
        return BAD if found is BAD else dict.fromkeys(found)

    def schema(self) -> Schema:
        """Describe them."""
        return {"anyOf": [NAMES.schema(), {"$ref": "#/definitions/inputs"}]}


def check_inputs(
    inputs: Mapping[str, Input | None], path: Path, reader: Reader, dialect: Dialect
) -> None:
    """Report what the framework has not of an input."""
    for name, item in inputs.items():
        if item is None:
            continue
        here = (*path, name)
        OneOf(*dialect.catalogue.dtypes)(item.dtype, (*here, "dtype"), reader)
        for word in OPTIONS:
            if getattr(item, word) and word not in dialect.input_options:
                message = f"an input of {dialect.framework} has no {word}"
                reader.fault((*here, word), message, key=True)
