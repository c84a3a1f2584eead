"""Training of a PyTorch network, the same on any number of ranks."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, Literal

if TYPE_CHECKING:
    import h5py
    import torch


class TrainTorch:
    """Trains a PyTorch network on rows of an HDF5 file, by a plain loop.

    Names of PyTorch (loss, optimizer, schedule) are `Name` or `{Name: {argument: value}}`.
    `batch_size` counts the rows of all ranks. All random numbers follow from `seed`.

    Args:
        dataset: the rows to learn from.
        validation: the rows to validate with; without it a part of the dataset's is kept for that.
        initial: weights to begin with, by the names of the network's state_dict.
        model: the network, of an architecture file.
        loss: of torch.nn, a mean over rows.
        target: data set of the labels: whole numbers for classes.
        inputs: `{network's input: data set}`, where the names differ.
        epochs: how often all rows are seen.
        batch_size: rows of a step, on all ranks together.
        optimizer: of torch.optim.
        learning_rate: lr, unless the optimizer has its own.
        schedule: of torch.optim.lr_scheduler.
        schedule_every: when the schedule goes on.
        metrics: what is told of each epoch besides the loss.
        augment: `flip` or `dihedral`, drawn by seed, epoch and row.
        validation_split: share of the rows to validate with.
        accumulate: batches for each step of the optimizer.
        clip_norm: bound of the norm of the averaged gradients; 0 is none.
        checkpoint_s: seconds between two checkpoints within an epoch.
        seed: of all that is random.
        weights: what the network has learnt, its state_dict.
        history: the numbers of each epoch.
        report: ranks, transport, steps and rows.

    Source: https://docs.pytorch.org/docs/stable/optim.html; docs/training.md (several ranks).
    """

    def __init__(  # noqa: PLR0913, PLR0917 - the keys of a pipeline file
        self,
        model: torch.nn.Module,
        loss: Annotated[str | dict[str, Any], {"names": "torch:loss"}],
        target: str = "target",
        inputs: dict[str, str] | None = None,
        epochs: Annotated[int, {"min": 1}] = 10,
        batch_size: Annotated[int, {"min": 1}] = 32,
        optimizer: Annotated[str | dict[str, Any], {"names": "torch:optimizer"}] = "Adam",
        learning_rate: Annotated[float, {"min": 0.0}] = 0.001,
        schedule: Annotated[str | dict[str, Any] | None, {"names": "torch:schedule"}] = None,
        schedule_every: Literal["epoch", "step"] = "epoch",
        metrics: list[str] | None = None,
        augment: Literal["", "flip", "dihedral"] = "",
        validation_split: Annotated[float, {"min": 0.0, "max": 0.9}] = 0.1,
        accumulate: Annotated[int, {"min": 1}] = 1,
        clip_norm: Annotated[float, {"min": 0.0}] = 0.0,
        checkpoint_s: Annotated[float, {"min": 0.0}] = 600.0,
        seed: Annotated[int, {"min": 0, "max": 4294967295}] = 0,
    ):
        self.model, self.loss, self.target, self.inputs = model, loss, target, inputs or {}
        self.epochs, self.batch_size, self.seed = epochs, batch_size, seed
        self.optimizer, self.learning_rate, self.schedule = optimizer, learning_rate, schedule
        self.schedule_every, self.metrics, self.augment = schedule_every, metrics or [], augment
        self.validation_split, self.accumulate = validation_split, accumulate
        self.clip_norm, self.checkpoint_s = clip_norm, checkpoint_s

    def execute(
        self,
        dataset: h5py.File,
        validation: h5py.File | None = None,
        initial: dict[str, torch.Tensor] | None = None,
    ) -> tuple[
        dict[str, torch.Tensor],
        Annotated[dict[str, Any], "extra"],
        Annotated[dict[str, Any], "extra"],
    ]:
        """Return what the network has learnt, its history, and what was done."""
        from deepforge_hpc.operations import torch_training

        weights, history, report = torch_training.train(self, dataset, validation, initial)
        return weights, history, report
