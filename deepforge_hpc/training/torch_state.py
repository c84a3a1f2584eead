"""The full state of a training of a PyTorch module as arrays and JSON, and back."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch

from deepforge_hpc.training.checkpoints import Checkpoint, leaves, value_of
from deepforge_hpc.training.draws import Draws
from deepforge_hpc.training.errors import TrainingError
from deepforge_hpc.training.transports import Transport

_ADVICE = "remove the folder to begin anew, or submit again for an execution of its own"


class TorchState:
    """Module, optimizer and schedule; all ranks collect, and all restore the same."""

    def __init__(self, module: Any, optimizer: Any, schedule: Any, transport: Transport) -> None:
        self.module, self.optimizer, self.schedule = module, optimizer, schedule
        self.transport, self.draws = transport, Draws(transport)

    def share(self) -> None:
        """Give all ranks the weights of rank 0."""
        with torch.no_grad():
            for tensor in self.module.state_dict().values():
                found = self.transport.broadcast(tensor.detach().cpu().numpy())
                tensor.copy_(torch.from_numpy(np.array(found)))

    def average_statistics(self) -> None:
        """Give each rank the mean of the moving statistics: batch normalisation's."""
        with torch.no_grad():
            for tensor in self.module.buffers() if self.transport.size > 1 else ():
                if tensor.is_floating_point():
                    mean = self.transport.mean(tensor.cpu().double().numpy())
                    tensor.copy_(torch.from_numpy(mean))

    def collect(self) -> tuple[dict[str, Any], dict[str, Any]]:
        """Return JSON and arrays. Every rank calls it."""
        arrays = {f"weight/{name}": _array(one) for name, one in self.module.state_dict().items()}
        state: dict[str, Any] = {
            "architecture": self._shapes(),
            "optimizer_class": type(self.optimizer).__name__,
            "seed": self.draws.seed,
        }
        parts = {"optimizer": self.optimizer, "schedule": self.schedule}
        for name, part in parts.items():
            found = [*leaves(_plain(part.state_dict() if part else None), name, arrays)]
            if not found:
                kind = type(part).__name__
                raise TrainingError(f"the {name} {kind} holds code, which no checkpoint keeps")
            state[name] = found[0]
        return state, arrays

    def restore(self, found: Checkpoint) -> None:
        """Set what a checkpoint holds, on every rank; TrainingError for another network's."""
        if found.state.get("architecture") != self._shapes():
            message = f"the checkpoint {found.path} is of another architecture: {_ADVICE}"
            raise TrainingError(message)
        if (there := found.state["optimizer_class"]) != (here := type(self.optimizer).__name__):
            raise TrainingError(
                f"the checkpoint {found.path} is of the optimizer {there}, and this training has "
                f"{here}: {_ADVICE}"
            )
        mine = found.arrays() if self.transport.rank == 0 else {}
        arrays = self.transport.gather(mine)[0]
        weights = {name: torch.from_numpy(arrays[f"weight/{name}"]) for name, _ in self._shapes()}
        self.module.load_state_dict(weights)
        for name, part in (("optimizer", self.optimizer), ("schedule", self.schedule)):
            if part:
                part.load_state_dict(_tensors(value_of(found.state[name], arrays)))
        self.draws.seed = found.state.get("seed", self.draws.seed)

    def _shapes(self) -> list[list[Any]]:
        return [[name, list(one.shape)] for name, one in self.module.state_dict().items()]


def _array(tensor: Any) -> Any:
    return tensor.detach().cpu().numpy().copy()


def _plain(value: Any) -> Any:
    """Return a state with arrays for tensors and texts for numbers that are keys."""
    if isinstance(value, torch.Tensor):
        return _array(value)
    if isinstance(value, Mapping):
        return {f"{type(k).__name__}:{k}": _plain(item) for k, item in value.items()}
    return [_plain(item) for item in value] if isinstance(value, (list, tuple)) else value


def _tensors(value: Any) -> Any:
    """Return a state that `_plain` made, as it was; tuples are lists."""
    if isinstance(value, np.ndarray):
        return torch.from_numpy(np.array(value))
    if isinstance(value, dict):
        pairs = ((*name.split(":", 1), item) for name, item in value.items())
        return {int(k) if kind == "int" else k: _tensors(item) for kind, k, item in pairs}
    return [*map(_tensors, value)] if isinstance(value, list) else value
