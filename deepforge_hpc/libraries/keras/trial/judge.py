"""Keras as the judge of networks."""

from __future__ import annotations

import os
from contextlib import suppress
from functools import partial
from pathlib import Path

from deepforge_hpc.libraries.keras.named_values import spellings
from deepforge_hpc.libraries.keras.trial.costs import inside, operations
from deepforge_hpc.libraries.keras.trial.findings import findings, of_loss
from deepforge_hpc.libraries.keras.trial.ranks import alone
from deepforge_hpc.libraries.keras.trial.words import WORDS
from deepforge_hpc.libraries.networks.trial.judge import Judge
from deepforge_hpc.runtime.base.files import parse_object, read_own

_MAX_SETTINGS = 1 << 16
_DEFAULTS = {
    "floatx": "float32",
    "epsilon": 1e-07,
    "backend": "tensorflow",
    "image_data_format": "channels_last",
}
_SLOTS = {
    "SGD": 0,
    **dict.fromkeys(("Adafactor", "Adagrad", "Lion", "RMSprop"), 1),
    **dict.fromkeys(("Adadelta", "Adam", "AdamW", "Adamax", "Ftrl", "Lamb"), 2),
    **dict.fromkeys(("Muon", "Nadam", "ScheduleFreeAdamW"), 2),
}
"""Of optimizers as they are without arguments; momentum adds one. Keras' own variables, counted by
a test; Muon keeps 1 for matrices and 2 for others."""


def _settings() -> str:
    """Return what the user's `keras.json` says beyond Keras' defaults, which it writes itself."""
    folder = os.environ.get("KERAS_HOME") or os.path.expanduser("~/.keras")  # noqa: PTH111 - raises for ~nobody
    with suppress(OSError, ValueError):
        data = read_own(Path(folder, "keras.json"), owner=os.geteuid(), limit=_MAX_SETTINGS)
        said = {**_DEFAULTS, **parse_object(data)}
        if os.environ.get("KERAS_BACKEND"):
            del said["backend"]
        return str(
            sorted((name, str(one)) for name, one in said.items() if one != _DEFAULTS.get(name))
        )
    return "[]"


JUDGE = Judge(
    framework="Keras",
    packages=("keras", "tensorflow", "jax", "torch"),
    child=Path(__file__).with_name("child.py"),
    said=WORDS.said,
    findings=findings,
    of_loss=of_loss,
    of_ranks=alone,
    adds_axis=True,
    losses=partial(spellings, "loss"),
    operations=operations,
    inside=inside,
    precisions=("mixed_bfloat16", "mixed_float16"),
    optimizers=partial(spellings, "optimizer"),
    slots=_SLOTS,
    needs="Keras 3 with TensorFlow, JAX or PyTorch",
    backends="TensorFlow, JAX or PyTorch",
    backend_variable="KERAS_BACKEND",
    variables=("KERAS_", "TF_", "JAX_", "XLA_", "TORCH", "PYTORCH_"),
    settings=_settings,
    job_backend="tensorflow",
)
