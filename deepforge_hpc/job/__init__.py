"""What code of a job asks of it, in any framework; without a job it is one rank that keeps nothing.

In a job this package lies in `code/library` as source, so it uses the standard library alone.
"""

from __future__ import annotations

from deepforge_hpc.job.checkpoint import checkpoint_folder
from deepforge_hpc.job.metrics import log
from deepforge_hpc.job.ranks import Rank, RanksError, ranks
from deepforge_hpc.job.stop import StopRequest, stopping

__all__ = [
    "Rank",
    "RanksError",
    "StopRequest",
    "checkpoint_folder",
    "log",
    "ranks",
    "stopping",
]
