"""Prediction: from cutouts to the probability of each redshift bin."""

from __future__ import annotations

from typing import Annotated

import h5py
import keras
import numpy as np

from operations.bins import expectation
from operations.data import inputs_of, turned


class Predict:
    """Predicts the test galaxies; the redshift is the expectation of the distribution.

    With `orientations` of 2 to 8 the distributions of so many turned and mirrored images of each
    galaxy are averaged. `row` of the predictions is the galaxy's place in the dataset.
    """

    def __init__(
        self,
        batch_size: Annotated[int, {"min": 1}] = 250,
        orientations: Annotated[int, {"min": 1, "max": 8}] = 1,
    ):
        self.batch_size = batch_size
        self.orientations = orientations

    def execute(self, model: keras.Model, binning: dict, dataset: h5py.File):
        rows = np.flatnonzero(dataset["train"][:] == 0)
        parts = [
            self.distribution(model, dataset, rows[start : start + self.batch_size])
            for start in range(0, len(rows), self.batch_size)
        ]
        pdf = np.concatenate(parts)
        predictions = {
            "row": rows,
            "redshift": dataset["redshift"][:][rows],
            "predicted": expectation(pdf, binning["max_redshift"]).astype(np.float32),
            "pdf": pdf,
            "@max_redshift": binning["max_redshift"],
        }
        return predictions

    def distribution(self, model: keras.Model, dataset: h5py.File, rows: np.ndarray) -> np.ndarray:
        """Return the mean distribution over the orientations: (len(rows), bins)."""
        arrays = inputs_of(model, dataset, rows)
        found = []
        for turn in range(self.orientations):
            views = [turned(a, turn) if a.ndim == 4 else a for a in arrays]
            found.append(model.predict_on_batch(views if len(views) > 1 else views[0]))
        return np.mean(found, axis=0, dtype=np.float64).astype(np.float32)
