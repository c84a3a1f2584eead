"""Parts of Keras by their names and arguments, as a pipeline file writes them."""

from __future__ import annotations

import difflib
import inspect
from typing import Any

import keras

from deepforge_hpc.training.errors import TrainingError

_PLACES = {
    "optimizer": keras.optimizers,
    "schedule": keras.optimizers.schedules,
    "loss": keras.losses,
    "metric": keras.metrics,
    "callback": keras.callbacks,
}


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
    except (TypeError, ValueError) as error:
        message = f"{kind} {name} cannot be made with {arguments}: {error}"
        raise TrainingError(" ".join(message.split())) from error


def parse(kind: str, spec: Any) -> tuple[str, dict[str, Any]]:
    """Return name and arguments."""
    if isinstance(spec, str):
        return spec, {}
    if isinstance(spec, dict) and len(spec) == 1:
        ((name, arguments),) = spec.items()
        if isinstance(name, str) and isinstance(arguments, dict | None):
            return name, arguments or {}
    raise TrainingError(f"{kind} must be Name or {{Name: {{argument: value}}}}, not {spec!r}")


def find(kind: str, name: str) -> Any:
    """Return a class or function of Keras.

    Not one of the project: who reuses results could not see that its code has changed.
    """
    place = _PLACES[kind]
    # Functions have other spellings too: `mse`, `accuracy`, which `compile` knows.
    if kind in {"loss", "metric"} and not hasattr(place, name):
        return name if kind == "metric" and name in {"accuracy", "acc"} else _by_get(kind, name)
    found = getattr(place, name, None)
    if found is None or name.startswith("_"):
        raise _unknown(kind, name)
    return found


def _by_get(kind: str, name: str) -> Any:
    try:
        return _PLACES[kind].get(name)
    except ValueError:
        raise _unknown(kind, name) from None


def _unknown(kind: str, name: str) -> TrainingError:
    names = [item for item in dir(_PLACES[kind]) if not item.startswith("_")]
    lower = {item.lower(): item for item in names}
    near = difflib.get_close_matches(name.lower(), lower, 1)
    hint = f"did you mean {lower[near[0]]}?" if near else "for one of your own, write an operation"
    if not near:
        hint += " with deepforge_hpc.training"
    return TrainingError(f"Keras has no {kind} {name}; {hint}")
