"""Figures: predictions, and the network's features in three dimensions."""

from __future__ import annotations

from typing import Annotated

import h5py
import matplotlib.pyplot as plt
import numpy as np

from operations.evaluate import OUTLIER, residuals, sigma_mad


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
        """Draw all galaxies: the predictions, and how far they are off."""
        dz = residuals(predicted, redshift)
        figure = plt.figure("Redshifts", figsize=(6, 7.6), layout="constrained")
        upper, lower = figure.subplots(2, 1, sharex=True, height_ratios=[3, 1])
        limit = float(max(redshift.max(), predicted.max())) * 1.05
        line = np.array([0, limit])
        far = np.abs(dz) > OUTLIER
        groups = ((~far, "tab:blue", 0.35, "galaxies"), (far, "tab:red", 0.8, "outliers"))
        for axes, values in ((upper, predicted), (lower, dz)):
            for chosen, colour, alpha, name in groups:
                axes.scatter(
                    redshift[chosen], values[chosen], s=5, color=colour, alpha=alpha, linewidths=0,
                    label=f"{np.count_nonzero(chosen):,} {name}", rasterized=True,
                )  # fmt: skip
        style = {"color": "0.3", "linewidth": 0.8}
        for offset, dashes in ((-OUTLIER, "--"), (0, "-"), (OUTLIER, "--")):
            upper.plot(line, line + offset * (1 + line), linestyle=dashes, **style)
            lower.axhline(offset, linestyle=dashes, **style)
        title = f"{len(redshift):,} test galaxies, sigma_mad = {sigma_mad(dz):.4f}"
        upper.set(title=title, ylabel="predicted redshift", xlim=(0, limit), ylim=(0, limit))
        lower.set(xlabel="spectroscopic redshift z", ylim=(-0.15, 0.15))
        lower.set_ylabel(r"$\Delta z\,/\,(1 + z)$")
        upper.legend(loc="upper left", markerscale=3, frameon=False)

    def distributions(self, predictions: h5py.File, dataset: h5py.File, chosen: np.ndarray) -> None:
        """Draw some galaxies with the probability of their redshifts."""
        bins, limit = predictions["pdf"].shape[1], float(predictions.attrs["max_redshift"])
        centres = (np.arange(bins) + 0.5) * limit / bins
        columns = int(np.ceil(np.sqrt(len(chosen))))
        lines = int(np.ceil(len(chosen) / columns))
        figure = plt.figure(
            "Distributions", figsize=(3.2 * columns, 2.6 * lines), layout="constrained"
        )
        figure.suptitle("Probability of the redshift of some test galaxies")
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


class VisualizeEmbeddings:
    """Draws the reduced features in 3D, coloured by redshift."""

    def execute(self, embeddings: h5py.File) -> None:
        figure = plt.figure("Embeddings", figsize=(7, 5.6), layout="constrained")
        axes = figure.add_subplot(projection="3d")
        points = embeddings["points"][:]
        shown = axes.scatter(*points.T, c=embeddings["redshift"][:], s=12, cmap="viridis")
        axes.set_title(f"{len(points):,} test galaxies as the network sees them (t-SNE)")
        # Only neighbourhood has a meaning in these coordinates: no numbers.
        axes.set(xticklabels=[], yticklabels=[], zticklabels=[])
        axes.set_box_aspect((4, 4, 3), zoom=1.1)
        figure.colorbar(shown, label="spectroscopic redshift", shrink=0.8)
        plt.show()
