"""The parameters of blocks: how they are given, and what `$name` stands for."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from deepforge_hpc.libraries.keras.values import suggestion

if TYPE_CHECKING:
    from collections.abc import Mapping

    from deepforge_hpc.libraries.keras.architecture import Block, Path, Reader, Step


UNKNOWN = object()
"""The value of a parameter that is not there: its fault is kept, so that no other is."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Value:
    """An argument, with the place that a fault of it should name."""

    value: object
    path: Path


class Parameters:
    """Resolves parameters; faults go to the reader of the file."""

    def __init__(self, reader: Reader) -> None:
        self.reader = reader

    def bind(self, block: Block, step: Step, values: Mapping[str, Value]) -> dict[str, Value]:
        """Return the values of a block's parameters."""
        given: dict[str, Any] = {}
        arguments = step.arguments
        if isinstance(arguments, list):
            if len(arguments) > len(block.parameters):
                message = f"block {block.name} has {len(block.parameters)} parameters"
                self.reader.fault(f"{message}, not {len(arguments)}", step.path)
            keys: dict[str, int | str] = dict(
                zip(block.parameters, range(len(arguments)), strict=False)
            )
            given = {name: arguments[key] for name, key in keys.items()}  # type: ignore[index]
        elif isinstance(arguments, dict | None):
            given, keys = arguments or {}, {name: name for name in arguments or {}}
        else:
            self.reader.fault(f"arguments of {block.name} must be a list or a mapping", step.path)
            keys = {}
        bound = {
            name: Value(value=value, path=(*block.path, "parameters"))
            for name, value in block.parameters.items()
        }
        for name, value in given.items():
            path = (*step.path, keys[name])
            if name not in block.parameters:
                hint = suggestion(name, block.parameters)
                self.reader.fault(
                    f"block {block.name} has no parameter {name!r}", path, hint, key=True
                )
                continue
            bound[name] = self.resolve(value, values, path)
        for name in block.required:
            if name not in given:
                self.reader.fault(f"block {block.name} needs {name}", step.path)
        return bound

    def resolve(self, value: object, values: Mapping[str, Value], path: Path) -> Value:
        """Replace `$parameter`, also inside lists and mappings."""
        if isinstance(value, str) and value.startswith("$"):
            if value[1:] in values:
                return values[value[1:]]
            hint = suggestion(value[1:], values) or "a block's `parameters` declare them"
            self.reader.fault(f"no parameter {value}", path, hint)
            return Value(value=UNKNOWN, path=path)
        if isinstance(value, list):
            items = [self.resolve(item, values, (*path, i)) for i, item in enumerate(value)]
            return _whole([item.value for item in items], items, path)
        if isinstance(value, dict):
            pairs = {k: self.resolve(item, values, (*path, k)) for k, item in value.items()}
            plain = {k: item.value for k, item in pairs.items()}
            return _whole(plain, list(pairs.values()), path)
        return Value(value=value, path=path)

    def when(self, value: object, values: Mapping[str, Value], path: Path) -> bool:
        """Return whether a step or an input is there."""
        resolved = self.resolve(value, values, path)
        if resolved.value is not UNKNOWN and not isinstance(resolved.value, bool):
            self.reader.fault(f"when must be true or false, not {resolved.value!r}", resolved.path)
        return resolved.value is not False


def _whole(value: object, parts: list[Value], path: Path) -> Value:
    unknown = any(part.value is UNKNOWN for part in parts)
    return Value(value=UNKNOWN if unknown else value, path=path)
