"""Batch normalisation of PyTorch over the whole batch, on however many ranks it lies.

PyTorch's own `SyncBatchNorm` works on GPUs alone. This one exchanges by the transport of the
training, so it is the same on CPUs, over gloo.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from deepforge_hpc.training.transports import Transport

_KINDS = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d)


def mean_of_ranks(tensor: Any, transport: Transport) -> Any:
    """Return the mean over all ranks, whose gradient is the mean of all ranks' gradients."""

    class Mean(torch.autograd.Function):
        """The mean over ranks, forwards and backwards."""

        @staticmethod
        def forward(_context: Any, value: Any) -> Any:
            return transport.mean_of_tensors([value])[0]

        @staticmethod
        def backward(_context: Any, *upstream: Any) -> Any:
            return transport.mean_of_tensors([upstream[0]])[0]

    return Mean.apply(tensor)


class _OverRanks:
    """Comes first among the bases of a batch normalisation."""

    transport: Transport

    def forward(self, inputs: Any) -> Any:
        layer: Any = self
        if not layer.training or self.transport.size == 1:
            return super().forward(inputs)  # type: ignore[misc]
        layer._check_input_dim(inputs)  # noqa: SLF001 - which its own forward calls first
        # Statistics of 16 bits lose digits.
        wide = inputs.float() if inputs.element_size() < 4 else inputs
        axes = [0, *range(2, inputs.ndim)]
        mean, variance = wide.mean(axes), wide.var(axes, unbiased=False)
        # Equal parts on all ranks; differences of means, not of squares: no digits cancel.
        whole = mean_of_ranks(mean, self.transport)
        spread = mean_of_ranks(variance + (mean - whole).square(), self.transport)
        if layer.track_running_stats:
            _move(layer, whole.detach(), spread.detach(), self._rows(inputs))
        shape = (1, -1, *[1] * (inputs.ndim - 2))
        found = (wide - whole.view(shape)) * (spread + layer.eps).rsqrt().view(shape)
        if layer.affine:
            found = found * layer.weight.view(shape) + layer.bias.view(shape)
        return found.to(inputs.dtype)

    def _rows(self, inputs: Any) -> int:
        return int(inputs.numel() // inputs.shape[1]) * self.transport.size


def _move(layer: Any, mean: Any, variance: Any, rows: int) -> None:
    """Move the statistics as PyTorch does: by the unbiased variance of the batch."""
    layer.num_batches_tracked.add_(1)
    share = layer.momentum if layer.momentum is not None else 1 / float(layer.num_batches_tracked)
    layer.running_mean.lerp_(mean.to(layer.running_mean.dtype), share)
    unbiased = variance * (rows / max(1, rows - 1))
    layer.running_var.lerp_(unbiased.to(layer.running_var.dtype), share)


def synchronize(module: Any, transport: Transport) -> int:
    """Let each batch normalisation of a module see all ranks' rows; return how many there are.

    They stay the same objects, with their weights and their names in the state_dict.
    """
    found = [one for one in module.modules() if type(one) in _KINDS]
    for one in found:
        kind = type(one)
        one.__class__ = type(kind.__name__, (_OverRanks, kind), {"__module__": kind.__module__})
        one.transport = transport
    return len(found)


def is_synchronized(module: Any) -> bool:
    """Tell whether a module has a batch normalisation over all ranks."""
    return any(isinstance(one, _OverRanks) for one in module.modules())
