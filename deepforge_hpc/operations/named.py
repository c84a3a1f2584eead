"""Parts of Keras by their names and arguments, as a pipeline file writes them."""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from typing import Any

import keras

from deepforge_hpc.operations.spec import FORM, is_by_output, match_outputs
from deepforge_hpc.operations.spec import parse as parse_spec
from deepforge_hpc.training.errors import TrainingError, meant

_PLACES = {
    "optimizer": (keras.optimizers, keras.optimizers.Optimizer),
    "schedule": (keras.optimizers.schedules, keras.optimizers.schedules.LearningRateSchedule),
    "loss": (keras.losses, keras.losses.Loss),
    "metric": (keras.metrics, keras.metrics.Metric),
    "callback": (keras.callbacks, keras.callbacks.Callback),
}

_TOOLS = frozenset({"deserialize", "get", "serialize"})


def make(kind: str, spec: Any, defaults: dict[str, Any] | None = None) -> Any:
    """Return what `Name` or `{Name: {argument: value}}` stands for.

    `defaults` are given to what takes them and was not told otherwise. Raises TrainingError with
    the nearest name, or with what Keras says of an argument.
    """
    name, arguments = parse(kind, spec)
    found = find(kind, name)
    if not inspect.isclass(found):
        return found  # a loss or a metric that is a function
    taken = inspect.signature(found).parameters
    given = {key: value for key, value in (defaults or {}).items() if key in taken}
    try:
        return found(**{**given, **arguments})
    except Exception as error:  # of whatever kind: it is about what the pipeline says
        message = f"{kind} {name} cannot be made with {arguments}: {error}"
        raise TrainingError(" ".join(message.split())) from error


def for_outputs(kind: str, spec: Any, outputs: Sequence[str]) -> dict[str, Any]:
    """Return what is meant for each output of a network: `spec` is of all, or has one for each."""
    if not is_by_output(spec, lambda name: _is_known(kind, name)):
        return dict.fromkeys(outputs, spec)
    return match_outputs(kind, spec, outputs)


def parse(kind: str, spec: Any) -> tuple[str, dict[str, Any]]:
    """Return name and arguments."""
    try:
        name, arguments = parse_spec(spec)
    except ValueError:
        raise TrainingError(f"{kind} must be {FORM}, not {spec!r}") from None
    return name, dict(arguments)


def find(kind: str, name: str) -> Any:
    """Return a class or function of Keras.

    Not one of the project: who reuses results could not see that its code has changed.
    """
    place, base = _PLACES[kind]
    found = getattr(place, name, None)
    if inspect.isclass(found) and issubclass(found, base):
        return found
    # Functions have other spellings too: `mse`, `accuracy`, which `compile` knows.
    if kind not in {"loss", "metric"}:
        raise _unknown(kind, name)
    if inspect.isfunction(found) and name not in _TOOLS:
        return found
    return name if kind == "metric" and name in {"accuracy", "acc"} else _by_get(kind, name)


def _is_known(kind: str, name: str) -> bool:
    try:
        find(kind, name)
    except TrainingError:
        return False
    return True


def _by_get(kind: str, name: str) -> Any:
    try:
        return _PLACES[kind][0].get(name)
    except ValueError:
        raise _unknown(kind, name) from None
    except TypeError as error:  # a class by another name of it, which needs arguments
        raise TrainingError(f"{kind} {name} cannot be made without arguments: {error}") from error


def _unknown(kind: str, name: str) -> TrainingError:
    names = [item for item in dir(_PLACES[kind][0]) if not item.startswith("_")]
    near = meant(name, names)
    own = "for one of your own, write an operation with deepforge_hpc.training"
    hint = f"did you mean {near}?" if near else own
    return TrainingError(f"Keras has no {kind} {name}; {hint}")
