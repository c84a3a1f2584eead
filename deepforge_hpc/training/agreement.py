"""What all ranks agree on before they begin: data, batches, and where they go on."""

from __future__ import annotations

import sys
from pathlib import Path

from deepforge_hpc.job import checkpoint_folder
from deepforge_hpc.training.checkpoints import Checkpoint, Checkpoints
from deepforge_hpc.training.errors import TrainingError
from deepforge_hpc.training.rank_batches import RankBatches
from deepforge_hpc.training.transports import Transport

CHECKPOINT_S = 600.0
"""Seconds between two checkpoints within an epoch."""


def folder_of(given: Checkpoints | str | Path | None) -> Checkpoints | None:
    """Return where checkpoints lie: as given, or the job's folder for them."""
    if isinstance(given, Checkpoints):
        return given
    folder = given or checkpoint_folder()
    return Checkpoints(folder) if folder else None


def newest_of(
    kept: Checkpoints | None, batches: RankBatches, transport: Transport
) -> Checkpoint | None:
    """Return rank 0's newest checkpoint, on every rank."""
    mine = kept.newest() if kept is not None and transport.rank == 0 else None
    for line in kept.skipped if kept is not None else ():
        sys.stderr.write(f"dfh: checkpoint skipped: {line}\n")
    found: Checkpoint | None = transport.gather(mine)[0]
    if found is not None and (there := found.state.get("data")) != (here := batches.describe()):
        names = [name for name in here if here[name] != dict(there or {}).get(name)]
        names = [name for name in names if name != "content"] or names
        differing = ", ".join(
            f"{n}: {dict(there or {}).get(n)} there, {here[n]} here" for n in names
        )
        raise TrainingError(
            f"the checkpoint {found.path} is of a training with other data or batches "
            f"({differing}), so its position says nothing here: remove the folder to begin anew"
        )
    if found is not None and transport.rank == 0:
        at = found.position
        sys.stderr.write(
            f"dfh: the training goes on at {at}, after {at.total} steps ({found.path})\n"
        )
    return found


def check_agreement(
    network: str,
    batches: RankBatches,
    validation: RankBatches | None,
    epochs: int,
    transport: Transport,
) -> None:
    """Raise the same TrainingError on all ranks if they are about to do different things.

    `network`: a digest of its layers. Ranks whose networks differ, or of which one alone validates,
    would wait for each other for ever, or take each other's numbers for theirs.
    """
    mine = {"the network": network, "epochs": epochs, **batches.describe()}
    if validation is not None:
        mine |= {f"validation {name}": value for name, value in validation.describe().items()}
    gathered = transport.gather(mine)
    for name in dict.fromkeys(name for item in gathered for name in item):
        values = [item.get(name) for item in gathered]
        if any(value != values[0] for value in values):
            said = ", ".join(f"rank {rank} has {value}" for rank, value in enumerate(values[:8]))
            raise TrainingError(
                f"the ranks disagree on {name}: {said}. All ranks must be given the same network "
                "and the same data; each takes its own part of every batch"
            )
