"""How a framework is asked: a look at what it said before needs no more."""

from __future__ import annotations

import os
from dataclasses import dataclass

from deepforge_hpc.libraries.networks.trial.judge import Judge


@dataclass(frozen=True, slots=True, kw_only=True)
class TrialSetting:
    """Which framework to ask, where, and what it may take."""

    judge: Judge
    python: str
    backend: str = ""
    """Empty: the one that it takes by itself, or it has none."""
    job_backend: str = ""
    """Empty: the same."""
    folders: tuple[str, ...] = ()
    """Where layers of the project may be imported from; empty: none may."""
    precision: str = ""
    """What layers compute in, but those that give the outputs; empty: as each says."""
    start_s: float = 300
    """For the import: a shared file system may be slow."""
    layer_s: float = 60
    memory_mib: int = 8192
    cpu_s: int = 900
    file_mib: int = 16

    @classmethod
    def of(
        cls,
        judge: Judge,
        python: str,
        *,
        is_jobs: bool,
        folders: tuple[str, ...] = (),
        precision: str = "",
    ) -> TrialSetting:
        """Return how to ask the framework beside `dfh`, or one that jobs run with."""
        backend = os.environ.get(judge.backend_variable, "")
        return cls(
            judge=judge,
            python=python,
            backend=backend,
            job_backend=backend or ("" if is_jobs else judge.job_backend),
            folders=folders,
            precision=precision,
        )
