"""What training a network takes of a GPU's memory, as an estimate, and the largest batch that fits.

    weights + gradients + slots of the optimizer + batch x activations of one example

Weights, gradients and slots have 4 bytes a number (8 in float64), also under mixed precision, where
the activations alone are narrower. Slots are the numbers that an optimizer keeps for each weight
that is trained, such as Adam's two moments (Kingma and Ba 2015, arXiv:1412.6980, algorithm 1); an
activation is kept until its gradient is made (Chen et al. 2016, arXiv:1604.06174, section 3). What
the framework takes for itself, workspaces of convolutions and the input pipeline are not in it.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

_BYTES = 4
_WIDE = 2
"""Times as many in float64."""


class MemoryEstimate(NamedTuple):
    """Bytes; what is not known counts as nothing, and `is_least` says so."""

    weights: int
    gradients: int
    slots: int
    activations: int
    """For the batch."""
    batch: int
    is_least: bool

    @property
    def fixed(self) -> int:
        """Return what any batch needs."""
        return self.weights + self.gradients + self.slots

    @property
    def total(self) -> int:
        """Return what this batch needs."""
        return self.fixed + self.activations

    def largest_batch(self, memory: int) -> int | None:
        """Return the most examples that a memory of so many bytes holds; None: any number."""
        free = memory - self.fixed
        if self.activations <= 0 and free >= 0:
            return None
        return max(0, free) * self.batch // max(1, self.activations)


def estimate(
    layers: Iterable[tuple[int, str]],
    trained: float,
    activations: int,
    *,
    slots: int,
    batch: int,
    is_least: bool,
) -> MemoryEstimate:
    """Return what training takes.

    `layers`: parameters and type of numbers of each. `trained`: the share of all parameters that
    training changes. `slots`: numbers that the optimizer keeps for each of these.
    """
    weights = sum(count * _BYTES * (_WIDE if dtype == "float64" else 1) for count, dtype in layers)
    gradients = round(weights * trained)
    return MemoryEstimate(weights, gradients, gradients * slots, activations, batch, is_least)
