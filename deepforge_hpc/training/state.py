"""The full state of a training as arrays and JSON, and back."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import keras
import numpy as np

from deepforge_hpc.training.checkpoints import Checkpoint, leaves, value_of
from deepforge_hpc.training.errors import TrainingError
from deepforge_hpc.training.reduce import (
    assign,
    common_random_states,
    flat,
    is_random_state,
    metric_variables,
    numpy_of,
    split,
    statistics,
)
from deepforge_hpc.training.transports import Transport

_EACH_TIME = frozenset({"name", "seed", "trainable", "build_config", "compile_config"})
_KEPT = frozenset({"architecture", "callbacks", "optimizer", "random"})
_NOT_STATE = frozenset({"model", "_model", "params", "validation_data"})
_OPEN_FILES = (
    keras.callbacks.CSVLogger,
    keras.callbacks.RemoteMonitor,
    keras.callbacks.TensorBoard,
)


def begins_anew(callback: Any) -> bool:
    """Tell whether a callback begins anew in each attempt, as its files and connections do."""
    return isinstance(callback, _OPEN_FILES)


class TrainingState:
    """What is kept of a model, its optimizer, its metrics and the callbacks.

    All ranks collect, since what differs between them (statistics, metrics, random states) is put
    together; rank 0 has the result. Restored on rank 0, it reaches the others by the broadcast at
    the beginning, but for `restore_ranks`.
    """

    def __init__(self, model: Any, callbacks: Sequence[Any], transport: Transport) -> None:
        self.model, self.callbacks, self.transport = model, callbacks, transport
        self._network = network_digest(model)  # now: callbacks may change a rate, or unfreeze
        self._draws = _draws(transport)

    def begin_step(self, step: int) -> None:
        """Let the framework draw what belongs to a step, counted over all epochs."""
        if self._draws:
            self._draws.begin(step)

    def sync(self) -> None:
        """Give variables their values: within an epoch Keras on JAX keeps these in its trainer."""
        if keras.backend.backend() == "jax":
            self.model.jax_state_sync()

    def collect(self) -> tuple[dict[str, Any], dict[str, Any]]:
        """Return JSON and arrays. Every rank calls it."""
        model, transport = self.model, self.transport
        weights = self._weights()
        arrays = {f"weight/{place}": numpy_of(item) for place, item in enumerate(weights)}
        moved = statistics(model)
        means = transport.sum(flat([numpy_of(item) for item in moved])) / transport.size
        arrays |= {f"optimizer/{i}": numpy_of(item) for i, item in enumerate(self._optimizer())}
        arrays["statistics"] = means
        arrays["metrics"] = transport.sum(flat([numpy_of(v) for v in metric_variables(model)]))
        mine = [numpy_of(item).tolist() for item in self._random()]
        state: dict[str, Any] = {
            "random": transport.gather(mine),
            "architecture": _shapes(weights),
            "network": self._network,
            "optimizer": _name(model.optimizer),
        }
        if self._draws:
            state["seed"] = self._draws.seed
        kept = [self._of_callback(place, item, arrays) for place, item in enumerate(self.callbacks)]
        return {**state, "callbacks": kept}, arrays

    def check(self, found: Checkpoint) -> None:
        """Raise TrainingError for a checkpoint of another network or another optimizer."""
        if absent := sorted(_KEPT - found.state.keys()):
            raise TrainingError(
                f"the checkpoint {found.path} is not one of a training: it has no "
                f"{', '.join(absent)}. Remove the folder to begin anew"
            )
        here, there = _shapes(self._weights()), found.state["architecture"]
        advice = "remove the folder to begin anew, or submit again for an execution of its own"
        if here != there:
            counts = f"{len(there)} weights there, {len(here)} here"
            pairs = [(a, b) for a, b in zip(there, here, strict=False) if a != b]
            differing = f"{_weight(pairs[0][0])} there, {_weight(pairs[0][1])} here; " * bool(pairs)
            raise TrainingError(
                f"the checkpoint {found.path} is of another architecture: {differing}{counts}. "
                f"{advice[0].upper()}{advice[1:]}"
            )
        if found.state.get("network", self._network) != self._network:
            raise TrainingError(
                f"the checkpoint {found.path} is of a network whose layers have other settings (an "
                f"activation, a rate, a type), and weights of the same shapes: {advice}"
            )
        if found.state["optimizer"] != _name(self.model.optimizer):
            raise TrainingError(
                f"the checkpoint {found.path} is of the optimizer {found.state['optimizer']}, and "
                f"this training has {_name(self.model.optimizer)}: {advice}"
            )

    def restore(self, arrays: Mapping[str, Any]) -> None:
        """Set weights and optimizer."""
        for place, variable in enumerate(self._weights()):
            assign(variable, arrays[f"weight/{place}"])
        moved = statistics(self.model)
        for variable, value in zip(moved, split(arrays["statistics"], moved), strict=True):
            assign(variable, value)
        for place, variable in enumerate(self._optimizer()):
            assign(variable, arrays[f"optimizer/{place}"])

    def restore_ranks(self, state: Mapping[str, Any]) -> None:
        """Set what is each rank's own, if there are as many as there were; else it stays drawn."""
        if self._draws:
            self._draws.seed = state.get("seed", self._draws.seed)
        if len(state["random"]) != self.transport.size:
            return
        # An earlier version kept those of the model alone, which come first.
        mine = state["random"][self.transport.rank]
        for variable, value in zip(self._random(), mine, strict=False):
            assign(variable, np.asarray(value))

    def add_to_metrics(self, counted: Any) -> None:
        """Let rank 0 count on from what all ranks had counted; the parts are added up anyway."""
        variables = metric_variables(self.model)
        mine = flat([numpy_of(item) for item in variables])
        if self.transport.rank == 0 and mine.shape == counted.shape:
            for variable, value in zip(variables, split(mine + counted, variables), strict=True):
                assign(variable, value)

    def restore_callbacks(self, state: Mapping[str, Any], arrays: Mapping[str, Any]) -> None:
        """Set what the callbacks knew: the first of a class has what the first of it knew."""
        kept = list(state["callbacks"])
        for callback in self.callbacks:
            mine = next((item for item in kept if item["class"] == _name(callback)), None)
            if mine is not None:
                kept.remove(mine)
                for name, data in mine["values"].items():
                    setattr(callback, name, _operation(data) or value_of(data, arrays))

    def _of_callback(self, place: int, callback: Any, arrays: dict[str, Any]) -> dict[str, Any]:
        values: dict[str, Any] = {}
        for name, value in () if begins_anew(callback) else vars(callback).items():
            if callable(value) and getattr(keras.ops, _named(value), None) is value:
                values[name] = {"operation": _named(value)}
            elif name not in _NOT_STATE:
                for data in leaves(value, f"callback/{place}/{name}", arrays):
                    values[name] = data
        return {"class": _name(callback), "values": values}

    def _weights(self) -> list[Any]:
        moved = {id(item) for item in (*statistics(self.model), *self._random())}
        return [item for item in self.model.variables if id(item) not in moved]

    def _random(self) -> list[Any]:
        own = [item for item in self.model.variables if is_random_state(item)]
        return [*own, *common_random_states()]

    def _optimizer(self) -> list[Any]:
        return list(self.model.optimizer.variables)


