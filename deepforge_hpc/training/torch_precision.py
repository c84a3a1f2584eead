"""Layers of a PyTorch module that compute in 16 bits, with weights that stay as they are."""

from __future__ import annotations

from contextlib import nullcontext
from typing import Any, Literal

import torch

from deepforge_hpc.training import torch_shards
from deepforge_hpc.training.errors import LEAST_SCALE, SKIPPED, TrainingError

_TYPES = {"mixed_bfloat16": torch.bfloat16, "mixed_float16": torch.float16}


class Precision:
    """How a module computes, and how its loss is scaled so that float16 holds the gradients.

    Scaled gradients are averaged over the ranks before they are looked at, so all skip the same
    steps. Outputs come as the numbers of the weights: a loss of 16 bits loses digits.
    """

    def __init__(self, policy: Literal["", "mixed_bfloat16", "mixed_float16"], module: Any) -> None:
        self._kind = _TYPES.get(policy)
        first = next(module.parameters())
        self._device, self._wide = first.device.type, first.dtype
        self._scaler: Any = None
        self._has_stepped = False
        if policy and torch_shards.is_sharded(module):
            raise TrainingError(
                f"precision {policy} is of modules that are not sharded: give fully_shard a "
                "torch.distributed.fsdp.MixedPrecisionPolicy"
            )
        if policy == "mixed_float16":
            self._scaler = torch.amp.GradScaler(self._device)

    def outputs(self, module: Any, inputs: list[Any]) -> Any:
        """Return what a module makes of inputs."""
        with torch.autocast(self._device, self._kind) if self._kind else nullcontext():
            found = module(*inputs)
        return self._widened(found) if self._kind else found

    def _widened(self, found: Any) -> Any:
        if isinstance(found, (list, tuple)):
            return tuple(map(self._widened, found))
        return found.to(self._wide) if found.is_floating_point() else found

    def backward(self, loss: Any) -> None:
        """Make gradients."""
        (loss if self._scaler is None else self._scaler.scale(loss)).backward()

    def unscale(self, optimizer: Any) -> None:
        """Give gradients their size, before they are clipped."""
        if self._scaler is not None:
            self._scaler.unscale_(optimizer)

    def step(self, optimizer: Any) -> None:
        """Step, unless gradients were too large for float16: the next ones are scaled less then."""
        if self._scaler is None:
            optimizer.step()
        else:
            before = self._scaler.get_scale()
            self._scaler.step(optimizer)
            self._scaler.update()
            self._has_stepped |= (scale := self._scaler.get_scale()) >= before
            if scale < LEAST_SCALE:
                raise TrainingError(SKIPPED)

    def end(self) -> None:
        """Raise TrainingError if all steps were skipped."""
        if self._scaler is not None and not self._has_stepped:
            raise TrainingError(SKIPPED)

    def state(self) -> dict[str, Any] | None:
        """Return what a checkpoint keeps."""
        if self._scaler is None:
            return None
        return {**self._scaler.state_dict(), "has_stepped": self._has_stepped}

    def restore(self, state: dict[str, Any] | None) -> None:
        """Go on from what a checkpoint has."""
        if self._scaler is not None and state:
            self._has_stepped = state.get("has_stepped", True)
            self._scaler.load_state_dict(state)
