"""The parameters of blocks: how they are given, and what `$name` stands for."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from deepforge_hpc.files.faults import Path, Reader, nearest, shown
from deepforge_hpc.libraries.networks.architecture import REQUIRED, Block, Step
from deepforge_hpc.libraries.networks.literals import is_int

UNKNOWN = object()
"""The value of a parameter that is not there: its fault is kept, so that no other is."""
INDEX = "index"
"""The parameter that `repeat` gives to a step: 1, 2, ..."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Value:
    """An argument, with the place that a fault of it should name."""

    value: object
    path: Path
    reader: Reader
    """Of the file in which the place is."""


Values = Mapping[str, Value]


class Parameters:
    """Resolves parameters; faults go to the reader of the file."""

    def __init__(self, reader: Reader) -> None:
        self.reader = reader

    def value(self, value: object, path: Path) -> Value:
        """Return a value of this file."""
        return Value(value=value, path=path, reader=self.reader)

    def defaults(self, block: Block) -> dict[str, Value]:
        """Return the parameters of a block of this file by their defaults."""
        path = (*block.path, "parameters")
        return {
            name: self.value(UNKNOWN, path)
            if value is REQUIRED
            else self.value(value, (*path, index, name))
            for index, (name, value) in enumerate(block.parameters.items())
        }

    def bind(self, block: Block, declared: Parameters, step: Step, values: Values) -> Values:
        """Return the values of a block's parameters; `declared` is of the file that has them."""
        given, keys = self._given(block, step)
        bound = declared.defaults(block)
        for name, value in given.items():
            path = (*step.path, keys[name])
            if name not in block.parameters:
                message = f"block {step.kind} has no parameter {shown(name)}"
                self.reader.fault(path, message, nearest(name, block.parameters), key=True)
                continue
            bound[name] = self.resolve(value, values, path)
        for name, value in block.parameters.items():
            if value is REQUIRED and name not in given:
                self.reader.fault(step.path, f"block {step.kind} needs {name}")
        return bound

    def _given(self, block: Block, step: Step) -> tuple[dict[str, Any], dict[str, int | str]]:
        """Return arguments by name, and what each stands under."""
        arguments = step.arguments
        if isinstance(arguments, list):
            if len(arguments) > len(block.parameters):
                message = f"block {step.kind} has {len(block.parameters)} parameters"
                self.reader.fault(step.path, f"{message}, not {len(arguments)}")
            keys: dict[str, int | str] = dict(
                zip(block.parameters, range(len(arguments)), strict=False)
            )
            return {name: arguments[key] for name, key in keys.items()}, keys  # type: ignore[index]
        if isinstance(arguments, dict | None):
            return arguments or {}, {name: name for name in arguments or {}}
        self.reader.fault(step.path, f"arguments of {step.kind} must be a list or a mapping")
        return {}, {}

    def resolve(self, value: object, values: Values, path: Path) -> Value:
        """Replace `$parameter`, also inside lists and mappings."""
        if isinstance(value, str) and value.startswith("$"):
            if value[1:] in values:
                return values[value[1:]]
            hint = nearest(value[1:], values) or "a block's `parameters` declare them"
            if value[1:] == INDEX:
                hint = "only a step with `repeat` has an index"
            self.reader.fault(path, f"no parameter {value}", hint)
            return self.value(UNKNOWN, path)
        if isinstance(value, list):
            items = [self.resolve(item, values, (*path, i)) for i, item in enumerate(value)]
            return self._whole([item.value for item in items], items, path)
        if isinstance(value, dict):
            pairs = {k: self.resolve(item, values, (*path, k)) for k, item in value.items()}
            plain = {k: item.value for k, item in pairs.items()}
            return self._whole(plain, list(pairs.values()), path)
        return self.value(value, path)

    def _whole(self, value: object, parts: list[Value], path: Path) -> Value:
        unknown = any(part.value is UNKNOWN for part in parts)
        return self.value(UNKNOWN if unknown else value, path)

    def when(self, value: object, values: Values, path: Path) -> bool:
        """Return whether a step or an input is there."""
        resolved = self.resolve(value, values, path)
        if resolved.value is not UNKNOWN and not isinstance(resolved.value, bool):
            message = f"when must be true or false, not {shown(resolved.value)}"
            resolved.reader.fault(resolved.path, message)
        return resolved.value is not False

    def repetitions(self, step: Step, values: Values, most: int) -> Iterator[Values]:
        """Yield the values that each repetition of a step has besides; none if they are wrong."""
        path = step.beside("repeat")
        if isinstance(step.repeat, dict):
            yield from self._each(step.repeat, values, path, most)
            return
        found = self.resolve(step.repeat, values, path)
        if found.value is UNKNOWN:
            return
        if not isinstance(found.value, int) or not is_int(found.value, 0):
            what = "a whole number, or lists such as {filters: [64, 128]}"
            found.reader.fault(found.path, f"repeat must be {what}, not {shown(found.value)}")
        elif self._is_short(found.value, path, most):
            for index in range(found.value):
                yield {INDEX: self.value(index + 1, path)}

    def _each(
        self, lists: Mapping[str, object], values: Values, path: Path, most: int
    ) -> Iterator[Values]:
        """Yield what stands in lists of one length, member by member."""
        found = {name: self.resolve(item, values, (*path, name)) for name, item in lists.items()}
        members = {n: item.value for n, item in found.items() if isinstance(item.value, list)}
        for name in found.keys() - members.keys():
            if found[name].value is not UNKNOWN:
                what = f"repeat needs a list of what {name} is, not {shown(found[name].value)}"
                self.reader.fault((*path, name), what)
        if len(members) < len(found):
            return
        lengths = {len(item) for item in members.values()}
        if len(lengths) != 1:
            said = ", ".join(f"{name} has {len(item)}" for name, item in members.items())
            self.reader.fault(path, f"the lists of repeat differ in length: {said}")
        elif self._is_short(length := lengths.pop(), path, most):
            for index in range(length):
                one = {name: self._member(found[name], index) for name in members}
                yield {INDEX: self.value(index + 1, path), **one}

    def _member(self, found: Value, index: int) -> Value:
        assert isinstance(found.value, list)
        return Value(value=found.value[index], path=(*found.path, index), reader=found.reader)

    def _is_short(self, count: int, path: Path, most: int) -> bool:
        if count > most:
            self.reader.fault(path, f"{count:,} repetitions; a network has at most {most:,} layers")
        return count <= most
