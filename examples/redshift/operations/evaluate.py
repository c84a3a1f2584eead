"""Evaluation of predicted redshifts, with the metrics of the field."""

from __future__ import annotations

import h5py
import numpy as np

from operations.progress import log

OUTLIER = 0.05
"""A galaxy is an outlier if its |dz| is larger."""


def residuals(predicted: np.ndarray, redshift: np.ndarray) -> np.ndarray:
    """Return dz = (predicted - true) / (1 + true)."""
    return (predicted - redshift) / (1 + redshift)


def sigma_mad(dz: np.ndarray) -> float:
    """Return 1.4826 median|dz - median(dz)|: a width that outliers do not move."""
    return float(1.4826 * np.median(np.abs(dz - np.median(dz))))


def crps(pdf: np.ndarray, redshift: np.ndarray, max_redshift: float) -> float:
    """Return the mean continuous ranked probability score of distributions over bins.

    The integral of (CDF(x) - [redshift <= x])^2, taken at the upper edge of each bin; in redshift,
    smaller is better.
    """
    bins = pdf.shape[1]
    width = max_redshift / bins
    edges = (np.arange(bins) + 1) * width
    step = redshift[:, None] <= edges
    return float(np.mean(np.sum((np.cumsum(pdf, axis=1) - step) ** 2, axis=1) * width))


class Evaluate:
    """Measures predictions against the spectroscopic redshifts.

    dz = (z_pred - z) / (1 + z); bias = mean(dz); sigma_mad = 1.4826 median|dz - median(dz)|;
    outlier_fraction = share of |dz| > 0.05: the definitions of Pasquet et al. 2019 (A&A 621, A26,
    section 4). crps: Hersbach 2000 (Weather and Forecasting 15, 559) over the redshift bins.
    """

    def execute(self, predictions: h5py.File) -> dict:
        redshift = predictions["redshift"][:].astype(float)
        dz = residuals(predictions["predicted"][:].astype(float), redshift)
        max_redshift = float(predictions.attrs["max_redshift"])
        metrics = {
            "bias": float(dz.mean()),
            "sigma_mad": sigma_mad(dz),
            "outlier_fraction": float(np.mean(np.abs(dz) > OUTLIER)),
            "crps": crps(predictions["pdf"][:].astype(float), redshift, max_redshift),
            "galaxies": len(dz),
        }
        log(**metrics)
        return metrics
