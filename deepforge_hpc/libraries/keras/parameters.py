"""The parameters of blocks: how they are given, and what `$name` stands for."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from deepforge_hpc.files.faults import Path, Reader, nearest, shown
from deepforge_hpc.libraries.keras.architecture import REQUIRED, Block, Step

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
                self.reader.fault(step.path, f"{message}, not {len(arguments)}")
            keys: dict[str, int | str] = dict(
                zip(block.parameters, range(len(arguments)), strict=False)
            )
            given = {name: arguments[key] for name, key in keys.items()}  # type: ignore[index]
        elif isinstance(arguments, dict | None):
            given, keys = arguments or {}, {name: name for name in arguments or {}}
        else:
            self.reader.fault(step.path, f"arguments of {block.name} must be a list or a mapping")
            keys = {}
        default_path = (*block.path, "parameters")
        bound = {
            name: Value(value=UNKNOWN if value is REQUIRED else value, path=default_path)
            for name, value in block.parameters.items()
        }
        for name, value in given.items():
            path = (*step.path, keys[name])
            if name not in block.parameters:
                message = f"block {block.name} has no parameter {shown(name)}"
                self.reader.fault(path, message, nearest(name, block.parameters), key=True)
                continue
            bound[name] = self.resolve(value, values, path)
        for name, value in block.parameters.items():
            if value is REQUIRED and name not in given:
                self.reader.fault(step.path, f"block {block.name} needs {name}")
        return bound

    def resolve(self, value: object, values: Mapping[str, Value], path: Path) -> Value:
        """Replace `$parameter`, also inside lists and mappings."""
        if isinstance(value, str) and value.startswith("$"):
            if value[1:] in values:
                return values[value[1:]]
            hint = nearest(value[1:], values) or "a block's `parameters` declare them"
            self.reader.fault(path, f"no parameter {value}", hint)
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
            message = f"when must be true or false, not {shown(resolved.value)}"
            self.reader.fault(resolved.path, message)
        return resolved.value is not False


def _whole(value: object, parts: list[Value], path: Path) -> Value:
    unknown = any(part.value is UNKNOWN for part in parts)
    return Value(value=UNKNOWN if unknown else value, path=path)
