"""Losses, metrics, optimizer and callbacks of the operation Train."""

from __future__ import annotations

import inspect
import re
from collections.abc import Sequence
from typing import Any

import keras

from deepforge_hpc.operations.named import find, for_outputs, make, parse
from deepforge_hpc.operations.rows import refuse_unwatched
from deepforge_hpc.operations.spec import weights_of
from deepforge_hpc.operations.train import Train
from deepforge_hpc.training.errors import TrainingError, meant

_LOGS_OWN = frozenset({"t", "step", "not_finite"})
_ALWAYS = ("loss", "learning_rate")


def goals(settings: Train, outputs: Sequence[str]) -> dict[str, Any]:
    """Return what `compile` is given: losses, their weights and metrics."""
    losses = for_outputs("loss", settings.loss, outputs)
    if absent := [name for name in outputs if name not in losses]:
        raise TrainingError(f"loss: the output {', '.join(absent)} has none")
    weights = weights_of(settings.loss_weights, outputs)
    wanted = for_outputs("metric", settings.metrics, outputs)
    metrics = {name: _metrics(item) for name, item in wanted.items()}
    if len(outputs) == 1:
        return {"loss": make("loss", losses[outputs[0]]), "metrics": metrics.get(outputs[0], [])}
    return {
        "loss": {name: make("loss", losses[name]) for name in outputs},
        "loss_weights": {name: weights.get(name, 1.0) for name in outputs},
        "metrics": metrics,
    }


def _metrics(given: Any) -> list[Any]:
    found = [make("metric", item) for item in (given if isinstance(given, list) else [given])]
    for item in found:
        if (name := getattr(item, "name", "")) in _LOGS_OWN:
            raise TrainingError(
                f"metrics: none can be named {name}, which the log of metrics uses itself"
            )
    return found


def optimizer(settings: Train, rate: Any) -> Any:
    """Return the optimizer, with a rate or a schedule of it."""
    name, arguments = parse("optimizer", settings.optimizer)
    taken = inspect.signature(find("optimizer", name)).parameters
    more: dict[str, Any] = dict(settings.clip)
    if settings.accumulate > 1:
        more["gradient_accumulation_steps"] = settings.accumulate
    if "learning_rate" in taken:
        arguments = {**arguments, "learning_rate": rate}  # which began with the optimizer's own
    found = make("optimizer", {name: {**more, **arguments}})
    if settings.precision == "mixed_float16":
        return keras.optimizers.LossScaleOptimizer(found)
    return found


def callbacks(settings: Train, goals: dict[str, Any], *, validates: bool) -> list[Any]:
    """Return the callbacks; TrainingError for a `monitor` that is unknown, or must be said."""
    found = [make("callback", item) for item in settings.callbacks]
    is_best = settings.keep == "best"
    stop = settings.early_stopping
    refuse_unwatched(stop, validates=validates)
    if stop is not None or is_best:
        patience = settings.epochs  # it never stops then, and keeps the best weights
        given = {
            "monitor": "val_loss" if validates else "loss",
            "patience": patience,
            "restore_best_weights": is_best,
        }
        found.append(make("callback", {"EarlyStopping": {**given, **(stop or {})}}))
    logged = _logged(goals)
    logged += [f"val_{name}" for name in logged if name != "learning_rate" and validates]
    for item in found:
        _check_monitor(item, logged)
    return found


def _logged(goals: dict[str, Any]) -> list[str]:
    """Return the names that Keras will log, before it makes them with the first batch."""
    metrics = goals["metrics"]
    if not isinstance(metrics, dict):
        return [*_ALWAYS, *map(_name, metrics)]
    found = [f"{output}_{_name(item)}" for output, items in metrics.items() for item in items]
    return [*_ALWAYS, *(f"{output}_loss" for output in goals["loss"]), *found]


def _name(metric: Any) -> str:
    if isinstance(metric, str):
        return metric
    return str(getattr(metric, "name", None) or metric.__name__)


def _check_monitor(callback: Any, logged: Sequence[str]) -> None:
    """Raise TrainingError for a name that is never logged: Keras warns, and does nothing."""
    name = getattr(callback, "monitor", None)
    # The second metric of one name is counted on.
    if not isinstance(name, str) or re.sub(r"_\d+$", "", name) in logged or name in logged:
        return
    kind = type(callback).__name__
    if name.startswith("val_") and name.removeprefix("val_") in logged:
        raise TrainingError(
            f"{kind} monitors {name}, and no rows are kept to validate with: set "
            "validation_split, or give the input validation"
        )
    near = meant(name, logged)
    hint = f"did you mean {near}? " if near else ""
    raise TrainingError(
        f"{kind} monitors {name!r}, which is not logged; {hint}There are {', '.join(logged)}"
    )
