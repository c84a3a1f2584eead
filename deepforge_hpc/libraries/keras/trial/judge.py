"""Keras as the judge of networks."""

from __future__ import annotations

from functools import partial
from pathlib import Path

from deepforge_hpc.libraries.keras.named_values import spellings
from deepforge_hpc.libraries.keras.trial.costs import operations
from deepforge_hpc.libraries.keras.trial.findings import findings, of_loss
from deepforge_hpc.libraries.keras.trial.ranks import alone
from deepforge_hpc.libraries.keras.trial.words import said
from deepforge_hpc.libraries.networks.trial.judge import Judge

JUDGE = Judge(
    framework="Keras",
    packages=("keras", "tensorflow", "jax", "torch"),
    child=Path(__file__).with_name("child.py"),
    said=said,
    findings=findings,
    of_loss=of_loss,
    of_ranks=alone,
    losses=partial(spellings, "loss"),
    operations=operations,
    needs="Keras 3 with TensorFlow, JAX or PyTorch",
    backends="TensorFlow, JAX or PyTorch",
    backend_variable="KERAS_BACKEND",
    job_backend="tensorflow",
)
