"""The full state of a training of a PyTorch module as arrays and JSON, and back."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch

from deepforge_hpc.training import torch_shards
from deepforge_hpc.training.checkpoints import Checkpoint, Checkpoints, Position, leaves, value_of
from deepforge_hpc.training.draws import Draws
from deepforge_hpc.training.errors import TrainingError
from deepforge_hpc.training.torch_faults import clear
from deepforge_hpc.training.transports import Transport

_ADVICE = "remove the folder to begin anew, or submit again for an execution of its own"


class TorchState:
    """Module, optimizer and schedule; all ranks collect, and all restore the same."""

    def __init__(self, module: Any, optimizer: Any, schedule: Any, transport: Transport) -> None:
        self.module, self.optimizer, self.schedule = module, optimizer, schedule
        self.transport, self.draws = transport, Draws(transport)
        self._network = network_digest(module)
        self.is_sharded = torch_shards.is_sharded(module)

    def share(self) -> None:
        """Give all ranks the weights of rank 0; of a sharded module, what is not sharded."""
        with torch.no_grad():
            for tensor in torch_shards.whole(self.module.state_dict()).values():
                found = self.transport.broadcast(array_of(tensor))
                tensor.copy_(torch.from_numpy(np.array(found)))

    def average_statistics(self) -> None:
        """Give each rank the mean of the moving statistics: batch normalisation's."""
        with torch.no_grad():
            for tensor in self.module.buffers() if self.transport.size > 1 else ():
                if tensor.is_floating_point():
                    mean = self.transport.mean(tensor.cpu().double().numpy())
                    tensor.copy_(torch.from_numpy(mean))

    def is_finite(self) -> bool:
        """Return whether all weights of all ranks are numbers. Every rank calls it."""
        mine = map(torch_shards.local, self.module.state_dict().values())
        return all(self.transport.gather(all(bool(one.isfinite().all()) for one in mine)))

    def save(
        self,
        kept: Checkpoints,
        at: Position,
        more: Mapping[str, Any],
        beside: Mapping[str, Any],
    ) -> Checkpoint | None:
        """Write a checkpoint, `more` in its JSON; TrainingError on all ranks if that fails.

        Arrays that are `beside` it are kept where the module is not sharded.

        Every rank calls it; rank 0 writes, or each its own shard. Rank 0 alone is told which.
        """
        state: dict[str, Any] = {
            **more,
            "architecture": self._shapes(),
            "network": self._network,
            "optimizer_class": type(self.optimizer).__name__,
            "schedule_class": self._schedule_class,
            "seed": self.draws.seed,
        }
        arrays: dict[str, Any] = {}
        state["schedule"] = self._part("schedule", self.schedule, arrays)
        if self.is_sharded:
            tensors, numbers = torch_shards.collect(self.module, self.optimizer)
            state["optimizer"] = next(leaves(_plain(numbers), "optimizer", arrays), None)
            if arrays or state["optimizer"] is None:
                raise TrainingError("optimizer or schedule hold what a sharded checkpoint cannot")
            return torch_shards.save(kept, at, state, tensors, self.transport)
        state["optimizer"] = self._part("optimizer", self.optimizer, arrays)
        weights = self.module.state_dict().items()
        arrays |= {f"weight/{name}": array_of(one) for name, one in weights} | dict(beside)
        return torch_shards.on_first(self.transport, lambda: kept.save(at, state, arrays))

    def restore(self, found: Checkpoint) -> dict[str, Any]:
        """Set what a checkpoint holds, on every rank; TrainingError for another network's.

        Returns its arrays; none where the module is sharded.
        """
        self._check(found)
        if found.is_sharded:
            numbers = _tensors(value_of(found.state["optimizer"], {}))
            torch_shards.restore(found, self.module, self.optimizer, numbers, self.transport)
            arrays: dict[str, Any] = {}
        else:
            mine = found.arrays() if self.transport.rank == 0 else {}
            arrays = self.transport.gather(mine)[0]
            names = [name for name, _ in self._shapes()]
            self.module.load_state_dict({n: torch.from_numpy(arrays[f"weight/{n}"]) for n in names})
            optimizer = _tensors(value_of(found.state["optimizer"], arrays))
            said = "is of a training whose optimizer has other parameters"
            with clear(f"the checkpoint {found.path} {said} ({_ADVICE})", (ValueError, KeyError)):
                self.optimizer.load_state_dict(optimizer)
        if self.schedule:
            self.schedule.load_state_dict(_tensors(value_of(found.state["schedule"], arrays)))
        self.draws.seed = found.state.get("seed", self.draws.seed)
        return arrays

    def _check(self, found: Checkpoint) -> None:
        said = ""
        if found.state.get("architecture") != self._shapes():
            said = "is of another architecture"
        elif found.state.get("network", self._network) != self._network:
            said = (
                "is of a network whose layers have other settings, and weights of the same shapes"
            )
        elif (there := found.state["optimizer_class"]) != (here := type(self.optimizer).__name__):
            said = f"is of the optimizer {there}, and this training has {here}"
        elif (there := found.state.get("schedule_class", "")) != (
            here := self._schedule_class
        ) and there:
            said = f"is of the schedule {there}, and this training has {here}"
        elif self.is_sharded and not found.is_sharded:
            said = "is of a training that was not sharded, and this one is"
        if said:
            raise TrainingError(f"the checkpoint {found.path} {said}: {_ADVICE}")

    @property
    def _schedule_class(self) -> str:
        """Return what sets the rate; a checkpoint of an older version does not know it."""
        return getattr(self.schedule, "kind", type(self.schedule).__name__)

    def _part(self, name: str, part: Any, arrays: dict[str, Any]) -> Any:
        """Return the JSON of the optimizer's or the schedule's state, its arrays put aside."""
        state = part.state_dict() if part else None
        found = [*leaves(_plain(state), name, arrays)]
        if not found:
            raise TrainingError(f"the {name} holds code, which no checkpoint keeps")
        return found[0]

    def _shapes(self) -> list[list[Any]]:
        return [[name, list(one.shape)] for name, one in self.module.state_dict().items()]


def network_digest(module: Any) -> str:
    """Return a digest of the settings of layers; sharded ones have other names for the same."""
    said = re.sub(r"\bFSDP|0x[0-9a-f]+", "", repr(module))
    return hashlib.sha256(said.encode()).hexdigest()[:12]


def array_of(tensor: Any) -> Any:
    """Return a copy of a tensor's numbers; of those of 16 bits that numpy has not, as float32."""
    tensor = tensor.detach().cpu()
    return (tensor.float() if tensor.dtype == torch.bfloat16 else tensor).numpy().copy()


def _plain(value: Any) -> Any:
    """Return a state with arrays for tensors and texts for numbers that are keys."""
    if isinstance(value, torch.Tensor):
        return array_of(value)
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
