"""What a network must beat: simple predictions of the same galaxies."""

from __future__ import annotations

import h5py
import numpy as np

from operations.images import decode


class Baseline:
    """Predicts redshifts by extra trees on a few numbers of each galaxy, or by the mean of all.

    Args:
        dataset: the cutouts.
        columns: what the trees are given: of the first one the colours too, differences of
            neighbouring bands; of images their summed pixels, as magnitudes. None: the mean
            redshift for all.
        trees: how many.
        seed: of the trees.
        predictions: of the galaxies that nobody learnt from.

    Source: Geurts, Ernst, Wehenkel 2006, Mach. Learn. 63, 3; sklearn.ensemble.ExtraTreesRegressor.
    """

    def __init__(self, columns: list[str], trees: int = 200, seed: int = 32):
        self.columns, self.trees, self.seed = columns, trees, seed

    def execute(self, dataset: h5py.File) -> h5py.File:
        redshift, train = dataset["redshift"][:], dataset["train"][:] == 1
        predictions = {
            "row": dataset["row"][:][~train],
            "redshift": redshift[~train],
            "predicted": self.predicted(dataset, redshift, train),
        }
        return predictions

    def predicted(self, dataset: h5py.File, redshift: np.ndarray, train: np.ndarray) -> np.ndarray:
        """Return the redshifts of the galaxies that are not to learn from."""
        if not self.columns:
            return np.full(np.count_nonzero(~train), redshift[train].mean())
        from sklearn.ensemble import ExtraTreesRegressor

        first, *others = (numbers_of(dataset, name) for name in self.columns)
        features = np.concatenate([with_colours(first), *others], axis=1)
        trees = ExtraTreesRegressor(self.trees, random_state=self.seed, n_jobs=-1)
        return trees.fit(features[train], redshift[train]).predict(features[~train])


def numbers_of(dataset: h5py.File, name: str) -> np.ndarray:
    """Return some numbers of each galaxy: of images the magnitudes of whole cutouts."""
    item = dataset[name]
    if item.ndim < 4:
        return item[:]
    noise = dataset.attrs["noise"]
    sums = [decode(item[i : i + 500], noise).sum((1, 2)) for i in range(0, len(item), 500)]
    return 22.5 - 2.5 * np.log10(np.maximum(np.concatenate(sums), 1e-3))


def with_colours(magnitudes: np.ndarray) -> np.ndarray:
    """Return magnitudes and the differences of neighbouring bands."""
    return np.concatenate([magnitudes, magnitudes[:, :-1] - magnitudes[:, 1:]], axis=1)
