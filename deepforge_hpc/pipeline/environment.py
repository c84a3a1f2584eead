"""The software of a job: the nearest of operation, pipeline and site that says something."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from deepforge_hpc.files.project import absolute
from deepforge_hpc.model.environment import EnvironmentSpec
from deepforge_hpc.runtime.base.plan import Environment

SUBMITTER = "submitter"


@dataclass(frozen=True, slots=True, kw_only=True)
class EnvironmentBase:
    """What the environment of a job is resolved against."""

    folder: Path
    """Relative paths start here."""
    submitter: str
    """The interpreter that runs dfh."""
    site: EnvironmentSpec | None = None


def resolve_environment(
    specs: Sequence[EnvironmentSpec | None], base: EnvironmentBase
) -> Environment:
    """Return the environment that the first spec decides, then the next, then the site.

    Interpreter and modules are looked up apart: a container of the pipeline keeps the site's
    modules. Nothing said: the command `python3`.
    """
    given = [spec for spec in (*specs, base.site) if spec is not None]
    chosen = next(
        (spec for spec in given if spec.python or spec.venv or spec.conda or spec.container), None
    )
    modules = next((spec.modules for spec in given if spec.modules is not None), ())
    if chosen is None:
        return Environment(python="python3", modules=modules)
    folder = base.folder
    python = chosen.python
    if python == SUBMITTER:
        python = base.submitter
    elif chosen.venv:
        # The link of a venv's python is what makes it one.
        python = absolute(f"{chosen.venv}/bin/python", folder)
    elif os.sep in python:
        python = absolute(python, folder)
    conda = absolute(chosen.conda, folder) if os.sep in chosen.conda else chosen.conda
    container = chosen.container
    if container.endswith(".sif"):
        container = absolute(container, folder)
    return Environment(python=python, conda=conda, container=container, modules=modules)
