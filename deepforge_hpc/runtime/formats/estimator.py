"""Fitted models of scikit-learn: skops runs no code of the file; joblib does, where asked for."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from .base import Format, FormatError, Rows, unfit, whole
from .integrity import check_zip

_TRUSTED = (
    "numpy.dtype",
    "scipy.interpolate._bsplines.BSpline",
    "scipy.sparse._csr.csr_matrix",
    "sklearn._loss.loss.HalfTweedieLossIdentity",
    "sklearn.calibration._CalibratedClassifier",
    "sklearn.calibration._SigmoidCalibration",
    "sklearn.cluster._bisect_k_means._BisectingTree",
    "sklearn.cluster._kmeans._kmeans_single_lloyd",
    "sklearn.ensemble._hist_gradient_boosting.predictor.TreePredictor",
    "sklearn.feature_selection._univariate_selection.f_classif",
    "sklearn.feature_selection._univariate_selection.f_regression",
    "sklearn.gaussian_process._gpc._BinaryGaussianProcessClassifierLaplace",
    *(
        f"sklearn.gaussian_process.kernels.{name}"
        for name in (
            *("CompoundKernel", "ConstantKernel", "DotProduct", "ExpSineSquared", "Exponentiation"),
            *("Matern", "PairwiseKernel", "Product", "RBF", "RationalQuadratic", "Sum"),
            "WhiteKernel",
        )
    ),
    "sklearn.metrics._dist_metrics.EuclideanDistance64",
    "sklearn.metrics._dist_metrics.ManhattanDistance64",
    "sklearn.metrics._dist_metrics.MinkowskiDistance64",
    "sklearn.neighbors._ball_tree.BallTree",
    "sklearn.neighbors._kd_tree.KDTree",
    "sklearn.neural_network._stochastic_optimizers.AdamOptimizer",
    "sklearn.neural_network._stochastic_optimizers.SGDOptimizer",
    "sklearn.tree._tree.Tree",
)
"""What a file may hold beside what skops itself trusts: parts of scikit-learn's own estimators,
each of which only holds numbers. Never what the file asks for."""


class Skops(Format):
    """An estimator of scikit-learn, or a pipeline of them."""

    id = "skops"
    suffix = ".skops"
    expects = "a scikit-learn estimator"
    needs = ("skops",)

    def save(self, value: Any, stem: Path) -> Path:
        if not is_estimator(value):
            raise unfit(self, value)
        from skops import io

        path = stem.with_name(stem.name + self.suffix)
        try:
            io.dump(value, path)
            others = sorted(set(io.get_untrusted_types(file=path)) - set(_TRUSTED))
        except Exception as error:
            raise FormatError(f"skops cannot keep it: {error}") from error
        if others:
            message = f"it holds {', '.join(others)}, which is not loaded from a file: use joblib"
            raise FormatError(message)
        return path

    def load(self, path: Path, rows: Rows | None = None) -> Any:
        from skops import io

        try:
            return io.load(whole(self, path, rows), trusted=list(_TRUSTED))
        except TypeError as error:  # of which its UntrustedTypesFoundException is one
            message = f"{path.name} holds what is not loaded from a file: {error}"
            raise FormatError(message) from error

    def verify(self, path: Path) -> None:
        check_zip(path, "schema.json")


class Joblib(Format):
    """Any object, as joblib pickles it; only where the pipeline's `types:` says so."""

    id = "joblib"
    suffix = ".joblib"
    expects = "an object that joblib can keep"
    runs_code = True
    needs = ("joblib",)

    def save(self, value: Any, stem: Path) -> Path:
        import joblib

        path = stem.with_name(stem.name + self.suffix)
        try:
            joblib.dump(value, path)
        except OSError:
            raise
        except Exception as error:
            raise FormatError(f"joblib cannot keep it: {error}") from error
        return path

    def load(self, path: Path, rows: Rows | None = None) -> Any:
        import joblib

        return joblib.load(whole(self, path, rows))


def is_estimator(value: object) -> bool:
    """Tell whether a value is a model of scikit-learn."""
    base = sys.modules.get("sklearn.base")
    return base is not None and isinstance(value, base.BaseEstimator)
