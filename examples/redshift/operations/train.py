"""Training: redshift as a classification over bins."""

from __future__ import annotations

from typing import Annotated

import h5py
import keras
import matplotlib.pyplot as plt
import numpy as np

from operations.bins import labels
from operations.data import Batches, inputs_of, rows_of
from operations.distributed import ranks
from operations.progress import log


class TrainValidate:
    """Trains a network with cross-entropy, and watches its loss on galaxies it does not learn from.

    `batch_size` counts the galaxies of all ranks together, and all random numbers follow from
    `seed`: the result does not depend on the number of ranks, but for rounding. The learning rate
    falls to zero along a cosine. `binning` is what a prediction must know: the redshifts of the
    network's classes.
    """

    def __init__(
        self,
        model: keras.Model,
        epochs: Annotated[int, {"min": 1}] = 10,
        batch_size: Annotated[int, {"min": 1}] = 32,
        bins: Annotated[int, {"min": 2}] = 32,
        max_redshift: float = 0.4,
        learning_rate: float = 0.001,
        validation_split: Annotated[float, {"min": 0.0, "max": 0.9}] = 0.1,
        seed: int = 32,
        augment: bool = True,
    ):
        self.model = model
        self.epochs = epochs
        self.batch_size = batch_size
        self.bins = bins
        self.max_redshift = max_redshift
        self.learning_rate = learning_rate
        self.validation_split = validation_split
        self.seed = seed
        self.augment = augment

    def execute(self, dataset: h5py.File) -> tuple[keras.Model, dict, dict]:
        team = ranks()
        keras.utils.set_random_seed(self.seed)
        model = keras.models.clone_model(self.model)  # fresh weights, drawn from our seed
        if model.output_shape[-1] != self.bins:
            message = f"the network has {model.output_shape[-1]} outputs for {self.bins} bins"
            raise ValueError(message)
        training, validation = self.split(dataset, team.ranks)
        batches = Batches(
            inputs_of(model, dataset, training),
            self.labels(dataset, training),
            batch_size=self.batch_size,
            seed=self.seed,
            augment=self.augment,
            rank=team.rank,
            ranks=team.ranks,
        )
        decay = keras.optimizers.schedules.CosineDecay(
            self.learning_rate, len(batches) * self.epochs
        )
        model.compile(
            optimizer=team.optimizer("Adam", learning_rate=decay),
            loss="sparse_categorical_crossentropy",
            jit_compile=False,  # XLA has no Horovod operations
        )
        record = model.fit(
            batches,
            epochs=self.epochs,
            validation_data=self.validation(model, dataset, validation[team.rank :: team.ranks]),
            callbacks=[*team.callbacks(), *([ShowProgress()] if team.rank == 0 else [])],
            verbose=0,
        )
        history = {name: [float(x) for x in values] for name, values in record.history.items()}
        # Without the optimizer: smaller, and nothing of this file is needed to load it.
        trained = keras.models.clone_model(self.model)
        trained.set_weights(model.get_weights())
        model = trained
        binning = {"bins": self.bins, "max_redshift": self.max_redshift}
        return model, history, binning

    def split(self, dataset: h5py.File, ranks: int) -> tuple[np.ndarray, np.ndarray]:
        """Return the rows to learn from and those to validate with, equally many for each rank."""
        rows = np.flatnonzero(dataset["train"][:])
        mixed = np.random.default_rng(self.seed).permutation(rows)
        count = int(len(rows) * self.validation_split) // ranks * ranks
        return np.sort(mixed[count:]), np.sort(mixed[:count])

    def labels(self, dataset: h5py.File, rows: np.ndarray) -> np.ndarray:
        return labels(rows_of(dataset, "redshift", rows), self.bins, self.max_redshift)

    def validation(self, model: keras.Model, dataset: h5py.File, rows: np.ndarray):
        """Return what Keras wants as validation data; None if no rows are kept for it."""
        if not len(rows):
            return None
        arrays = inputs_of(model, dataset, rows)
        return (arrays if len(arrays) > 1 else arrays[0]), self.labels(dataset, rows)


class ShowProgress(keras.callbacks.Callback):
    """Logs the metrics of each epoch and draws the loss."""

    def on_train_begin(self, logs=None):  # noqa: ARG002 - Keras's signature
        self.losses = {}

    def on_epoch_end(self, epoch, logs=None):
        log(step=epoch + 1, **{name: float(value) for name, value in (logs or {}).items()})
        for name in ("loss", "val_loss"):
            if name in (logs or {}):
                self.losses.setdefault(name, []).append(float(logs[name]))
        figure = plt.figure("Loss", clear=True, layout="constrained")
        axes = figure.subplots()
        for name, values in self.losses.items():
            words = "validation" if name == "val_loss" else "training"
            axes.plot(range(1, len(values) + 1), values, marker="o", label=words)
        axes.set(title="Loss", xlabel="epoch", ylabel="cross-entropy")
        axes.xaxis.get_major_locator().set_params(integer=True)
        axes.legend()
        figure.canvas.draw()