def _operation(data: Any) -> Any:
    """Return a function of keras.ops that a callback had: with which it compares, say.

    Keras finds it when the first epoch ends, and turns the sign of `min_delta` as it does so.
    """
    name = data.get("operation", "") if isinstance(data, dict) else ""
    return getattr(keras.ops, name) if name else None


def _named(function: Any) -> str:
    return str(getattr(function, "__name__", ""))


def _draws(transport: Transport) -> Any:
    """Return the generators of the framework that Keras draws from beside variables of its own."""
    if keras.backend.backend() != "torch":
        return None
    from deepforge_hpc.training.draws import Draws

    return Draws(transport)


def _name(item: object) -> str:
    return type(item).__name__


def network_digest(model: Any) -> str:
    """Return a digest of all layers' kinds and settings, without what may differ each time."""
    settings = [[_name(layer), _settings(layer)] for layer in _layers(model)]
    return hashlib.sha256(json.dumps(settings, sort_keys=True).encode()).hexdigest()[:12]


def _layers(model: Any) -> Iterator[Any]:
    for layer in model.layers:
        yield layer
        yield from _layers(layer) if isinstance(layer, keras.Model) else ()


def _settings(layer: Any) -> Any:
    if isinstance(layer, keras.Model):
        return None  # its layers tell
    try:
        return _stable(layer.get_config())
    except NotImplementedError:  # a layer of one's own that cannot be saved
        return None


def _stable(value: Any) -> Any:
    """Return plain values alone: of an object only its class is the same in another process."""
    if isinstance(value, dict):
        return {str(key): _stable(item) for key, item in value.items() if key not in _EACH_TIME}
    if isinstance(value, (list, tuple)):
        return [_stable(item) for item in value]
    is_plain = value is None or isinstance(value, (bool, int, float, str))
    return value if is_plain else _name(value)


def _shapes(variables: Sequence[Any]) -> list[list[Any]]:
    """Return kind and shape of each: the names of layers count on within a process."""
    return [[item.path.rpartition("/")[2], list(item.shape)] for item in variables]


def _weight(pair: Sequence[Any]) -> str:
    return f"{pair[0]} {tuple(pair[1])}"
