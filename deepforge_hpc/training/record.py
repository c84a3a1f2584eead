"""A callback that logs how gradients and activations develop, layer by layer."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import keras
import numpy as np

from deepforge_hpc.job import log
from deepforge_hpc.training import inside
from deepforge_hpc.training.batches import Batches
from deepforge_hpc.training.errors import TrainingError

RECORDS = ("gradients", "activations")
MOST_LAYERS = 64
"""Of a deeper network, as many, evenly spread: a log has room for some hundred names."""


class RecordInside(keras.callbacks.Callback):
    """Logs `gradients/LAYER`, a Euclidean norm, and `activations/LAYER`, a mean of absolute values.

    At the end of each epoch, of the same rows each time: the first of the training's order, not
    augmented. Rank 0 alone looks; nothing of the training changes.
    """

    def __init__(self, what: Sequence[str], batches: Batches, *, is_first: bool) -> None:
        super().__init__()
        if odd := [name for name in what if name not in RECORDS]:
            raise TrainingError(f"record has {odd}; it takes {' and '.join(RECORDS)}")
        self._what, self._batches, self._is_first = what, batches, is_first

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:  # noqa: ARG002 - Keras' signature
        if not self._is_first:
            return
        if keras.backend.backend() == "jax":  # which keeps the weights in its trainer
            self.model.jax_state_sync()
        inputs, targets, *_ = self._batches.first()
        found: dict[str, float] = {}
        if "gradients" in self._what:
            found |= _spread("gradients", _norms(self.model, inputs, targets))
        if "activations" in self._what:
            found |= _spread("activations", _sizes(self.model, inputs))
        log(step=epoch + 1, **found)


def _norms(model: Any, inputs: Any, targets: Any) -> Iterator[tuple[str, float]]:
    for name, vector in inside.weight_gradients(model, inputs, targets):
        yield name, float(np.linalg.norm(vector))


def _sizes(model: Any, inputs: Any) -> Iterator[tuple[str, float]]:
    for name, _, value in inside.layer_outputs(model, inputs):
        yield name, float(np.abs(value).mean())


def _spread(what: str, values: Iterator[tuple[str, float]]) -> dict[str, float]:
    found = list(values)
    step = max(1.0, len(found) / MOST_LAYERS)
    chosen = {int(number * step) for number in range(MOST_LAYERS)}
    return {f"{what}/{name}": value for at, (name, value) in enumerate(found) if at in chosen}
