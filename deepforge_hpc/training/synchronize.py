"""A callback that starts all ranks alike, and lets them end an epoch alike."""

from __future__ import annotations

from typing import Any

import keras

from deepforge_hpc.job import ranks
from deepforge_hpc.training.errors import TrainingError
from deepforge_hpc.training.normalization import check_normalization, use_for_normalization
from deepforge_hpc.training.optimizer import is_distributed
from deepforge_hpc.training.output_losses import OutputLosses
from deepforge_hpc.training.rank_batches import RankBatches
from deepforge_hpc.training.reduce import (
    assign,
    average_statistics,
    common_random_states,
    is_random_state,
    numpy_of,
    plain,
    reduce_metrics,
    results,
)
from deepforge_hpc.training.transports import Transport

_SEEDS = 2**32


class Synchronize(keras.callbacks.Callback):
    """Goes before all other callbacks: what they see is of all ranks, and equal on each.

    It broadcasts weights and optimizer of rank 0, averages moving statistics, and reduces the
    metrics of training and of validation by their states. Given the batches of the validation, the
    losses of single outputs are means over their rows.
    """

    def __init__(self, transport: Transport, validation: RankBatches | None = None) -> None:
        super().__init__()
        self.transport = transport
        self._losses = OutputLosses(validation) if validation is not None else None
        self._validation: dict[str, Any] = {}
        self._begun = False
        use_for_normalization(transport)

    def on_train_begin(self, logs: Any = None) -> None:  # noqa: ARG002 - Keras' signature
        model, transport = self.model, self.transport
        check_normalization(model, transport)
        # Made on one rank too: its seed is drawn from Python's generator, and what is drawn
        # there afterwards must not depend on how many ranks there are.
        common = [] if self._begun else common_random_states()
        if transport.size == 1:
            return
        check_optimizer(model.optimizer)
        if model.jit_compile:  # `auto` on a GPU: XLA has none of the exchanges
            model.jit_compile = False
            model.make_train_function(force=True)
        model.optimizer.build(model.trainable_variables)
        self._begun = True
        for variable in [*model.variables, *model.optimizer.variables, *common]:
            value = transport.broadcast(numpy_of(variable))
            if is_random_state(variable):
                value = (value.astype("uint64") + ranks().seed()) % _SEEDS
            assign(variable, value)

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:  # noqa: ARG002
        steps = self.params.get("steps")
        if self.transport.size > 1 and steps is None:
            raise TrainingError("on several ranks an epoch needs a length: give steps_per_epoch")
        if steps is not None and batch + 1 >= steps:
            # Before Keras reads them for the end of the epoch, and before it validates.
            average_statistics(self.model, self.transport)
            reduce_metrics(self.model, self.transport)

    def on_test_batch_begin(self, batch: int, logs: Any = None) -> None:  # noqa: ARG002
        if self._losses:
            self._losses.begin(self.model, batch)

    def on_test_batch_end(self, batch: int, logs: Any = None) -> None:  # noqa: ARG002
        if self._losses:
            self._losses.end(self.model, batch)

    def on_test_end(self, logs: Any = None) -> None:  # noqa: ARG002
        reduce_metrics(self.model, self.transport)
        self._validation = results(self.model)

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:  # noqa: ARG002
        if logs is None:
            return
        # An F1 of each class is a tensor: as a list it fits in a history and in a checkpoint.
        logs.update({name: plain(value) for name, value in logs.items()})
        if self.transport.size == 1:
            return
        for name, value in self._validation.items():
            if f"val_{name}" in logs:
                logs[f"val_{name}"] = value
        self._validation = {}
        # To the last bit, for what callbacks decide by it.
        logs.update(self.transport.gather(dict(logs))[0])


def check_optimizer(optimizer: Any) -> None:
    """Raise TrainingError for an optimizer that would leave each rank alone with its gradients."""
    if not is_distributed(optimizer):
        raise TrainingError(
            f"the optimizer {type(optimizer).__name__} does not average gradients over the ranks: "
            "compile the model with deepforge_hpc.training.distributed(optimizer, transport), "
            "after the dtype policy is set"
        )


def evaluate(model: Any, batches: Any, transport: Transport) -> dict[str, Any]:
    """Return the metrics over all ranks' rows; each rank evaluates its own."""
    seen = Synchronize(transport, batches if isinstance(batches, RankBatches) else None)
    model.evaluate(batches, verbose=0, return_dict=True, callbacks=[seen])
    return results(model)
