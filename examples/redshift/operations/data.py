"""Batches of images for training and for prediction."""

from __future__ import annotations

import h5py
import keras
import numpy as np


def rows_of(dataset: h5py.File, name: str, wanted: np.ndarray) -> np.ndarray:
    """Return the wanted rows (sorted numbers) of an array, read as one block: lists are slow."""
    first, last = int(wanted[0]), int(wanted[-1])
    return dataset[name][first : last + 1][wanted - first]


def inputs_of(model: keras.Model, dataset: h5py.File, wanted: np.ndarray) -> list[np.ndarray]:
    """Return the arrays that a model's inputs name."""
    absent = [item.name for item in model.inputs if item.name not in dataset]
    if absent:
        message = f"the network has the inputs {', '.join(absent)}, and the dataset has not"
        raise KeyError(message)
    return [rows_of(dataset, item.name, wanted) for item in model.inputs]


def turned(images: np.ndarray, turn: int) -> np.ndarray:
    """Return images (n, rows, columns, bands) in one of the 8 orientations of a square."""
    if turn >= 4:
        images = images[:, ::-1]
    return np.rot90(images, turn % 4, axes=(1, 2))


class Batches(keras.utils.PyDataset):
    """Shuffled batches, each image turned and mirrored at random.

    The order and the orientations are those of the whole batch, of which each rank takes its part:
    what is learnt does not depend on the number of ranks, and all have equally many batches.
    """

    def __init__(
        self,
        arrays: list[np.ndarray],
        labels: np.ndarray,
        *,
        batch_size: int,
        seed: int,
        augment: bool,
        rank: int = 0,
        ranks: int = 1,
    ):
        super().__init__()
        if batch_size % ranks or batch_size > len(labels):
            message = f"batch_size {batch_size} must be a multiple of the {ranks} ranks"
            raise ValueError(f"{message} and at most the {len(labels)} training galaxies")
        self.arrays, self.labels = arrays, labels
        self.batch_size, self.part = batch_size, batch_size // ranks
        self.rank, self.seed, self.augment = rank, seed, augment
        self.epoch = 0
        self.shuffle()

    def shuffle(self) -> None:
        """Draw the order and the orientations of an epoch."""
        rng = np.random.default_rng([self.seed, self.epoch])
        self.order = rng.permutation(len(self.labels))
        self.turns = rng.integers(0, 8 if self.augment else 1, size=len(self.labels))

    def on_epoch_end(self) -> None:
        self.epoch += 1
        self.shuffle()

    def __len__(self) -> int:
        return len(self.labels) // self.batch_size

    def __getitem__(self, index: int) -> tuple[tuple[np.ndarray, ...], np.ndarray]:
        start = index * self.batch_size + self.rank * self.part
        places = slice(start, start + self.part)
        chosen, turns = self.order[places], self.turns[places]
        arrays = tuple(self.pick(array, chosen, turns) for array in self.arrays)
        return (arrays if len(arrays) > 1 else arrays[0]), self.labels[chosen]

    def pick(self, array: np.ndarray, chosen: np.ndarray, turns: np.ndarray) -> np.ndarray:
        """Return the chosen rows, the images among them turned."""
        picked = array[chosen]
        if array.ndim == 4:
            for turn in range(1, 8):
                same = turns == turn
                if same.any():
                    picked[same] = turned(picked[same], turn)
        return picked
