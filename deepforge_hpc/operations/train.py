"""Training of a network of Keras or PyTorch, the same on any number of ranks."""

from __future__ import annotations

import math
import sys
from typing import TYPE_CHECKING, Annotated, Any, Literal

from deepforge_hpc.training.errors import TrainingError

if TYPE_CHECKING:
    import h5py
    import keras
    import torch


class Train:
    """Trains a network of Keras or PyTorch on rows of an HDF5 file.

    The library of the network's file says which: Keras learns by its own `fit`, PyTorch by a plain
    loop. Names of the framework (optimizer, loss, metrics, callbacks, schedule) are `Name` or
    `{Name: {argument: value}}`; of a network with several outputs, loss, metrics and target may be
    given for each, by their names. `batch_size` counts the rows of all ranks. All random numbers
    follow from `seed`. A model of Keras is returned without an optimizer, and needs nothing of ours
    to be loaded; of a network of PyTorch its state_dict is, for a module is code.

    Args:
        dataset: the rows to learn from.
        validation: the rows to validate with; without it a part of the dataset's is kept for that.
        initial: a model, or a state_dict, whose weights this one begins with, where names and
            shapes agree.
        model: the network; and, as an output, what it has become: a model, or a state_dict.
        loss: of the framework; of PyTorch a mean over rows.
        target: data set of the labels; `{output: data set}`, or a group with one for each.
        inputs: `{network's input: data set}`, where the names differ.
        rows: data set that says which rows to use, as 0 and 1; all without it.
        epochs: how often all rows are seen.
        batch_size: rows of a step, on all ranks together.
        optimizer: of the framework.
        learning_rate: to begin with.
        learning_rate_batch: if given, the rate is multiplied by batch_size / learning_rate_batch.
        warmup_epochs: a line from 0 to the rate.
        schedule: of the framework, behind the warm-up.
        schedule_every: when a schedule of PyTorch goes on; by itself at the end of each epoch, but
            CyclicLR and OneCycleLR with each step. Those of Keras go on with each step.
        loss_weights: `{output: 0.5}`; 1 where none is given.
        metrics: of Keras; of PyTorch accuracy, mean_absolute_error and mean_squared_error.
        callbacks: of Keras alone.
        early_stopping: arguments of Keras' EarlyStopping, for both.
        keep: which epoch's weights are returned.
        augment: `flip` or `dihedral`, drawn by seed, epoch and row; of PyTorch the channels of an
            image come first.
        class_weight: `{"0": 2.0, "1": 1.0}`, of rows by their labels, in training.
        sample_weight: data set of the weights of rows.
        validation_split: share of the rows to validate with.
        precision: of what the layers compute with.
        accumulate: batches for each step of the optimizer.
        clip: `{global_clipnorm: 1.0}`, `clipnorm` or `clipvalue`, of the averaged gradients.
        synchronize: batch normalisation over the rows of all ranks.
        init_from: `hf://REPO@REV`, or for Keras `keras-app:NAME`: weights that others have trained.
        freeze: patterns of the places of layers that keep their weights, `encoder/conv*`.
        checkpoint_s: seconds between two checkpoints within an epoch.
        memory_gib: inputs up to this size are read into memory, others row by row.
        record: `gradients` and `activations`, logged of each layer and epoch; of Keras alone.
        seed: of all that is random.
        history: the numbers of each epoch.
        report: ranks, learning rate, weights that were loaded, layers that are frozen.

    Source: https://keras.io/api/models/model_training_apis (fit);
    https://docs.pytorch.org/docs/stable/optim.html; docs/training.md (several ranks).
    """

    def __init__(  # noqa: PLR0913, PLR0917 - the keys of a pipeline file
        self,
        model: keras.Model | torch.nn.Module,
        loss: Annotated[str | dict[str, Any], {"names": "@model:loss"}],
        target: str | dict[str, str] = "target",
        inputs: dict[str, str] | None = None,
        rows: str = "",
        epochs: Annotated[int, {"min": 1}] = 10,
        batch_size: Annotated[int, {"min": 1}] = 32,
        optimizer: Annotated[str | dict[str, Any], {"names": "@model:optimizer"}] = "Adam",
        learning_rate: Annotated[float, {"min": 0.0}] = 0.001,
        learning_rate_batch: Annotated[int, {"min": 0}] = 0,
        warmup_epochs: Annotated[float, {"min": 0.0}] = 0.0,
        schedule: Annotated[
            str | dict[str, Any] | None,
            {"names": "@model:schedule initial_learning_rate decay_steps T_max max_lr"},
        ] = None,
        schedule_every: Annotated[
            Literal["", "epoch", "step"], {"names": "@model:setting schedule_every"}
        ] = "",
        loss_weights: dict[str, float] | None = None,
        metrics: Annotated[
            list[str | dict[str, Any]] | dict[str, Any] | None, {"names": "@model:metric"}
        ] = None,
        callbacks: Annotated[
            list[str | dict[str, Any]] | None, {"names": "@model:callback"}
        ] = None,
        early_stopping: Annotated[
            dict[str, Any] | None, {"names": "@model:callback.EarlyStopping"}
        ] = None,
        keep: Literal["last", "best"] = "last",
        augment: Literal["", "flip", "dihedral"] = "",
        class_weight: dict[str, float] | None = None,
        sample_weight: str = "",
        validation_split: Annotated[float, {"min": 0.0, "max": 0.9}] = 0.1,
        precision: Literal["", "mixed_bfloat16", "mixed_float16"] = "",
        accumulate: Annotated[int, {"min": 1}] = 1,
        clip: dict[str, float] | None = None,
        synchronize: bool = False,
        init_from: Annotated[
            str,
            {
                "pattern": r"|keras-app:[A-Za-z0-9_]+"
                r"|hf://(?!.*\.\.)[\w.-]+(/[\w.-]+)?@[\w-][\w./-]*",
                "names": "@model:setting init_from",
            },
        ] = "",
        freeze: list[str] | None = None,
        checkpoint_s: Annotated[float, {"min": 0.0}] = 600.0,
        memory_gib: Annotated[float, {"min": 0.0}] = 1.0,
        record: Annotated[list[str] | None, {"names": "@model:setting record"}] = None,
        seed: Annotated[int, {"min": 0, "max": 4294967295}] = 0,
    ):
        clip, class_weight, loss_weights = clip or {}, class_weight or {}, loss_weights or {}
        odd = sorted(set(clip) - {"clipnorm", "global_clipnorm", "clipvalue"})
        if clip and odd:
            raise TrainingError(f"clip has {odd}; it takes clipnorm, global_clipnorm or clipvalue")
        odd = sorted(key for key in clip if not 0 < clip[key] < math.inf)
        if clip and odd:
            raise TrainingError(f"clip: {odd[0]} is {clip[odd[0]]:g}: a bound is a number above 0")
        odd = sorted(key for key in loss_weights if not 0 <= loss_weights[key] < math.inf)
        if loss_weights and odd:
            raise TrainingError(f"loss_weights: that of {odd[0]} is below 0, infinite or no number")
        odd = sorted(key for key in class_weight if not key.isdecimal())
        if class_weight and odd:
            raise TrainingError(
                f'class_weight: {odd[0]!r} is no class; write {{"0": 2.0, "1": 1.0}}'
            )
        odd = sorted(key for key in class_weight if not 0 <= class_weight[key] < math.inf)
        if class_weight and odd:
            raise TrainingError(
                f"class_weight: that of class {odd[0]} is below 0, infinite or no number"
            )
        if schedule_every and schedule is None:
            raise TrainingError(f"schedule_every: {schedule_every} of no schedule: name one")
        self.model, self.loss, self.metrics = model, loss, metrics or []
        self.loss_weights = loss_weights
        self.target, self.inputs, self.rows = target, inputs or {}, rows
        self.sample_weight, self.class_weight = sample_weight, class_weight
        self.epochs, self.batch_size, self.seed = epochs, batch_size, seed
        self.optimizer, self.learning_rate, self.schedule = optimizer, learning_rate, schedule
        self.schedule_every = schedule_every
        self.learning_rate_batch, self.warmup_epochs = learning_rate_batch, warmup_epochs
        self.accumulate, self.clip, self.precision = accumulate, clip, precision
        self.callbacks, self.early_stopping, self.keep = callbacks or [], early_stopping, keep
        self.augment, self.validation_split, self.synchronize = (
            augment, validation_split, synchronize,
        )  # fmt: skip
        self.record = record or []
        self.init_from = init_from
        self.freeze, self.checkpoint_s, self.memory_gib = freeze or [], checkpoint_s, memory_gib

    def execute(
        self,
        dataset: h5py.File,
        validation: h5py.File | None = None,
        initial: Annotated[object, {"trained": "model"}] = None,
    ) -> tuple[
        Annotated[object, {"trained": "model"}],
        Annotated[dict[str, Any], "extra"],
        Annotated[dict[str, Any], "extra"],
    ]:
        """Return what the network has become, its history, and what was done."""
        if initial is not None and self.init_from:
            raise TrainingError("init_from and the input initial both say what to begin with")
        keeps_none = validation is None and not self.validation_split
        if self.early_stopping is not None and keeps_none and "monitor" not in self.early_stopping:
            raise TrainingError(
                "early_stopping watches val_loss, and no rows are kept to validate with: set "
                "validation_split, give the input validation, or say {monitor: loss}"
            )
        if is_of_keras(self.model):
            from deepforge_hpc.operations import training

            model, history, report = training.train(self, dataset, validation, initial)
        else:
            from deepforge_hpc.operations import torch_training

            model, history, report = torch_training.train(self, dataset, validation, initial)
        return model, history, report


def is_of_keras(model: object) -> bool:
    """Tell whether a network is one of Keras, which on PyTorch is a module of that too."""
    keras = sys.modules.get("keras")
    return keras is not None and isinstance(model, keras.Model)
