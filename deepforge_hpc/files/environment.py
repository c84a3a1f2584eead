"""The key `environment:` of an operation, a pipeline and a site: declared once."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from deepforge_hpc.files.kinds import Kind, Text
from deepforge_hpc.files.object import Object
from deepforge_hpc.model.environment import EnvironmentSpec

_SOFTWARE = {
    "python": "the path or command name of an interpreter, or submitter",
    "venv": "the folder of a virtual environment",
    "conda": "the name or folder of a conda environment",
    "container": "a container image",
}


def environment_kind(modules: Kind, software: Callable[[str], Any] = Text) -> Object:
    """Return the kind; `software` makes that of a text, of which at most one is given."""
    kinds = {name: software(what) for name, what in _SOFTWARE.items()}
    return Object(EnvironmentSpec, {**kinds, "modules": modules}, exclusive=tuple(_SOFTWARE))
