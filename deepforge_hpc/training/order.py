"""One order of the rows for all ranks, which seed and epoch alone decide."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from deepforge_hpc.training.errors import TrainingError


@dataclass(frozen=True)
class Order:
    """Which rows are in which batch, and which of these are whose.

    A global batch is `batch_size` positions of the epoch's order; rank r takes r, r + N, ... of
    them. So all ranks have equally many batches of equally many rows, and N does not decide what is
    learnt. In training, rows that fill no batch wait for another epoch; without `shuffle` the order
    is that of the rows, and the last batch is what is left.
    """

    rows: int
    batch_size: int
    seed: int = 0
    shuffle: bool = True
    rank: int = 0
    ranks: int = 1

    def __post_init__(self) -> None:
        if self.seed < 0:
            raise TrainingError(f"seed {self.seed}: it must be 0 or more")
        if self.batch_size < 1 or self.batch_size % self.ranks:
            near = max(1, round(self.batch_size / self.ranks)) * self.ranks
            raise TrainingError(
                f"batch_size {self.batch_size} counts the rows of all {self.ranks} ranks together, "
                f"and cannot be shared out evenly: {near} can"
            )
        least = self.batch_size if self.shuffle else self.ranks
        if self.rows < least:
            what = f"a batch of {least}" if self.shuffle else f"{least} ranks"
            raise TrainingError(f"there are {self.rows} rows, too few for {what}")

    @property
    def steps(self) -> int:
        """Return the number of this rank's batches in an epoch."""
        whole, left = divmod(self.rows, self.batch_size)
        return whole if self.shuffle else whole + (left > self.rank)

    def epoch(self, epoch: int) -> Any:
        """Return the row numbers in the order of an epoch."""
        import numpy as np

        if not self.shuffle:
            return np.arange(self.rows)
        return np.random.default_rng([self.seed, epoch]).permutation(self.rows)

    def positions(self, step: int) -> slice:
        """Return which positions of the order are this rank's in a step."""
        start = step * self.batch_size
        return slice(start + self.rank, min(start + self.batch_size, self.rows), self.ranks)
