"""Many numbers a row as two or three: PCA, t-SNE and UMAP of a column of a table."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, Literal

import numpy as np

from deepforge_hpc.operations.errors import OperationError, needed
from deepforge_hpc.operations.numbers import finite
from deepforge_hpc.operations.predictions import complete
from deepforge_hpc.operations.tables import columns, numbers, rewrite, row_count

if TYPE_CHECKING:
    import h5py


class PCA:
    """Projects rows onto the directions in which they differ most.

    points = (x - mean) V, with V the first right singular vectors of the centred rows; the sign of
    each is such that its largest entry is positive. All else of a row but its shape is flattened.

    Args:
        dataset: the table.
        fitted_on: rows that mean and directions are of; without it the dataset's own.
        column: what is projected.
        dimensions: how many numbers are left of each row.
        whiten: divide each by its standard deviation.
        rows: a random sample of so many; 0 for all.
        seed: of the sample.
        embedding: `points`, `row`, and the columns of the table with one value a row.
        report: the share of the variance that each direction explains; null of equal rows.

    Source: Jolliffe 2002, Principal Component Analysis; sklearn.decomposition.PCA.

    >>> table = {"features": np.array([[0.0, 0.0], [2.0, 2.0], [4.0, 4.0]])}
    >>> embedding, report = PCA(dimensions=1).execute(table)
    >>> [round(share, 3) for share in report["explained_variance_ratio"]]
    [1.0]
    >>> [round(abs(float(x)), 3) for x in embedding["points"][:, 0]]
    [2.828, 0.0, 2.828]
    """

    def __init__(
        self,
        column: str = "features",
        dimensions: Annotated[int, {"min": 1}] = 3,
        whiten: bool = False,
        rows: Annotated[int, {"min": 0}] = 0,
        seed: int = 0,
    ):
        if rows and dimensions > rows:
            raise OperationError(f"dimensions: {rows} rows have no {dimensions} directions")
        self.column, self.dimensions, self.whiten = column, dimensions, whiten
        self.rows, self.seed = rows, seed

    def execute(
        self, dataset: h5py.File, fitted_on: h5py.File | None = None
    ) -> tuple[h5py.File, dict[str, Any]]:
        with needed("scikit-learn", "operations"):
            from sklearn import decomposition
        chosen, features = _sample(dataset, self.column, self.rows, self.seed)
        base = features if fitted_on is None else _sample(fitted_on, self.column, 0, 0)[1]
        if self.dimensions > min(base.shape):
            raise OperationError(f"{base.shape} numbers have no {self.dimensions} directions")
        made = decomposition.PCA(self.dimensions, whiten=self.whiten, svd_solver="full")
        with np.errstate(invalid="ignore", divide="ignore"):  # equal rows have no variance to share
            fit = made.fit(base)
        signs = np.sign(fit.components_[range(self.dimensions), np.abs(fit.components_).argmax(1)])
        embedding = _embedding(dataset, chosen, fit.transform(features) * signs)
        report = finite({"explained_variance_ratio": fit.explained_variance_ratio_.tolist()})
        return embedding, report


class TSNE:
    """Places rows so that neighbours stay neighbours; distances further off mean nothing.

    Minimises the Kullback-Leibler divergence of neighbourhoods there (normal) and here (Student's t
    of one degree of freedom). Begins with the PCA, so the seed matters little.

    Args:
        dataset: the table.
        column: what is placed.
        dimensions: 2 or 3.
        perplexity: how many neighbours count, about; below the number of rows.
        iterations: of the descent.
        rows: a random sample of so many; 0 for all. 5,000 rows take a minute on a core.
        seed: of the sample and of the descent.
        embedding: `points`, `row`, and the columns of the table with one value a row.

    Source: van der Maaten and Hinton 2008, J. Mach. Learn. Res. 9, 2579; sklearn.manifold.TSNE.

    >>> table = {"features": np.arange(24.0).reshape(8, 3)}
    >>> TSNE(dimensions=2, perplexity=2, iterations=250).execute(table)["points"].shape
    (8, 2)
    """

    def __init__(
        self,
        column: str = "features",
        dimensions: Literal[2, 3] = 3,
        perplexity: Annotated[float, {"min": 1.0}] = 30.0,
        iterations: Annotated[int, {"min": 250}] = 1000,
        rows: Annotated[int, {"min": 0}] = 2000,
        seed: int = 0,
    ):
        if rows and perplexity >= rows:
            raise OperationError(f"perplexity {perplexity:g} of {rows} rows: lower it")
        self.column, self.dimensions, self.perplexity = column, dimensions, perplexity
        self.iterations, self.rows, self.seed = iterations, rows, seed

    def execute(self, dataset: h5py.File) -> h5py.File:
        with needed("scikit-learn", "operations"):
            from sklearn import manifold
        chosen, features = _sample(dataset, self.column, self.rows, self.seed)
        if self.perplexity >= len(features):
            raise OperationError(
                f"perplexity {self.perplexity:g} of {len(features)} rows: lower it"
            )
        points = manifold.TSNE(
            self.dimensions,
            perplexity=self.perplexity,
            max_iter=self.iterations,
            init="pca",
            random_state=self.seed,
        ).fit_transform(features)
        embedding = _embedding(dataset, chosen, points)
        return embedding


class UMAP:
    """Places rows so that neighbours stay neighbours, and groups keep some of their distances.

    Args:
        dataset: the table.
        column: what is placed.
        dimensions: how many numbers are left of each row.
        neighbours: how many count.
        min_dist: how close two points may come.
        metric: distance of rows, by umap-learn's names.
        rows: a random sample of so many; 0 for all.
        seed: of the sample and of the descent, which then runs on one core.
        embedding: `points`, `row`, and the columns of the table with one value a row.

    Source: McInnes, Healy, Melville 2018, arXiv:1802.03426; umap-learn (`deepforge-hpc[umap]`).
    """

    def __init__(
        self,
        column: str = "features",
        dimensions: Annotated[int, {"min": 2}] = 3,
        neighbours: Annotated[int, {"min": 2}] = 15,
        min_dist: Annotated[float, {"min": 0.0, "max": 1.0}] = 0.1,
        metric: str = "euclidean",
        rows: Annotated[int, {"min": 0}] = 0,
        seed: int = 0,
    ):
        if rows and neighbours >= rows:
            raise OperationError(f"{neighbours} neighbours of {rows} rows: lower it")
        self.column, self.dimensions, self.neighbours = column, dimensions, neighbours
        self.min_dist, self.metric, self.rows, self.seed = min_dist, metric, rows, seed

    def execute(self, dataset: h5py.File) -> h5py.File:
        with needed("umap-learn", "umap"):
            import umap
        chosen, features = _sample(dataset, self.column, self.rows, self.seed)
        if self.neighbours >= len(features):
            raise OperationError(f"{self.neighbours} neighbours of {len(features)} rows: lower it")
        points = umap.UMAP(
            n_components=self.dimensions,
            n_neighbors=self.neighbours,
            min_dist=self.min_dist,
            metric=self.metric,
            random_state=self.seed,
            n_jobs=1,
        ).fit_transform(features)
        embedding = _embedding(dataset, chosen, points)
        return embedding


def _sample(table: Any, column: str, rows: int, seed: int) -> tuple[Any, Any]:
    """Return the numbers of the chosen rows, ascending, and their features, (n, d) in float64."""
    found = complete({column: numbers(table, column)}, "refuse")[0][column]
    chosen = np.arange(len(found))
    if rows and rows < len(found):
        chosen = np.sort(np.random.default_rng(seed).permutation(len(found))[:rows])
    return chosen, found[chosen].reshape(len(chosen), -1)


def _embedding(table: Any, rows: Any, points: Any) -> dict[str, Any]:
    count = row_count(table)
    slim = {name: item for name, item in columns(table).items() if item.shape == (count,)}
    if "points" in slim:
        raise OperationError("the table has a column 'points' already: rename it")
    found = rewrite(slim, rows) if slim else {}
    found = {"row": rows} | found
    return found | {"points": np.asarray(points, dtype=np.float32)}
