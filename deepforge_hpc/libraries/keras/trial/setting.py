"""How Keras is asked; apart from what asks it, which a look at what it said before does without."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

PACKAGES = ("keras", "tensorflow", "jax", "torch")
"""What an environment has of these decides what is said in it."""

SCRIPT = Path(__file__).with_name("child.py")
"""What is sent to the Python of an environment."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TrialSetting:
    """Which Keras to ask, and what it may take."""

    python: str
    backend: str = ""
    """Empty: the one that this Keras takes by itself."""
    job_backend: str = ""
    """Empty: the same."""
    folders: tuple[str, ...] = ()
    """Where layers of the project may be imported from; empty: none may."""
    start_s: float = 300
    """For the import: a shared file system may be slow."""
    layer_s: float = 60
    memory_mib: int = 8192
    cpu_s: int = 900
    file_mib: int = 16

    @classmethod
    def of(cls, python: str, *, is_jobs: bool, folders: tuple[str, ...] = ()) -> TrialSetting:
        """Return how to ask the Keras beside `dfh`, or one that jobs run with."""
        backend = os.environ.get("KERAS_BACKEND", "")
        return cls(
            python=python,
            backend=backend,
            job_backend=backend or ("" if is_jobs else "tensorflow"),
            folders=folders,
        )
