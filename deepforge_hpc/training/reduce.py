"""What all ranks together know of a model: its metrics and its moving statistics."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np

from deepforge_hpc.training.errors import TrainingError
from deepforge_hpc.training.transports import Transport


def reduce_metrics(model: Any, transport: Transport) -> None:
    """Give each rank the state of all metrics as if it had seen all ranks' rows.

    States are sums, and sums of sums are right for any metric: a mean of AUCs, F1s or R2s, or of
    losses over unequal counts, is none.
    """
    if transport.size == 1:
        return
    variables = metric_variables(model)
    reduced = transport.sum(flat([item.numpy() for item in variables]))
    for variable, value in zip(variables, split(reduced, variables), strict=True):
        is_mean = getattr(variable, "aggregation", "sum") == "mean"
        assign(variable, value / transport.size if is_mean else value)


def metric_variables(model: Any) -> list[Any]:
    """Return what the metrics of a model count in, in the same order on all ranks."""
    found = [variable for metric in model.metrics for variable in metric.variables]
    for variable in found:
        if getattr(variable, "aggregation", "sum") not in {"sum", "mean", None}:
            raise TrainingError(
                f"the metric state {variable.path} is neither a sum nor a mean, so the ranks' "
                "parts cannot be put together: let the metric count sums, and divide in result()"
            )
    return found


def average_statistics(model: Any, transport: Transport) -> None:
    """Give each rank the mean of what training moves besides weights: batch normalisation's."""
    if transport.size == 1:
        return
    variables = statistics(model)
    # In float64: the mean of equal 32-bit numbers is that number, so frozen weights stay.
    means = transport.sum(flat([numpy_of(item) for item in variables])) / transport.size
    for variable, value in zip(variables, split(means, variables), strict=True):
        assign(variable, value)


def statistics(model: Any) -> list[Any]:
    """Return the variables of a model that no gradient changes, without random states."""
    return [
        item
        for item in model.non_trainable_variables
        if not is_random_state(item) and "float" in item.dtype
    ]


def is_random_state(variable: Any) -> bool:
    """Tell whether a variable is the state of a generator, which is each rank's own."""
    return str(variable.path).endswith("seed_generator_state")


def common_random_states() -> list[Any]:
    """Return the state of the generator that a layer draws from which names no seed.

    It is Keras' own and of no model. On JAX a layer must name one.
    """
    if keras.backend.backend() == "jax":
        return []
    from keras.src.random.seed_generator import global_seed_generator

    return [global_seed_generator().state]


def results(model: Any) -> dict[str, Any]:
    """Return what the metrics of a model say now: numbers, or lists of a metric of several."""
    found: dict[str, Any] = {}
    for name, value in model.get_metrics_result().items():
        values = value.items() if isinstance(value, dict) else [(name, value)]
        for key, item in values:
            found[key] = plain(item)
    return found


def plain(value: Any) -> Any:
    """Return a number or a tensor as a number or a list of them."""
    if isinstance(value, (int, float)):
        return float(value)
    return np.asarray(keras.ops.convert_to_numpy(value), np.float64).tolist()


def numpy_of(variable: Any) -> Any:
    """Return the value of a variable as numpy has it; bfloat16 as float32."""
    return keras.ops.convert_to_numpy(variable.value)


def assign(variable: Any, value: Any) -> None:
    """Set a variable, in its own type."""
    if variable.dtype == "bfloat16":  # which numpy alone has not
        variable.assign(keras.ops.cast(np.asarray(value, np.float32), "bfloat16"))
    else:
        variable.assign(np.asarray(value).astype(variable.dtype))


def flat(arrays: list[Any]) -> Any:
    """Return all numbers in one float64 vector, which travels at once."""
    return np.concatenate([np.zeros(0), *(np.ravel(item).astype(np.float64) for item in arrays)])


def split(vector: Any, like: list[Any]) -> list[Any]:
    """Return the arrays of a vector that `flat` made."""
    sizes = [int(np.prod(item.shape)) for item in like]
    parts = np.split(vector, np.cumsum(sizes)[:-1]) if sizes else []
    return [part.reshape(item.shape) for part, item in zip(parts, like, strict=True)]
