"""The best epoch of a training of a PyTorch module, and its weights."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

import torch

from deepforge_hpc.training.early_stopping import EarlyStopping
from deepforge_hpc.training.errors import TrainingError
from deepforge_hpc.training.torch_state import TorchState, array_of

_PLACE = "best/"


class Best:
    """Watches epochs for an EarlyStopping, if there is one, and keeps weights if it wants them."""

    def __init__(self, stopping: EarlyStopping | None, state: TorchState) -> None:
        self._stopping, self._state = stopping, state
        self._weights: dict[str, Any] = {}
        if stopping is not None and stopping.restore_best_weights and state.is_sharded:
            raise TrainingError(
                "the best weights of a sharded module are not kept: leave restore_best_weights out"
            )

    @property
    def is_over(self) -> bool:
        """Return whether the training has learnt what it can."""
        return self._stopping is not None and self._stopping.is_over

    def check(self, logged: Collection[str]) -> None:
        """Raise TrainingError if what is to be watched is never logged."""
        if self._stopping is not None:
            self._stopping.check(logged)

    def see(self, epoch: int, metrics: Mapping[str, float]) -> None:
        """Look at an epoch's numbers."""
        if self._stopping is None:
            return
        is_best = self._stopping.is_best(epoch, metrics[self._stopping.monitor])
        if self._stopping.restore_best_weights and (is_best or not self._weights):
            module = self._state.module
            self._weights = {name: array_of(one) for name, one in module.state_dict().items()}

    def take(self) -> None:
        """Set the weights of the best epoch, where they are wanted."""
        if self._weights:
            tensors = {name: torch.from_numpy(one) for name, one in self._weights.items()}
            self._state.module.load_state_dict(tensors)

    def state(self) -> dict[str, Any] | None:
        """Return what the JSON of a checkpoint keeps."""
        return None if self._stopping is None else self._stopping.state()

    def arrays(self) -> dict[str, Any]:
        """Return what a checkpoint keeps beside it."""
        return {f"{_PLACE}{name}": one for name, one in self._weights.items()}

    def restore(self, state: dict[str, Any] | None, arrays: Mapping[str, Any]) -> None:
        """Go on from what a checkpoint has."""
        if self._stopping is not None and state:
            self._stopping.restore(state)
            found = {name: one for name, one in arrays.items() if name.startswith(_PLACE)}
            self._weights = {name.removeprefix(_PLACE): one for name, one in found.items()}
