"""Operations that any pipeline can use: `uses: deepforge_hpc.operations:NAME`.

The names below are what `uses:` and `dfh operations` find; nothing is imported here, so that a job
reads, and an execution keeps, the one module that it needs.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from deepforge_hpc.operations.augmentation import Augment
    from deepforge_hpc.operations.binning import Bin, PointEstimate
    from deepforge_hpc.operations.compare import Compare
    from deepforge_hpc.operations.embedding import PCA, TSNE, UMAP
    from deepforge_hpc.operations.ensemble import Ensemble
    from deepforge_hpc.operations.evaluate import (
        EvaluateClassification,
        EvaluateRedshift,
        EvaluateRegression,
    )
    from deepforge_hpc.operations.load import Convert, Load
    from deepforge_hpc.operations.normalise import FitNormalisation, Normalise
    from deepforge_hpc.operations.plots import (
        PlotCalibration,
        PlotConfusion,
        PlotEmbedding,
        PlotHistory,
        PlotROC,
    )
    from deepforge_hpc.operations.plots_redshift import PlotDensities, PlotPIT, PlotRedshifts
    from deepforge_hpc.operations.predict import Predict
    from deepforge_hpc.operations.split import KFold, Split
    from deepforge_hpc.operations.train import Train

__all__ = [
    "PCA",
    "TSNE",
    "UMAP",
    "Augment",
    "Bin",
    "Compare",
    "Convert",
    "Ensemble",
    "EvaluateClassification",
    "EvaluateRedshift",
    "EvaluateRegression",
    "FitNormalisation",
    "KFold",
    "Load",
    "Normalise",
    "PlotCalibration",
    "PlotConfusion",
    "PlotDensities",
    "PlotEmbedding",
    "PlotHistory",
    "PlotPIT",
    "PlotROC",
    "PlotRedshifts",
    "PointEstimate",
    "Predict",
    "Split",
    "Train",
]


def __getattr__(name: str) -> Any:
    if name in __all__:
        raise ImportError(
            f"import {name} from the module that `dfh operations doc {name}` names", name=__name__
        )
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
