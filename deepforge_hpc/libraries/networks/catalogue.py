"""What a framework has: every layer, initializer, loss, ... with its arguments, from shipped data.

`introspect` of a library writes the data: `names.json` is all that a check needs, `texts.json` what
documentation adds.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from deepforge_hpc.plugins.library import NEEDED


@dataclass(frozen=True, slots=True, kw_only=True)
class Thing:
    """A layer, an initializer, ...: what it takes."""

    name: str
    family: str
    """`layer`, `initializer`, `loss`, ..."""
    code: str
    """How source names it, such as `keras.layers.Dense`."""
    sorts: Mapping[str, str]
    """Argument to the sort of value that it takes, in the framework's order."""
    defaults: Mapping[str, object]
    """Argument to its default; NEEDED where there is none."""
    aliases: tuple[str, ...] = ()
    takes: str = "one"
    """Of a layer: it is called on `one` tensor, a `list` of them, or `each` as an argument; `fold`
    is a function of two that is called on any number."""
    gives: str = "one"
    """Of a layer: it gives `one` tensor, or always `several`; what arguments make of it aside."""
    call: tuple[str, ...] = ()
    """Of a layer: what else its call takes, such as `mask`."""

    @property
    def required(self) -> tuple[str, ...]:
        """Return the arguments that must be given."""
        return tuple(name for name, default in self.defaults.items() if default is NEEDED)


class Catalogue:
    """All things of one version of a framework; each is read when it is asked for."""

    def __init__(self, names: Mapping[str, Any]) -> None:
        self._names = names
        self._found: dict[tuple[str, str], Thing] = {}
        self.version: str = names["version"]
        self.dtypes: tuple[str, ...] = tuple(names["dtypes"])
        self.families: tuple[str, ...] = tuple(names["modules"])
        self._aliases = {
            family: {
                other: name
                for name, entry in names[family].items()
                for other in entry.get("aliases", ())
            }
            for family in self.families
        }

    def find(self, family: str, name: str) -> Thing | None:
        """Return a thing by its name or another name of it."""
        name = self._aliases[family].get(name, name)
        if name not in self._names[family]:
            return None
        key = (family, name)
        if key not in self._found:
            module = self._names["modules"][family]
            self._found[key] = _thing(family, module, name, self._names[family][name])
        return self._found[key]

    def known(self, family: str) -> tuple[str, ...]:
        """Return all names that `find` takes."""
        return (*self._names[family], *self._aliases[family])

    def things(self, family: str) -> dict[str, Thing]:
        """Return all things of a family by name."""
        found = {name: self.find(family, name) for name in self._names[family]}
        return {name: thing for name, thing in found.items() if thing is not None}


def _thing(family: str, module: str, name: str, entry: Mapping[str, Any]) -> Thing:
    return Thing(
        name=name,
        family=family,
        code=entry.get("code", f"{module}.{name}"),
        sorts={item[0]: item[1] for item in entry["arguments"]},
        defaults={item[0]: (item[2:] or [NEEDED])[0] for item in entry["arguments"]},
        aliases=tuple(entry.get("aliases", ())),
        takes=entry.get("takes", "one"),
        gives=entry.get("gives", "one"),
        call=tuple(entry.get("call", ())),
    )


class Texts:
    """What the framework's documentation says."""

    def __init__(self, texts: Mapping[str, Any]) -> None:
        self._texts = texts

    def summary(self, thing: Thing) -> str:
        """Return the first paragraph on a thing."""
        return str(self._texts[thing.family][thing.name][0])

    def argument(self, thing: Thing, name: str) -> str:
        """Return what is said of an argument, also one of a layer's call; empty for nothing."""
        number = self._texts[thing.family][thing.name][1].get(name)
        return "" if number is None else str(self._texts["arguments"][name][number])
