"""The arguments of layers in their shortest form: what is not said is the default.

Two files may say one thing in several ways (`3` and `[3, 3]`, `he_normal` and `HeNormal`), and a
saved model says all defaults. Here they are one.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from deepforge_hpc.files.kinds import same
from deepforge_hpc.libraries.networks.catalogue import Thing
from deepforge_hpc.libraries.networks.dialect import Dialect
from deepforge_hpc.libraries.networks.graph import LayerCall
from deepforge_hpc.plugins.library import NEEDED

_OBJECTS = ("initializer", "regularizer", "constraint", "activation", "layer")


def normal_of(call: LayerCall, dialect: Dialect) -> dict[str, Any]:
    """Return the arguments of a layer that say more than the defaults."""
    given = {name: item.data for name, item in call.arguments.items()}
    thing = dialect.catalogue.find("layer", call.kind)
    return given if thing is None else normal(thing, given, dialect)


def normal(thing: Thing, given: Mapping[str, object], dialect: Dialect) -> dict[str, Any]:
    """Return the arguments that say more than the defaults, each in its shortest form."""
    found = {
        name: normal_value("axis" if name == "axis" else sort, given[name], dialect)
        for name, sort in thing.sorts.items()
        if name in given
    }
    return {
        name: value for name, value in found.items() if not _is_default(thing, name, found, dialect)
    }


def normal_value(sort: str, value: object, dialect: Dialect) -> Any:
    """Return a value of a sort in its shortest form."""
    if sort in _OBJECTS and value is not None:
        return _object(sort, value, dialect)
    if isinstance(value, list | tuple):
        items = [normal_value("layer" if sort == "layers" else "", item, dialect) for item in value]
        is_one = sort.startswith(("sizes", "margins")) or (sort == "axis" and len(items) == 1)
        return normal_value(sort, items[0], dialect) if is_one and _all_equal(items) else items
    return value


def _object(family: str, value: object, dialect: Dialect) -> Any:
    """Return the name of a layer, an initializer, ..., with its arguments if it has any."""
    if isinstance(value, str):
        value = {value: {}}
    if not isinstance(value, dict) or len(value) != 1:
        return value
    ((name, given),) = value.items()
    thing = dialect.catalogue.find(family, name)
    if thing is None or not set(given or {}) <= thing.sorts.keys():
        return value if given else name
    arguments = normal(thing, given or {}, dialect)
    return {thing.name: arguments} if arguments else thing.name


def _is_default(thing: Thing, name: str, found: Mapping[str, Any], dialect: Dialect) -> bool:
    value, default = found[name], thing.defaults[name]
    if default is NEEDED:
        return False
    if default is None and value is not None:
        said = found.get(dialect.same_as.get(name, ""))
        return same(value, said) or dialect.meant.get(name) == value
    return same(value, normal_value(thing.sorts[name], default, dialect))


def _all_equal(items: list[Any]) -> bool:
    return bool(items) and all(same(item, items[0]) for item in items)
