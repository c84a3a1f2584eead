"""UMAP by the neighbours that it keeps: here for its package, which tests/unit needs nothing of."""

from __future__ import annotations

import numpy as np
import pytest

from deepforge_hpc.operations.embedding import UMAP


@pytest.mark.extras
@pytest.mark.filterwarnings("default")
def test_umap_keeps_neighbours(monkeypatch: pytest.MonkeyPatch) -> None:
    # To compile takes half a minute of a core, and to run as Python a second: of 40 rows.
    monkeypatch.setenv("NUMBA_DISABLE_JIT", "1")
    rng = np.random.default_rng(0)
    group = np.repeat([0, 1], 20)
    rows = rng.normal(size=(40, 4)) + 20 * group[:, None]
    embedding = UMAP(dimensions=2, neighbours=5).execute({"features": rows, "group": group})
    points = embedding["points"]
    assert points.shape == (40, 2)
    distance = ((points[:, None] - points[None]) ** 2).sum(axis=-1)
    np.fill_diagonal(distance, np.inf)
    assert (group[distance.argmin(axis=1)] == embedding["group"]).all()
