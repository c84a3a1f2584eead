"""Compiled architectures in the real Keras."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from deepforge_hpc.libraries.keras.library import KerasLibrary

pytestmark = [pytest.mark.training, pytest.mark.filterwarnings("default")]


def build(text: str) -> Any:
    """Return the model without allocating its weights."""
    import keras

    namespace: dict[str, Any] = {}
    exec(KerasLibrary().compile(text, "net.yaml"), namespace)
    with keras.StatelessScope(initialize_variables=False):
        return namespace["build"]()


@pytest.fixture(scope="module")
def pasquet() -> Any:
    path = Path(__file__).parents[2] / "examples" / "redshift" / "architectures" / "pasquet.yaml"
    return build(path.read_text())


def test_the_network_of_pasquet_et_al_has_the_published_structure(pasquet: Any) -> None:
    assert pasquet.count_params() == 27_596_372
    assert [tuple(item.shape) for item in pasquet.inputs] == [(None, 64, 64, 5), (None, 1)]
    assert pasquet.output_shape == (None, 180)
    assert pasquet.get_layer("flat").output.shape == (None, 22_272)
    assert pasquet.get_layer("cat").output.shape == (None, 22_273)


@pytest.mark.parametrize(
    ("block", "parameters", "shape"),
    [
        ("conv0", 8_128, (64, 64, 64)),
        ("I0", 118_432, (32, 32, 240)),
        ("I1", 269_288, (32, 32, 340)),
        ("I2", 539_064, (16, 16, 476)),
        ("I3", 594_008, (16, 16, 476)),
        ("I4", 255_376, (8, 8, 348)),
        ("fc0", 24_412_304, (1096,)),
        ("fc0b", 1_202_312, (1096,)),
        ("out", 197_460, (180,)),
    ],
)
def test_each_block_of_pasquet_et_al_has_its_parameters(
    pasquet: Any, block: str, parameters: int, shape: tuple[int, ...]
) -> None:
    layers = [item for item in pasquet.layers if item.name.split("_")[0] == block]
    assert sum(layer.count_params() for layer in layers) == parameters
    assert layers[-1].output.shape[1:] == shape


def test_without_the_reddening_the_network_has_one_input(example: Path) -> None:
    text = (example / "architectures" / "pasquet.yaml").read_text()
    model = build(text.replace("reddening: true", "reddening: false"))
    assert [item.name for item in model.inputs] == ["pixels"]
    assert model.count_params() == 27_596_372 - 1_096


def test_the_convolutions_have_the_published_start(pasquet: Any) -> None:
    import keras

    for layer in pasquet.layers:
        if isinstance(layer, keras.layers.Conv2D):
            assert layer.padding == "same"
            assert layer.bias_initializer.value == 0.1
            assert isinstance(layer.kernel_initializer, keras.initializers.GlorotUniform)
        if isinstance(layer, keras.layers.AveragePooling2D):
            assert (layer.pool_size, layer.padding) == ((2, 2), "same")


def test_the_demo_network_is_as_small_as_the_tables_say(example: Path) -> None:
    model = build((example / "architectures" / "inception.yaml").read_text())
    assert model.count_params() == 76_088
    assert model.output_shape == (None, 32)


def test_every_layer_of_the_table_is_accepted_by_keras() -> None:
    """Names and arguments are data here; only Keras can say whether they are right."""
    import inspect

    import keras

    from deepforge_hpc.libraries.keras.schema import ACTIVATIONS, FUNCTIONS, LAYERS

    for name, schema in LAYERS.items():
        known = inspect.signature(getattr(keras.layers, name).__init__).parameters
        required = {
            key
            for key, item in known.items()
            if item.default is item.empty and item.kind is item.POSITIONAL_OR_KEYWORD
        }
        assert required - {"self"} == set(schema.required), name
        extra = set(schema.arguments) - set(known) - {"dtype", "trainable", "activity_regularizer"}
        assert not extra, name
    for kind, table in FUNCTIONS.items():
        module = getattr(keras, f"{kind}s")
        for name, schema in table.items():
            known = inspect.signature(getattr(module, name).__init__).parameters
            assert set(schema.arguments) <= set(known), name
    assert all(hasattr(keras.activations, name) for name in ACTIVATIONS)
