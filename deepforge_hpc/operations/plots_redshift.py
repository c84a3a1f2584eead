"""Figures of predicted redshifts and of their distributions."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import numpy as np

from deepforge_hpc.operations.errors import OperationError, pyplot
from deepforge_hpc.operations.numbers import pit, sigma_mad
from deepforge_hpc.operations.predictions import complete, densities, redshift_errors
from deepforge_hpc.operations.tables import column, columns, numbers, read, values

if TYPE_CHECKING:
    import h5py


_CORNER = {"ha": "right", "va": "top", "fontsize": 8}


class PlotRedshifts:
    """Draws predicted against true redshifts, and dz = (predicted - true) / (1 + true).

    Args:
        predictions: a table with a row for each object.
        truth: column of the true redshifts.
        prediction: column of the predicted ones.
        outlier: |dz| above which an object is one.

    Source: Pasquet et al. 2019, A&A 621, A26, section 4.

    >>> table = {"redshift": np.array([0.1, 0.3]), "predicted": np.array([0.1, 0.43])}
    >>> PlotRedshifts().execute(table)
    """

    def __init__(
        self,
        truth: str = "redshift",
        prediction: str = "predicted",
        outlier: Annotated[float, {"min": 0.0}] = 0.05,
    ):
        if truth == prediction:
            raise OperationError(f"truth and prediction are one column, {truth!r}: name both")
        self.truth, self.prediction, self.outlier = truth, prediction, outlier

    def execute(self, predictions: h5py.File) -> None:
        given = {name: numbers(predictions, name) for name in (self.truth, self.prediction)}
        true, said = complete(given, "refuse")[0].values()
        dz = redshift_errors(self.truth, true, said)
        far = np.abs(dz) > self.outlier
        plt = pyplot()
        figure = plt.figure("Redshifts", figsize=(6, 7.6), layout="constrained")
        upper, lower = figure.subplots(2, 1, sharex=True, height_ratios=[3, 1])
        groups = ((~far, "tab:blue", 0.35, "objects"), (far, "tab:red", 0.8, "outliers"))
        for axes, shown in ((upper, said), (lower, dz)):
            for chosen, colour, alpha, name in groups:
                label = f"{np.count_nonzero(chosen):,} {name}"
                if name == "outliers":
                    label += rf" ($|\Delta z|/(1 + z) > {self.outlier:g}$)"
                style = {"s": 5, "color": colour, "alpha": alpha, "linewidths": 0}
                axes.scatter(true[chosen], shown[chosen], label=label, rasterized=True, **style)
        low, high = min(0.0, float(true.min())), float(max(true.max(), said.max())) * 1.05
        line = np.array([low, high])
        for offset, dashes in ((-self.outlier, "--"), (0.0, "-"), (self.outlier, "--")):
            style = {"color": "0.3", "linewidth": 0.8, "linestyle": dashes}
            upper.plot(line, line + offset * (1 + line), **style)
            lower.axhline(offset, **style)
        upper.set_title(
            rf"{len(true):,} objects: $\sigma_{{\rm MAD}}$ = {sigma_mad(dz):.4f}, bias "
            rf"{dz.mean():+.4f}, outliers {far.mean():.2%}",
            fontsize=11,
        )
        upper.set(ylabel="predicted redshift", xlim=(low, high), ylim=(low, high))
        lower.set(xlabel="true redshift", ylim=(-3 * self.outlier, 3 * self.outlier))
        lower.set_ylabel(r"$\Delta z\,/\,(1 + z)$")
        if hidden := np.count_nonzero(np.abs(dz) > 3 * self.outlier):
            lower.text(0.99, 0.96, f"{hidden:,} beyond", transform=lower.transAxes, **_CORNER)
        upper.legend(loc="upper left", markerscale=3, frameon=False)
        plt.show()


class PlotPIT:
    """Draws the histogram of the PIT, F(true): flat where the distributions are right.

    A hump says that they are too wide, a bowl too narrow, a slope that they are shifted.

    Args:
        predictions: a table with a row for each object.
        truth: column of the true values.
        pdf: column of the distributions, (n, bins).
        low: lower limit of the bins; the table's `min_redshift`, or 0.
        high: upper limit of the bins; the table's `max_redshift`.
        edges: data set of the edges of the bins, in place of both.
        bins: of the histogram.

    Source: Dawid 1984, J. R. Statist. Soc. A 147, 278; Gneiting et al. 2007, ibid. B 69, 243.

    >>> table = {"redshift": np.array([0.1, 0.3]), "pdf": np.full((2, 4), 0.25)}
    >>> PlotPIT(high=0.4, bins=2).execute(table)
    """

    def __init__(
        self,
        truth: str = "redshift",
        pdf: str = "pdf",
        low: float | None = None,
        high: float | None = None,
        edges: str = "",
        bins: Annotated[int, {"min": 1, "max": 1000}] = 20,
    ):
        if truth == pdf:
            raise OperationError(f"truth and pdf are one column, {truth!r}: name both")
        if low is not None and high is not None and not low < high:
            raise OperationError(
                f"the bins begin at {low:g} and end at {high:g}: low is below high"
            )
        if edges and (low is not None or high is not None):
            raise OperationError(
                f"edges: {edges!r} stands in place of low and high: leave those out"
            )
        self.truth, self.pdf, self.limits, self.bins = truth, pdf, (low, high, edges), bins

    def execute(self, predictions: h5py.File) -> None:
        pdf, edges = densities(predictions, self.pdf, *self.limits)
        given = {self.truth: numbers(predictions, self.truth), self.pdf: pdf}
        true, pdf = complete(given, "refuse")[0].values()
        counts, places = np.histogram(pit(pdf, true, edges), self.bins, (0.0, 1.0))
        plt = pyplot()
        figure = plt.figure("PIT", figsize=(5, 3.6), layout="constrained")
        axes = figure.add_subplot()
        axes.stairs(counts, places, fill=True, alpha=0.5)
        axes.axhline(len(true) / self.bins, color="0.3", linewidth=0.8, linestyle="--")
        axes.set(xlabel="F(true)", ylabel="objects", xlim=(0, 1))
        plt.show()


class PlotDensities:
    """Draws the distributions of some objects, each with the true and the predicted value.

    Args:
        predictions: a table with a row for each object.
        images: a table with pictures to be shown beside, paired by `row`, which counts in it where
            it has no column of that name.
        truth: column of the true values.
        prediction: column of the predicted ones.
        pdf: column of the distributions, (n, bins).
        low: lower limit of the bins; the table's `min_redshift`, or 0.
        high: upper limit of the bins; the table's `max_redshift`.
        edges: data set of the edges of the bins, in place of both.
        objects: how many.
        image: column of the pictures, rows x columns x channels.
        channels: the three that are red, green and blue.
        seed: of their choice.

    Source: Pasquet et al. 2019, A&A 621, A26, figure 7.

    >>> table = {"redshift": np.array([0.1]), "predicted": np.array([0.2])}
    >>> table["pdf"] = np.full((1, 4), 0.25)
    >>> PlotDensities(high=0.4).execute(table)
    """

    def __init__(  # noqa: PLR0913, PLR0917 - the keys of a pipeline file
        self,
        truth: str = "redshift",
        prediction: str = "predicted",
        pdf: str = "pdf",
        low: float | None = None,
        high: float | None = None,
        edges: str = "",
        objects: Annotated[int, {"min": 1, "max": 48}] = 9,
        image: str = "pixels",
        channels: list[int] | None = None,
        seed: int = 0,
    ):
        if low is not None and high is not None and not low < high:
            raise OperationError(
                f"the bins begin at {low:g} and end at {high:g}: low is below high"
            )
        if edges and (low is not None or high is not None):
            raise OperationError(
                f"edges: {edges!r} stands in place of low and high: leave those out"
            )
        if truth in {prediction, pdf}:
            raise OperationError(
                f"truth and what was predicted are one column, {truth!r}: name both"
            )
        if channels is not None and (len(channels) != 3 or min(channels) < 0):
            raise OperationError(f"channels: red, green and blue, each from 0, and not {channels}")
        self.truth, self.prediction, self.pdf = truth, prediction, pdf
        self.limits, self.objects, self.seed = (low, high, edges), objects, seed
        self.image, self.channels = image, channels or [0, 1, 2]

    def execute(self, predictions: h5py.File, images: h5py.File | None = None) -> None:
        pdf, edges = densities(predictions, self.pdf, *self.limits)
        true, said = (numbers(predictions, name) for name in (self.truth, self.prediction))
        count = min(self.objects, len(pdf))
        if not count:
            raise OperationError("the table has no row")
        chosen = np.sort(np.random.default_rng(self.seed).permutation(len(pdf))[:count])
        wide = int(np.ceil(np.sqrt(count)))
        tall = int(np.ceil(count / wide))
        plt = pyplot()
        size = (3.2 * wide, 2.6 * tall + 0.4)
        figure = plt.figure("Densities", figsize=size, layout="constrained")
        grid = figure.subplots(tall, wide, squeeze=False).ravel()
        for axes, place in zip(grid, chosen, strict=False):
            axes.stairs(pdf[place] / np.diff(edges), edges, fill=True, alpha=0.4, label="density")
            axes.axvline(true[place], color="tab:green", label="true")
            axes.axvline(said[place], color="tab:red", linestyle="--", label="predicted")
            axes.set_title(f"true {true[place]:.3f}, predicted {said[place]:.3f}", fontsize=9)
            axes.set(xlim=(edges[0], edges[-1]), ylim=(0, None), yticks=[])
            if images is not None:
                left = max(true[place], said[place]) > (edges[0] + edges[-1]) / 2
                row = _row_of(images, column(predictions, "row")[place])
                self._picture(axes, read(column(images, self.image), row), left)
        for axes in grid[count:]:
            axes.set_axis_off()
        figure.supxlabel("redshift" if self.truth == "redshift" else self.truth, fontsize=10)
        figure.supylabel("probability density", fontsize=10)
        lines = grid[0].get_legend_handles_labels()
        figure.legend(*lines, loc="outside upper center", ncols=3, fontsize=9, frameon=False)
        plt.show()

    def _picture(self, axes: Any, image: Any, left: bool) -> None:
        if image.ndim != 3 or max(self.channels) >= image.shape[-1]:
            raise OperationError(
                f"{self.image!r} has rows of the shape {image.shape}: no channels {self.channels}"
            )
        shown = image[..., self.channels]
        if shown.dtype.kind == "f":  # matplotlib takes floats from 0 to 1
            low, high = np.nanpercentile(shown, [1, 99.5])
            shown = np.clip((shown - low) / (high - low if high > low else 1), 0, 1)
        inset = axes.inset_axes([0.02 if left else 0.68, 0.5, 0.3, 0.48])  # beside the peak
        inset.imshow(shown)
        inset.set_axis_off()


def _row_of(images: Any, row: Any) -> int:
    """Return where the pictures of a row of the predictions are."""
    if "row" not in columns(images):
        return int(row)
    found = np.flatnonzero(values(images, "row") == row)
    if len(found) != 1:
        raise OperationError(f"images: {len(found)} of its rows have the row {row}, not one")
    return int(found[0])
