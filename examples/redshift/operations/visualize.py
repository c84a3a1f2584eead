"""Figures: predictions, and the network's features in three dimensions."""

from __future__ import annotations

from typing import Annotated

import h5py
import matplotlib.pyplot as plt
import numpy as np

from operations.evaluate import residuals, sigma_mad


class VisualizePredictions:
    """Draws predicted against true redshifts, and galaxies with their distributions."""

    def __init__(self, galaxies: Annotated[int, {"min": 1, "max": 48}] = 9, seed: int = 32):
        self.galaxies = galaxies
        self.seed = seed

    def execute(self, predictions: h5py.File, dataset: h5py.File) -> None:
        redshift, predicted = predictions["redshift"][:], predictions["predicted"][:]
        self.scatter(redshift, predicted)
        rng = np.random.default_rng(self.seed)
        count = min(self.galaxies, len(redshift))
        self.distributions(predictions, dataset, np.sort(rng.permutation(len(redshift))[:count]))
        plt.show()

    def scatter(self, redshift: np.ndarray, predicted: np.ndarray) -> None:
        """Draw all galaxies."""
        width = sigma_mad(residuals(predicted, redshift))
        figure = plt.figure("Redshifts", figsize=(6, 6))
        axes = figure.subplots()
        limit = float(max(redshift.max(), predicted.max())) * 1.05
        axes.plot([0, limit], [0, limit], color="0.6", linewidth=1)
        axes.scatter(redshift, predicted, s=3, alpha=0.4, linewidths=0, rasterized=True)
        title = f"{len(redshift):,} galaxies, sigma_mad = {width:.4f}"
        axes.set(title=title, xlabel="spectroscopic redshift", ylabel="predicted redshift")
        axes.set(xlim=(0, limit), ylim=(0, limit), aspect="equal")

    def distributions(self, predictions: h5py.File, dataset: h5py.File, chosen: np.ndarray) -> None:
        """Draw some galaxies with the probability of their redshifts."""
        bins, limit = predictions["pdf"].shape[1], float(predictions.attrs["max_redshift"])
        centres = (np.arange(bins) + 0.5) * limit / bins
        columns = int(np.ceil(np.sqrt(len(chosen))))
        lines = int(np.ceil(len(chosen) / columns))
        figure = plt.figure("Distributions", figsize=(3.2 * columns, 2.6 * lines))
        grid = figure.subplots(lines, columns, squeeze=False).ravel()
        for axes, place in zip(grid, chosen, strict=False):
            true, found = predictions["redshift"][place], predictions["predicted"][place]
            axes.fill_between(centres, predictions["pdf"][place], step="mid", alpha=0.4)
            axes.axvline(true, color="tab:green", label="true")
            axes.axvline(found, color="tab:red", linestyle="--", label="predicted")
            axes.set_title(f"z = {true:.3f}, found {found:.3f}", fontsize=9)
            axes.set_yticks([])
            picture = axes.inset_axes([0.68, 0.5, 0.3, 0.48])
            picture.imshow(dataset["pixels"][predictions["row"][place]][..., [3, 2, 1]])
            picture.set_axis_off()
        for axes in grid[len(chosen) :]:
            axes.set_axis_off()
        grid[0].legend(fontsize=7, loc="lower right")
        for axes in grid[max(0, len(chosen) - columns) : len(chosen)]:
            axes.set_xlabel("redshift")
        figure.tight_layout()


class VisualizeEmbeddings:
    """Draws the reduced features in 3D, coloured by redshift."""

    def execute(self, embeddings: h5py.File) -> None:
        figure = plt.figure("Embeddings", figsize=(7, 6))
        axes = figure.add_subplot(projection="3d")
        points = embeddings["points"][:]
        shown = axes.scatter(*points.T, c=embeddings["redshift"][:], s=6, cmap="viridis")
        axes.set_title(f"{len(points):,} galaxies as the network sees them (t-SNE)")
        figure.colorbar(shown, label="spectroscopic redshift", shrink=0.7)
        plt.show()
