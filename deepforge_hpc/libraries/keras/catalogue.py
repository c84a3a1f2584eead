"""What Keras has, as `introspect` wrote it from Keras itself."""

from __future__ import annotations

import functools
import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from deepforge_hpc.files.faults import shown
from deepforge_hpc.libraries.networks.catalogue import Catalogue, Texts, Thing
from deepforge_hpc.libraries.networks.dialect import Arguments, Dialect
from deepforge_hpc.libraries.networks.kindred import KERAS_AND_TORCH

_FOLDER = Path(__file__).parent


@functools.cache
def shipped() -> Catalogue:
    """Return the catalogue of the version that this package was made for."""
    return Catalogue(json.loads((_FOLDER / "names.json").read_bytes()))


@functools.cache
def shipped_texts() -> Texts:
    """Return the texts that go with `shipped`."""
    return Texts(json.loads((_FOLDER / "texts.json").read_bytes()))


@functools.cache
def dialect() -> Dialect:
    """Return what Keras brings to the common form of architecture files."""
    return Dialect(
        library="keras",
        framework="Keras",
        catalogue=shipped(),
        gives_several=_gives_several,
        refused={
            "TFSMLayer": "it runs whatever its file holds",
            "InputLayer": "inputs stand under `inputs`",
        },
        elsewhere={torch: keras for keras, torch in KERAS_AND_TORCH},
        files={"vocabulary": _terms},
        input_options={
            "batch": "batch_size",
            **{word: word for word in ("sparse", "ragged", "optional")},
        },
        of_models=("training", "mask"),
        activations_by_text=True,
        same_as={"strides": "pool_size", "value_dim": "key_dim"},
        meant={"data_format": "channels_last", "dtype": "float32", "activation": "linear"},
    )


def _terms(thing: Thing, lines: list[str]) -> list[Any]:
    """Return the terms of a vocabulary; ValueError for one that is not of its layer."""
    if not thing.name.startswith("Integer"):
        return list(lines)
    if other := [line for line in lines if not re.fullmatch(r"-?[0-9]{1,18}", line)]:
        raise ValueError(f"{shown(other[0])} is no whole number")
    return list(map(int, lines))


def _gives_several(thing: Thing, given: Arguments, call: Mapping[str, object]) -> bool:
    wraps = {"layer", "layers"} & set(thing.sorts.values())
    state = given.get("return_state")
    has_state = state is not None and state.code == "True"
    return bool(wraps or "Cell" in thing.name or has_state or "return_attention_scores" in call)
