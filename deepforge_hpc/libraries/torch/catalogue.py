"""What PyTorch has, as `introspect` wrote it from PyTorch itself."""

from __future__ import annotations

import functools
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from deepforge_hpc.libraries.networks.catalogue import Catalogue, Texts, Thing
from deepforge_hpc.libraries.networks.dialect import Arguments, Dialect
from deepforge_hpc.libraries.networks.kindred import KERAS_AND_TORCH

_FOLDER = Path(__file__).parent
_LAZY = "its weights get their size with the first batch alone: write the one with a size"
_CONTAINER = "layers and blocks of the file do what it does"


@functools.cache
def _names() -> dict[str, Any]:
    found: dict[str, Any] = json.loads((_FOLDER / "names.json").read_bytes())
    return found


@functools.cache
def shipped() -> Catalogue:
    """Return the catalogue of the version that this package was made for."""
    return Catalogue(_names())


@functools.cache
def shipped_texts() -> Texts:
    """Return the texts that go with `shipped`."""
    return Texts(json.loads((_FOLDER / "texts.json").read_bytes()))


@functools.cache
def reserved() -> frozenset[str]:
    """Return the names that every module of PyTorch has already."""
    return frozenset(_names()["reserved"])


@functools.cache
def dialect() -> Dialect:
    """Return what PyTorch brings to the common form of architecture files."""
    layers = shipped().known("layer")
    containers = ("ModuleDict", "ModuleList", "ParameterDict", "ParameterList", "Sequential")
    return Dialect(
        library="torch",
        framework="PyTorch",
        catalogue=shipped(),
        gives_several=_gives_several,
        refused={
            **{name: _LAZY for name in layers if name.startswith("Lazy")},
            **dict.fromkeys(containers, _CONTAINER),
            "AdaptiveLogSoftmaxWithLoss": "it is a loss with weights: write an operation for it",
            "SyncBatchNorm": "it works on GPUs alone: write BatchNorm1d, 2d or 3d, and "
            "synchronize: true for deepforge_hpc.operations:Train",
        },
        elsewhere=dict(KERAS_AND_TORCH),
        takes_first=True,
    )


def _gives_several(thing: Thing, given: Arguments, call: Mapping[str, object]) -> bool:  # noqa: ARG001
    indices = given.get("return_indices")
    return thing.gives == "several" or (indices is not None and indices.code == "True")
