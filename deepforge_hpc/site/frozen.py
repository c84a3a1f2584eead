"""Frozen dataclasses whose definition is cheap.

The decorator of the standard library compiles six methods a class: 60 ms for the 45 of a site,
where a command may pay 40 for its whole site file. These share theirs, and keep `fields()`,
`replace()` and `asdict()`.
"""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any, ClassVar

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from typing_extensions import dataclass_transform
else:

    def dataclass_transform(**_words: object) -> Callable[[type], type]:
        """Mean nothing when the program runs: the type checker alone reads it."""
        return lambda found: found


@dataclass_transform(
    kw_only_default=True, frozen_default=True, field_specifiers=(dataclasses.field,)
)
class Frozen:
    """A frozen dataclass with keywords only; every field of a child has a default."""

    _factories: ClassVar[Mapping[str, Callable[[], object]]] = {}
    _names: ClassVar[tuple[str, ...]] = ()

    def __init_subclass__(cls) -> None:
        dataclasses.dataclass(init=False, repr=False, eq=False)(cls)
        found = dataclasses.fields(cls)  # type: ignore[arg-type]  # made one in the line above
        cls._names = tuple(item.name for item in found)
        cls._factories = {
            item.name: item.default_factory
            for item in found
            if item.default_factory is not dataclasses.MISSING
        }

    def __init__(self, **values: Any) -> None:
        own = self.__dict__
        for name, make in self._factories.items():
            if name not in values:
                own[name] = make()
        own.update(values)
        if not values.keys() <= set(self._names):
            unknown = ", ".join(sorted(values.keys() - set(self._names)))
            raise TypeError(f"{type(self).__name__} has no field {unknown}")

    def __setattr__(self, name: str, _value: object) -> None:
        raise dataclasses.FrozenInstanceError(f"cannot assign to field {name!r}")

    def __delattr__(self, name: str) -> None:
        raise dataclasses.FrozenInstanceError(f"cannot delete field {name!r}")

    def _values(self) -> tuple[object, ...]:
        return tuple(getattr(self, name) for name in self._names)

    def __eq__(self, other: object) -> bool:
        if type(other) is not type(self):
            return NotImplemented
        return self._values() == other._values()

    def __hash__(self) -> int:
        return hash(self._values())

    def __repr__(self) -> str:
        text = ", ".join(f"{name}={getattr(self, name)!r}" for name in self._names)
        return f"{type(self).__name__}({text})"
