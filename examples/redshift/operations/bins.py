"""Redshift bins: what the network's classes mean."""

from __future__ import annotations

import numpy as np


def labels(redshift: np.ndarray, bins: int, max_redshift: float) -> np.ndarray:
    """Return the bin of each redshift; the upper limit belongs to the last bin."""
    redshift = np.asarray(redshift, dtype=float)
    if redshift.min() < 0 or redshift.max() > max_redshift:
        message = f"redshifts from {redshift.min():.4f} to {redshift.max():.4f} do not fit"
        raise ValueError(f"{message} in bins from 0 to {max_redshift}: set max_redshift")
    return np.minimum((redshift * (bins / max_redshift)).astype(int), bins - 1)


def expectation(pdf: np.ndarray, max_redshift: float) -> np.ndarray:
    """Return the mean redshift of distributions over bins: (n, bins) to (n,)."""
    bins = pdf.shape[-1]
    return pdf @ ((np.arange(bins) + 0.5) * (max_redshift / bins))
