"""What the network has learnt to tell apart."""

from __future__ import annotations

from typing import Annotated

import h5py
import keras
import numpy as np

from operations.data import inputs_of


class ReduceDimensions:
    """Reduces the network's features of some test galaxies to three dimensions by t-SNE.

    The time grows with the square of their number: 500 take 10 s on one core.
    """

    def __init__(
        self, galaxies: Annotated[int, {"min": 50}] = 500, perplexity: float = 30, seed: int = 32
    ):
        self.galaxies = galaxies
        self.perplexity = perplexity
        self.seed = seed

    def execute(self, model: keras.Model, dataset: h5py.File):
        from sklearn.manifold import TSNE

        rows = np.flatnonzero(dataset["train"][:] == 0)
        rng = np.random.default_rng(self.seed)
        rows = np.sort(rng.permutation(rows)[: self.galaxies])
        network = keras.Model(model.inputs, model.layers[-2].output)
        arrays = inputs_of(model, dataset, rows)
        features = network.predict(arrays if len(arrays) > 1 else arrays[0], verbose=0)
        features = features.reshape(len(rows), -1)
        reducer = TSNE(
            3, perplexity=self.perplexity, init="pca", method="exact", max_iter=500,
            random_state=self.seed,
        )  # fmt: skip
        embeddings = {
            "points": reducer.fit_transform(features).astype(np.float32),
            "redshift": dataset["redshift"][:][rows],
            "row": rows,
        }
        return embeddings
