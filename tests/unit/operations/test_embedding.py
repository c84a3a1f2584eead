"""Embeddings: PCA by the covariance, t-SNE by the neighbours that it keeps."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from deepforge_hpc.operations.embedding import PCA, TSNE, UMAP
from deepforge_hpc.operations.errors import OperationError


def features(seed: int = 0, rows: int = 60) -> Any:
    return np.random.default_rng(seed).normal(size=(rows, 5)) @ np.diag([5.0, 3, 1, 0.5, 0.1])


def test_pca_is_the_eigenvectors_of_the_covariance() -> None:
    data = features()
    embedding, report = PCA(dimensions=2).execute({"features": data, "z": np.arange(60)})
    values, vectors = np.linalg.eigh(np.cov(data.T))
    expected = (data - data.mean(axis=0)) @ vectors[:, ::-1][:, :2]
    np.testing.assert_allclose(np.abs(embedding["points"]), np.abs(expected), rtol=1e-4, atol=1e-4)
    share = values[::-1][:2] / values.sum()
    assert report["explained_variance_ratio"] == pytest.approx(share)
    assert embedding["z"].tolist() == embedding["row"].tolist() == list(range(60))


def test_pca_of_others_by_the_rows_that_were_learnt_from() -> None:
    train, other = features(), features(1)
    whole, _ = PCA().execute({"features": np.concatenate([train, other])[:60]}, {"features": train})
    alone, _ = PCA().execute({"features": train})
    np.testing.assert_array_equal(whole["points"], alone["points"])
    moved, _ = PCA().execute({"features": other}, {"features": train})
    assert not np.allclose(moved["points"], PCA().execute({"features": other})[0]["points"])
    flipped, _ = PCA().execute({"features": other[::-1]}, {"features": train[::-1]})
    np.testing.assert_allclose(flipped["points"][::-1], moved["points"], atol=1e-5)  # signs too
    white, _ = PCA(whiten=True).execute({"features": train})
    np.testing.assert_allclose(white["points"].std(axis=0, ddof=1), 1, rtol=1e-5)


def test_equal_rows_have_no_variance_to_share() -> None:
    for rows in (1, 3):
        embedding, report = PCA(dimensions=1).execute({"features": np.ones((rows, 2))})
        assert report == {"explained_variance_ratio": [None]}
        assert not embedding["points"].any()
    with pytest.raises(OperationError, match="a column 'points' already"):
        PCA(dimensions=1).execute({"features": np.eye(3), "points": np.arange(3)})


def two_groups() -> dict[str, Any]:
    rng = np.random.default_rng(0)
    group = np.repeat([0, 1], 20)
    return {"features": rng.normal(size=(40, 4)) + 20 * group[:, None], "group": group}


def keeps_groups(embedding: dict[str, Any]) -> bool:
    points, group = embedding["points"], embedding["group"]
    distance = ((points[:, None] - points[None]) ** 2).sum(axis=-1)
    np.fill_diagonal(distance, np.inf)
    return bool((group[distance.argmin(axis=1)] == group).all())


def test_tsne_keeps_neighbours_and_is_the_seeds() -> None:
    embedding = TSNE(dimensions=2, perplexity=5, iterations=600, rows=30, seed=1).execute(
        two_groups()
    )
    assert embedding["points"].shape == (30, 2)
    assert embedding["row"].tolist() == sorted(embedding["row"])
    assert keeps_groups(embedding)
    one, again = (
        TSNE(dimensions=2, perplexity=5, iterations=250).execute(two_groups()) for _ in range(2)
    )
    np.testing.assert_array_equal(one["points"], again["points"])


def test_umap_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    import sys

    monkeypatch.setitem(sys.modules, "umap", None)
    with pytest.raises(OperationError, match=r"pip install 'deepforge-hpc\[umap\]'"):
        UMAP().execute(two_groups())


@pytest.mark.parametrize(
    ("made", "data", "message"),
    [
        (PCA(dimensions=6), features(), r"\(60, 5\) numbers have no 6 directions"),
        (PCA(), np.full((3, 3), np.nan), "'features' is not finite in 3 of 3 rows"),
        (TSNE(perplexity=60), features(), "perplexity 60 of 60 rows: lower it"),
    ],
)
def test_what_cannot_be_placed(made: Any, data: Any, message: str) -> None:
    with pytest.raises(OperationError, match=message):
        made.execute({"features": data})
