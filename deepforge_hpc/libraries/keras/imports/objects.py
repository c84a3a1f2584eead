"""The layers and functions of a saved model as a file says them: of Keras, or of the project."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from deepforge_hpc.files.faults import shown
from deepforge_hpc.libraries.keras.catalogue import dialect, shipped
from deepforge_hpc.libraries.keras.imports.operations import is_operation
from deepforge_hpc.libraries.networks.catalogue import Thing
from deepforge_hpc.libraries.networks.code import is_object
from deepforge_hpc.libraries.networks.literals import is_literal
from deepforge_hpc.libraries.networks.normal import normal, normal_value

_USUAL = {"trainable": True, "dtype": "float32", "autocast": True, "activity_regularizer": None}
"""What Keras saves of every layer, as it says it of one that was told nothing."""
_OWN = ("name", *_USUAL, "batch_shape", "batch_input_shape")
WhyNot = Callable[[str], str]
"""Returns why there is no `MODULE:Name` in the project; empty if there is."""


class SavedObjects:
    """Reads what a model holds; `fault` keeps what is wrong with a layer of it."""

    def __init__(self, fault: Callable[[str, str, str], None], why_not: WhyNot) -> None:
        self.fault = fault
        self.why_not = why_not

    def kind(self, layer: Mapping[str, Any], name: str) -> tuple[str, dict[str, Any]] | None:
        """Return kind and arguments of a layer; None of one that no file can say."""
        if is_operation(layer):
            self.fault(name, f"{shown(layer['class_name'])} is an operation, not a layer", _NO_CODE)
            return None
        found = self.named("layer", layer, name)
        if found is None:
            return None
        if isinstance(found, str):
            return found, self._of_project(found, layer["config"], name)
        if found.name == "Lambda" and not _names_function(layer["config"].get("function")):
            self.fault(name, "it holds code (Lambda), which is never run from a file", _NO_CODE)
            return None
        arguments = self._arguments(found, layer["config"], name)
        _leave_out_built(found, layer, arguments)
        return found.name, arguments

    def named(self, family: str, item: Mapping[str, Any], layer: str) -> Thing | str | None:
        """Return what of Keras an object is, or `MODULE:Name`; no other is taken."""
        kind, module = item.get("class_name"), str(item.get("module") or "")
        thing = shipped().find(family, kind) if isinstance(kind, str) else None
        registered = item.get("registered_name")
        if module.partition(".")[0] in {"keras", ""}:
            if thing is not None and registered in {None, kind}:
                return thing
        elif isinstance(kind, str) and is_object(f"{module}:{kind}"):
            return self._own(f"{module}:{kind}", layer)
        where = f"{module}.{kind}" if module else str(kind)
        message = f"{shown(where)} is no {family} of Keras {shipped().version}"
        self.fault(layer, message, "name one of your project as MODULE:Name in the file")
        return None

    def _own(self, name: str, layer: str) -> str | None:
        """Return the name of a layer or function of the project, if it has that."""
        if why := self.why_not(name):
            hint = "import what the project has, or write the layer there"
            self.fault(layer, f"{shown(name)} is nothing of this project: {why}", hint)
            return None
        return name

    def _function(self, value: Mapping[str, Any], layer: str) -> str | None:
        """Return the name of a function, which Keras saves as MODULE>Name if it knows it so."""
        name = value.get("config")
        if not _names_function(value) or not isinstance(name, str):
            self.fault(layer, "it holds code, which is never run from a file", _NO_CODE)
            return None
        module, _, attribute = name.rpartition(">")
        if not module or not is_object(f"{module}:{attribute}"):
            self.fault(layer, f"the function {shown(name)} was saved without its module", _REGISTER)
            return None
        return self._own(f"{module}:{attribute}", layer)

    def _of_project(self, name: str, config: Mapping[str, Any], layer: str) -> dict[str, Any]:
        """Return the arguments of an object of the project: literals."""
        found = {}
        for key, item in config.items():
            value = _dtype(item) if key == "dtype" else item
            if key == "name" or (key in _USUAL and value == _USUAL[key]):
                continue
            if is_literal(value):
                found[key] = value
            else:
                self.fault(layer, f"{key} of {name} is nothing that a file can say", "")
        return found

    def _arguments(self, thing: Thing, config: Mapping[str, Any], layer: str) -> dict[str, Any]:
        """Return what a configuration says more than the defaults."""
        given = {}
        for name, value in config.items():
            if name in thing.sorts:
                if thing.name == "Bidirectional" and isinstance(value, dict):
                    _forget_zeros(value)
                given[name] = self._value(thing.sorts[name], value, layer)
            elif name not in _OWN and value not in (None, False, [], {}):
                what = f"{thing.name} takes no {shown(name)} in Keras {shipped().version}"
                self.fault(layer, what, "")
        return normal(thing, given, dialect())

    def _value(self, sort: str, value: object, layer: str) -> Any:
        """Return a value as a file says it."""
        if sort == "dtype":
            return _dtype(value)
        if isinstance(value, dict):
            return self._object(sort, value, layer)
        if isinstance(value, list):
            inner = "layer" if sort == "layers" else sort if sort in shipped().families else ""
            return [self._value(inner, item, layer) for item in value]
        return value

    def _object(self, sort: str, value: dict[str, Any], layer: str) -> Any:
        """Return a layer, an initializer, a function, ... by its name, with its arguments."""
        family = sort if sort in shipped().families else ""
        config = value.get("config")
        if not value:  # no arguments of a Lambda
            return None
        if sort == "function" or (sort == "activation" and isinstance(config, str)):
            return self._function(value, layer)
        if not family or "class_name" not in value:
            self.fault(layer, f"{shown(str(value)[:60])} is nothing that a file can say", "")
            return None
        thing = self.named(family, value, layer)
        given = config if isinstance(config, dict) else {}
        if thing is None or isinstance(thing, str):
            found, name = (self._of_project(thing, given, layer), thing) if thing else ({}, None)
        else:
            found, name = self._arguments(thing, given, layer), thing.name
        return {name: found} if found else name


_NO_CODE = "write it as a layer of your project: MODULE:Name"
_REGISTER = (
    "write MODULE:Name in the file, or register it: keras.saving.register_keras_serializable"
)


def _names_function(value: object) -> bool:
    return isinstance(value, dict) and value.get("class_name") == "function"


def _dtype(value: object) -> Any:
    """Return the name of a type of numbers, also of a policy."""
    if isinstance(value, dict):
        return value["config"]["name"]
    return value


def input_dtype(value: object) -> str:
    """Return the type of numbers of an input."""
    return str(_dtype(value) or "float32")


def _forget_zeros(layer: dict[str, Any]) -> None:
    """Leave out what a Bidirectional itself says to the layers within it."""
    if isinstance(config := layer.get("config"), dict):
        config.pop("zero_output_for_mask", None)


def _leave_out_built(thing: Thing, layer: Mapping[str, Any], found: dict[str, Any]) -> None:
    """Leave out what Keras has found by building: it is saved as if it had been given."""
    if thing.name == "MultiHeadAttention":
        shapes = layer.get("build_config", {}).get("shapes_dict", {})
        rank = len(shapes.get("query_shape", ()))
        if found.get("attention_axes") == list(range(1, rank - 1)):
            del found["attention_axes"]
    if thing.name == "Bidirectional" and _is_mirrored(found):
        found.pop("backward_layer", None)


def _is_mirrored(found: Mapping[str, Any]) -> bool:
    """Tell whether the backward layer is the forward one the other way round."""
    layers = [
        normal_value("layer", found.get(key), dialect()) for key in ("layer", "backward_layer")
    ]
    if not all(isinstance(item, dict) for item in layers):
        return False
    (one, forward), (two, backward) = (next(iter(item.items())) for item in layers)
    turned = {**backward, "go_backwards": not backward.get("go_backwards", False)}
    if not turned["go_backwards"]:
        del turned["go_backwards"]
    return bool(one == two and forward == turned)
