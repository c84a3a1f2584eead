"""What Keras has, as `introspect` wrote it from Keras itself."""

from __future__ import annotations

import functools
import json
from collections.abc import Mapping
from pathlib import Path

from deepforge_hpc.libraries.networks.catalogue import Catalogue, Texts, Thing
from deepforge_hpc.libraries.networks.dialect import Arguments, Dialect

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
        of_models=("training", "mask"),
        activations_by_text=True,
        same_as={"strides": "pool_size", "value_dim": "key_dim"},
        meant={"data_format": "channels_last", "dtype": "float32", "activation": "linear"},
    )


def _gives_several(thing: Thing, given: Arguments, call: Mapping[str, object]) -> bool:
    wraps = {"layer", "layers"} & set(thing.sorts.values())
    state = given.get("return_state")
    has_state = state is not None and state.code == "True"
    return bool(wraps or "Cell" in thing.name or has_state or "return_attention_scores" in call)
