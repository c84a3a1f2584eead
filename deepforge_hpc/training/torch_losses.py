"""Losses of one or several outputs of a PyTorch module, with weights of rows."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from typing import Any, TypeAlias

import torch

from deepforge_hpc.training.errors import TrainingError
from deepforge_hpc.training.torch_faults import clear

Loss: TypeAlias = Callable[[Any, Any], Any]
"""Takes outputs and targets, and returns their mean over rows."""


class Losses:
    """The loss that is learnt from, and those of single outputs that are told beside it.

    A row counts as often as its weight says: the sum of weighted losses is divided by the number of
    rows, as Keras does, so the ranks' means of equally many rows make the mean of all.
    """

    def __init__(
        self, loss: Loss | Mapping[str, Loss], shares: Mapping[str, float], ranks: int
    ) -> None:
        self._each = dict(loss) if isinstance(loss, Mapping) else {"": loss}
        self._shares = shares
        self._by_row: dict[str, Loss] = {}
        for one in self._each.values():
            _check(one, ranks)
        several = self._each if len(self._each) > 1 else ()
        self.names = tuple(f"{name}_loss" for name in several)

    def __call__(self, outputs: Any, targets: Any, weights: Any) -> tuple[Any, dict[str, Any]]:
        """Return the loss of a batch, and those of its outputs if there are several."""
        if not self.names:
            (name,) = self._each
            return self._one(name, outputs, targets, weights), {}
        values = {
            name: self._one(name, output, targets[name], weights)
            for name, output in zip(self._each, outputs, strict=True)
        }
        whole = sum(self._shares.get(name, 1.0) * value for name, value in values.items())
        return whole, dict(zip(self.names, values.values(), strict=True))

    def _one(self, name: str, outputs: Any, targets: Any, weights: Any) -> Any:
        loss = self._each[name]
        with clear(f"the loss{' ' * bool(name)}{name} cannot be computed by {_name_of(loss)}"):
            if weights is None:
                return loss(outputs, targets)
            if name not in self._by_row:
                self._by_row[name] = _by_row(loss)
            found = self._by_row[name](outputs, targets)
            rows = found.flatten(1).mean(1) if found.ndim > 1 else found
            return (rows * weights.to(rows.dtype)).mean()


def _name_of(loss: Loss) -> str:
    return str(getattr(loss, "__name__", type(loss).__name__))


def _by_row(loss: Loss) -> Loss:
    """Return a loss that gives a number for each row."""
    if getattr(loss, "weight", None) is not None and not isinstance(loss, torch.nn.BCELoss):
        raise TrainingError(
            "a loss with a weight for each class divides by these, so rows cannot have weights "
            "besides: leave out its weight, and let class_weight or the weights of rows say it"
        )
    if getattr(loss, "reduction", "") != "mean":
        raise TrainingError(
            "weights of rows need a loss of torch.nn, which can give a number for each row"
        )
    found = copy.copy(loss)
    found.reduction = "none"  # type: ignore[attr-defined]
    return found


def _check(loss: Loss, ranks: int) -> None:
    weight = getattr(loss, "weight", None)
    if getattr(loss, "reduction", "mean") != "mean":
        raise TrainingError("the loss must be a mean over rows: leave out its reduction")
    if ranks == 1:
        return
    if weight is not None and not isinstance(loss, torch.nn.BCELoss):
        raise TrainingError(
            "a loss with a weight for each class divides by the weights of the rows that it sees, "
            "which differ from rank to rank: train on one rank, or leave out its weight and weigh "
            "the rows (class_weight of the operation Train)"
        )
    if getattr(loss, "ignore_index", -100) != -100:
        refuse_ignored(ranks)


def refuse_ignored(ranks: int) -> None:
    """Raise TrainingError on several ranks: a loss that leaves out rows is no mean over all."""
    if ranks > 1:
        raise TrainingError(
            "a loss with ignore_index divides by the rows that it does not ignore, which differ "
            "from rank to rank: train on one rank, or give such rows the weight 0"
        )
