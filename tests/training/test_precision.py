"""Mixed precision is a policy: it reaches whatever a layer is made of."""

from __future__ import annotations

from typing import Any

import pytest

from deepforge_hpc.libraries.keras.emit import emit
from deepforge_hpc.libraries.keras.library import KerasLibrary
from deepforge_hpc.libraries.networks.trial.request import BuildRequest

pytestmark = pytest.mark.training

TEXT = """\
library: keras
architecture: net
inputs: {x: [6, 4]}
blocks:
  inner:
    nested: true
    inputs: {z: [6, 4]}
    layers:
      - first: {Dense: {units: 5}}
      - second: {Dense: {units: 4}}
  end:
    nested: true
    inputs: {z: [6, 3]}
    layers:
      - flat: {Flatten: {}}
      - classes: {Dense: {units: 2}}
layers:
  - in: {inner: {}}
  - look: {MultiHeadAttention: {num_heads: 2, key_dim: 3}, from: [in, in]}
  - both: {Bidirectional: {layer: {LSTM: {units: 3, return_sequences: true}}}}
  - each: {TimeDistributed: {layer: {Dense: {units: 3}}}}
  - wide: {Dense: {units: 2, dtype: float64}}
  - out: {end: {}, from: each}
outputs: [out, wide]
"""
KEPT = {"classes", "wide"}


@pytest.fixture(scope="module")
def graph() -> Any:
    return KerasLibrary().graph(TEXT, "net.yaml")


def test_a_job_computes_in_16_bits_in_all_layers_but_those_of_the_outputs(graph: Any) -> None:
    from deepforge_hpc.operations.precision import cloned

    namespace: dict[str, Any] = {}
    exec(emit(graph), namespace)
    model = namespace["build"]()
    found = cloned(model, "mixed_bfloat16")
    layers = [one for one in found._flatten_layers() if one.weights and not hasattr(one, "layers")]
    assert {one.name for one in layers if one.compute_dtype != "bfloat16"} == KEPT
    assert len(layers) > 12  # the projections, the two directions and their cells, ...
    assert [str(one.dtype) for one in found.outputs] == ["float32", "float64"]
    assert {str(one.dtype) for one in found.weights if "wide" not in one.path} == {"float32"}
    model.set_weights(found.get_weights())
    assert [one.name for one in cloned(found).layers] == [one.name for one in model.layers]


def test_a_check_counts_activations_of_16_bits(graph: Any) -> None:
    import keras

    from deepforge_hpc.libraries.keras.trial.child import build_all

    for precision, expected in (("", "float32"), ("mixed_float16", "float16")):
        told: list[dict[str, Any]] = []
        request = BuildRequest(graph)
        asked = {"job_backend": "", "backend": "tensorflow", "precision": precision}
        build_all([request.network], told.append, asked, [])
        items = [one for one in told if "item" in one]
        assert not [one["error"] for one in items if "error" in one]
        names = [item["name"] for item in request.network["items"]]
        dtypes = {name: one.get("dtype") for name, one in zip(names, items, strict=True)}
        assert dtypes.pop("out.classes") == dtypes.pop("out") == "float32"
        assert dtypes.pop("wide") == "float64"
        assert {found for found in dtypes.values() if found} == {expected}
        assert keras.config.dtype_policy().name == "float32"
