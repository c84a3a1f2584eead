"""What Keras says of losses and metrics that do not fit the data, before the first step.

Within a step it is said from a graph, pages after the place where it went wrong.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import keras

from deepforge_hpc.training.errors import TrainingError

_LOOK = 2


def rehearse(model: Any, goals: Mapping[str, Any], outputs: list[str], batches: Any) -> None:
    """Compute losses and metrics of some rows; TrainingError for what cannot be."""
    if model.inputs[0].shape[0] is not None:  # it takes no other number of rows
        return
    inputs, targets = batches.first(_LOOK)
    found = keras.tree.flatten(model(inputs, training=False))
    for name, output in zip(outputs, found, strict=True):
        target = targets[name] if isinstance(targets, dict) else targets
        loss = _of(goals["loss"], name)
        if getattr(loss, "reduction", "") in {None, "none", "sum"}:
            raise TrainingError(
                f"the loss {_named(loss)} must be a mean over rows, or the number of ranks decides "
                "what is learnt: leave out its reduction"
            )
        for kind, one in (("loss", loss), *(("metric", item) for item in _metrics(goals, name))):
            shapes = f"a target of {tuple(target.shape[1:])}, an output {tuple(output.shape[1:])}"
            with _clear(f"the {kind} {_named(one)} cannot be computed ({shapes} for each row)"):
                _compute(one, target, output)


def _of(given: Any, output: str) -> Any:
    return given.get(output, []) if isinstance(given, dict) else given


def _metrics(goals: Mapping[str, Any], output: str) -> list[Any]:
    """Return what is no word such as `accuracy`, of which Keras chooses one that fits."""
    return [one for one in _of(goals["metrics"], output) if not isinstance(one, str)]


def _compute(one: Any, target: Any, output: Any) -> None:
    if isinstance(one, keras.metrics.Metric):
        type(one).from_config(one.get_config()).update_state(target, output)
    else:
        one(target, output)


def _named(one: Any) -> str:
    return str(getattr(one, "__name__", type(one).__name__))


@contextmanager
def _clear(what: str) -> Iterator[None]:
    try:
        yield
    except Exception as error:  # each backend has its own kinds
        said = " ".join(str(error).split())[:300]
        raise TrainingError(f"{what}: {said}") from error
