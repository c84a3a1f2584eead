"""The arguments of layers as Keras itself would say them last: what is not said is the default.

Two files may say one thing in several ways (`3` and `[3, 3]`, `he_normal` and `HeNormal`), and a
saved model says all defaults. Here they are one.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from deepforge_hpc.files.kinds import same
from deepforge_hpc.libraries.networks.catalogue import Thing, shipped
from deepforge_hpc.libraries.networks.graph import LayerCall
from deepforge_hpc.plugins.library import NEEDED

_OBJECTS = ("initializer", "regularizer", "constraint", "activation", "layer")
_SAME_AS = {"strides": "pool_size", "value_dim": "key_dim"}
"""Arguments that Keras takes from another one if they are not given."""
_MEANT = {"data_format": "channels_last", "dtype": "float32", "activation": "linear"}
"""What Keras makes of an argument that is not given, where its default is None."""


def normal_of(call: LayerCall) -> dict[str, Any]:
    """Return the arguments of a layer that say more than the defaults."""
    given = {name: item.data for name, item in call.arguments.items()}
    thing = shipped().find("layer", call.kind)
    return given if thing is None else normal(thing, given)


def normal(thing: Thing, given: Mapping[str, object]) -> dict[str, Any]:
    """Return the arguments that say more than the defaults, each in its shortest form."""
    found = {
        name: normal_value("axis" if name == "axis" else sort, given[name])
        for name, sort in thing.sorts.items()
        if name in given
    }
    return {name: value for name, value in found.items() if not _is_default(thing, name, found)}


def normal_value(sort: str, value: object) -> Any:
    """Return a value of a sort in its shortest form."""
    if sort in _OBJECTS and value is not None:
        return _object(sort, value)
    if isinstance(value, list | tuple):
        items = [normal_value("layer" if sort == "layers" else "", item) for item in value]
        is_one = sort.startswith(("sizes", "margins")) or (sort == "axis" and len(items) == 1)
        return normal_value(sort, items[0]) if is_one and _all_equal(items) else items
    return value


def _object(family: str, value: object) -> Any:
    """Return the name of a layer, an initializer, ..., with its arguments if it has any."""
    if isinstance(value, str):
        value = {value: {}}
    if not isinstance(value, dict) or len(value) != 1:
        return value
    ((name, given),) = value.items()
    thing = shipped().find(family, name)
    if thing is None or not set(given or {}) <= thing.sorts.keys():
        return value if given else name
    arguments = normal(thing, given or {})
    return {thing.name: arguments} if arguments else thing.name


def _is_default(thing: Thing, name: str, found: Mapping[str, Any]) -> bool:
    value, default = found[name], thing.defaults[name]
    if default is NEEDED:
        return False
    if default is None and value is not None:
        return same(value, found.get(_SAME_AS.get(name, ""))) or _MEANT.get(name) == value
    return same(value, normal_value(thing.sorts[name], default))


def _all_equal(items: list[Any]) -> bool:
    return bool(items) and all(same(item, items[0]) for item in items)
