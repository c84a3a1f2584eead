"""The losses of single outputs in validation, as means over rows: Keras' are means over batches."""

from __future__ import annotations

from typing import Any

from deepforge_hpc.training.rank_batches import RankBatches
from deepforge_hpc.training.reduce import assign, numpy_of


class OutputLosses:
    """Weighs the losses of outputs by rows, where Keras does not know how many a batch has.

    TensorFlow traces one step for batches of any size, and Keras then counts each loss of an output
    once. All batches of a validation are alike but the last: what was counted before it is weighed
    by their rows, and what it adds by its own.
    """

    def __init__(self, validation: RankBatches) -> None:
        self._validation = validation
        self._before: list[tuple[float, float]] | None = None

    def begin(self, model: Any, batch: int) -> None:
        """Look at what was counted, before the last batch."""
        self._before = None
        if batch == self._last:
            self._before = [_state(metric) for metric in _metrics(model)]

    def end(self, model: Any, batch: int) -> None:
        """Weigh what was counted, behind the last batch."""
        before, self._before = self._before, None
        if before is None or batch != self._last:
            return
        each, rest = self._validation.rows_of(0), self._validation.rows_of(self._last)
        for metric, (total, count) in zip(_metrics(model), before, strict=True):
            all_total, all_count = _state(metric)
            if (count, all_count) != (self._last, self._last + 1):
                continue  # it counts rows
            values = total * each + (all_total - total) * rest, count * each + rest
            for variable, value in zip((metric.total, metric.count), values, strict=True):
                assign(variable, value)

    @property
    def _last(self) -> int:
        return len(self._validation) - 1


def _metrics(model: Any) -> list[Any]:
    """Return Keras' own means of the losses of single outputs; of one output there are none."""
    losses = model._compile_loss  # noqa: SLF001 - Keras has no other word for it
    return [] if losses is None else [one for one in losses.metrics if hasattr(one, "count")]


def _state(metric: Any) -> tuple[float, float]:
    return float(numpy_of(metric.total)), float(numpy_of(metric.count))
