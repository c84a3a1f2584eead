"""Parts for a training on any number of ranks, around Keras' own `fit` or the loop of `pytorch`.

Imports no framework before one of the names is used.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from deepforge_hpc.training.augment import dihedral, flip
    from deepforge_hpc.training.batches import Batches
    from deepforge_hpc.training.checkpoints import Checkpoints
    from deepforge_hpc.training.errors import TrainingError
    from deepforge_hpc.training.fitting import fit
    from deepforge_hpc.training.normalization import (
        SynchronizedBatchNormalization,
        synchronize_batch_normalization,
    )
    from deepforge_hpc.training.optimizer import distributed
    from deepforge_hpc.training.order import Order
    from deepforge_hpc.training.rank_batches import RankBatches
    from deepforge_hpc.training.synchronize import Synchronize, evaluate
    from deepforge_hpc.training.transports import Transport, connect

_HOMES = {
    "Batches": "batches",
    "Checkpoints": "checkpoints",
    "Order": "order",
    "RankBatches": "rank_batches",
    "SynchronizedBatchNormalization": "normalization",
    "Synchronize": "synchronize",
    "TrainingError": "errors",
    "Transport": "transports",
    "connect": "transports",
    "dihedral": "augment",
    "distributed": "optimizer",
    "evaluate": "synchronize",
    "fit": "fitting",
    "flip": "augment",
    "synchronize_batch_normalization": "normalization",
}

__all__ = [
    "Batches",
    "Checkpoints",
    "Order",
    "RankBatches",
    "Synchronize",
    "SynchronizedBatchNormalization",
    "TrainingError",
    "Transport",
    "connect",
    "dihedral",
    "distributed",
    "evaluate",
    "fit",
    "flip",
    "synchronize_batch_normalization",
]


def _homes() -> None:
    """Name what `__getattr__` imports, for who freezes the code of a job by its imports."""
    from deepforge_hpc.training import (  # noqa: F401
        augment,
        batches,
        checkpoints,
        errors,
        fitting,
        normalization,
        optimizer,
        order,
        rank_batches,
        synchronize,
        transports,
    )


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    found = getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
    globals()[name] = found
    return found
