"""What of PyTorch a training by an operation takes: read by the check and by the job alike."""

from __future__ import annotations

from typing import Final

OWN: Final = "for one of your own, write an operation with deepforge_hpc.training.pytorch"
_MORE = f"it takes more than outputs and targets: {OWN}"
_CODE = f"it is made of code, which no file can name: {OWN}"
REFUSED: Final = {
    "loss": {
        **dict.fromkeys(("CTCLoss", "CosineEmbeddingLoss", "GaussianNLLLoss"), _MORE),
        **dict.fromkeys(("MarginRankingLoss", "TripletMarginLoss"), _MORE),
        "TripletMarginWithDistanceLoss": _MORE,
        "LinearCrossEntropyLoss": f"it has weights of its own: {OWN}",
    },
    "optimizer": {
        "LBFGS": "it wants the loss several times for a step, and a training computes it once",
        "SparseAdam": "it takes sparse gradients alone, and those are not averaged over ranks",
    },
    "schedule": dict.fromkeys(
        ("ChainedScheduler", "LambdaLR", "MultiplicativeLR", "SequentialLR"), _CODE
    ),
}
"""By family: what cannot be used, and why."""
BY_STEP: Final = frozenset({"CyclicLR", "OneCycleLR"})
"""Schedules that go on with each step, if nobody says when."""
OF_CLASSES: Final = frozenset({"CrossEntropyLoss", "MultiMarginLoss", "NLLLoss"})
"""Losses whose targets are whole numbers, one class each."""
LIMITS: Final = {
    "BCELoss": (0.5, 0.5),
    "BCEWithLogitsLoss": (0.0, 0.5),
    "MultiLabelSoftMarginLoss": (0.0, 0.5),
    "SoftMarginLoss": (0.0, 0.0),
}
"""Losses of yes or no: above which output and which target it is yes."""
RANGES: Final = {
    "BCELoss": (0, 1),
    "BCEWithLogitsLoss": (0, 1),
    "HingeEmbeddingLoss": (-1, 1),
    "MultiLabelSoftMarginLoss": (0, 1),
    "SoftMarginLoss": (-1, 1),
}
"""What targets of a loss may be: outside of it PyTorch computes a loss that means nothing."""
METRICS: Final = ("accuracy", "mean_absolute_error", "mean_squared_error", "mae", "mse")
STOPPING: Final = {
    "monitor": (str,),
    "min_delta": (int, float),
    "patience": (int,),
    "mode": (str,),
    "baseline": (int, float),
    "restore_best_weights": (bool,),
    "start_from_epoch": (int,),
}
"""Arguments of `early_stopping`, which are those of Keras."""
KERAS_ALONE: Final = "is of networks of Keras alone"
