"""What a network must beat: simple predictions on the same galaxies."""

from __future__ import annotations

import h5py
import numpy as np

from operations.evaluate import residuals, sigma_mad
from operations.images import LEVELS, SKY_NOISE, ZERO
from operations.progress import log


class Baselines:
    """Measures sigma_mad of the mean redshift, and of extra trees on three sets of numbers.

    The catalogue's magnitudes and their colours; those with their errors; the sums of the rendered
    pixels as magnitudes, with colours: the same galaxies as the network sees, without their shape.
    """

    def __init__(self, trees: int = 200, seed: int = 32):
        self.trees = trees
        self.seed = seed

    def execute(self, table: h5py.File, dataset: h5py.File) -> dict:
        redshift, train = table["redshift"][:], table["train"][:] == 1
        magnitudes, errors = table["magnitudes"][:], table["errors"][:]
        summed = self.magnitudes(dataset)
        mean = np.full(np.count_nonzero(~train), redshift[train].mean())
        baselines = {
            "mean": sigma_mad(residuals(mean, redshift[~train])),
            "pixel_sums": self.trees_on(with_colours(summed), redshift, train),
            "magnitudes": self.trees_on(with_colours(magnitudes), redshift, train),
            "magnitudes_and_errors": self.trees_on(
                np.concatenate([with_colours(magnitudes), errors], axis=1), redshift, train
            ),
        }
        log(**baselines)
        return baselines

    def magnitudes(self, dataset: h5py.File) -> np.ndarray:
        """Return the magnitudes of whole cutouts: (n, 5)."""
        pixels = dataset["pixels"]
        sums = [
            (np.sinh((pixels[i : i + 500].astype(float) - ZERO) / LEVELS) * SKY_NOISE).sum((1, 2))
            for i in range(0, len(pixels), 500)
        ]
        return 22.5 - 2.5 * np.log10(np.maximum(np.concatenate(sums), 1e-3))

    def trees_on(self, features: np.ndarray, redshift: np.ndarray, train: np.ndarray) -> float:
        from sklearn.ensemble import ExtraTreesRegressor

        trees = ExtraTreesRegressor(self.trees, random_state=self.seed, n_jobs=-1)
        trees.fit(features[train], redshift[train])
        return sigma_mad(residuals(trees.predict(features[~train]), redshift[~train]))


def with_colours(magnitudes: np.ndarray) -> np.ndarray:
    """Return magnitudes and the differences of neighbouring bands."""
    return np.concatenate([magnitudes, magnitudes[:, :-1] - magnitudes[:, 1:]], axis=1)
