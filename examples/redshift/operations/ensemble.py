"""Several networks as one."""

from __future__ import annotations

import h5py
import numpy as np

from operations.bins import expectation


class AverageDistributions:
    """Averages the distributions of four networks that predicted the same galaxies."""

    def execute(self, first: h5py.File, second: h5py.File, third: h5py.File, fourth: h5py.File):
        members = [first, second, third, fourth]
        rows = first["row"][:]
        if any(not np.array_equal(member["row"][:], rows) for member in members):
            raise ValueError("the networks predicted different galaxies")
        binnings = {(m["pdf"].shape[1], float(m.attrs["max_redshift"])) for m in members}
        if len(binnings) > 1:
            raise ValueError(f"the networks have different bins (number, limit): {binnings}")
        max_redshift = float(first.attrs["max_redshift"])
        pdf = np.mean([member["pdf"][:] for member in members], axis=0).astype(np.float32)
        predictions = {
            "row": rows,
            "redshift": first["redshift"][:],
            "predicted": expectation(pdf, max_redshift).astype(np.float32),
            "pdf": pdf,
            "@max_redshift": max_redshift,
        }
        return predictions
