"""What PyTorch draws from its own generators, which are no variables of a network."""

from __future__ import annotations

import numpy as np
import torch

from deepforge_hpc.training.transports import Transport


class Draws:
    """Random numbers that seed, rank and step alone decide, on each device.

    A Dropout of torch draws from them, and one of Keras on torch that has no seed of its own. They
    begin anew with each step: whoever draws between steps, as a DataLoader does that begins, moves
    none of them, and of a training that goes on only the seed need be known.
    """

    def __init__(self, transport: Transport) -> None:
        self._rank = transport.rank
        self.seed: int = transport.gather(torch.initial_seed())[0]
        # Where there is nothing but the processor, the seed for what is not there would take longer
        # than a small step: PyTorch notes a traceback each time.
        alone = hasattr(torch, "accelerator") and not torch.accelerator.is_available()
        self._begin = torch.default_generator.manual_seed if alone else torch.manual_seed

    def begin(self, step: int) -> None:
        """Draw what belongs to a step, counted over all epochs."""
        words = np.random.SeedSequence([self.seed, self._rank, step]).generate_state(2)
        self._begin(int.from_bytes(words.tobytes(), "little"))
