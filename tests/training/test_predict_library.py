"""Predict with networks of Keras: inputs by name, layers, positions of images, any number of ranks."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytestmark = [pytest.mark.training, pytest.mark.filterwarnings("default")]

ROWS = 37


@pytest.fixture(scope="module")
def network() -> Any:
    import keras

    keras.utils.set_random_seed(1)
    image, mass = keras.Input((6, 6, 2), name="image"), keras.Input((1,), name="mass")
    seen = keras.layers.Conv2D(4, 3, activation="relu", name="conv")(image)
    flat = keras.layers.Flatten(name="flat")(seen)
    joined = keras.layers.Concatenate(name="joined")([flat, mass])
    kind = keras.layers.Dense(3, activation="softmax", name="kind")(joined)
    return keras.Model([image, mass], kind)


@pytest.fixture(scope="module")
def table() -> dict[str, Any]:
    rng = np.random.default_rng(0)
    image = rng.normal(size=(ROWS, 6, 6, 2)).astype("float32")
    return {"image": image, "mass": rng.normal(size=(ROWS, 1)), "label": np.arange(ROWS)}


def predict(network: Any, table: Any, **settings: Any) -> Any:
    from deepforge_hpc.operations.predict import Predict

    given = {"batch_size": 5, "shard_batches": 2, "keep": ["label"], **settings}
    return Predict(**given).execute(network, table)


def test_inputs_are_found_by_name(network: Any, table: Any) -> None:
    found = predict(network, table)
    expected = network.predict([table["image"], table["mass"]], verbose=0)
    np.testing.assert_allclose(found["prediction"], expected, atol=1e-6)
    assert found["label"].tolist() == list(range(ROWS))
    other = {"pixels": table["image"], "m": table["mass"], "label": table["label"]}
    again = predict(network, other, columns=["pixels", "m"])
    assert (again["prediction"] == found["prediction"]).all()


def test_ranks_give_the_same_to_the_last_bit(
    network: Any, table: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    one = predict(network, table)
    monkeypatch.setenv("DFH_WORLD_SIZE", "3")
    monkeypatch.setenv("DFH_CHECKPOINT_DIR", str(tmp_path))
    for rank in (2, 1, 0):
        monkeypatch.setenv("DFH_RANK", str(rank))
        found = predict(network, table)
    assert (found["prediction"] == one["prediction"]).all()
    assert len(list(tmp_path.glob("shards-*"))) == 1
    network.set_weights([weight + 1 for weight in network.get_weights()])
    predict(network, table)  # another network, other shards
    network.set_weights([weight - 1 for weight in network.get_weights()])
    assert len(list(tmp_path.glob("shards-*"))) == 2


def test_features_are_what_a_layer_gives(network: Any, table: Any) -> None:
    for layer in ("joined", "-2"):
        found = predict(network, table, layer=layer, name="features")["features"]
        assert found.shape == (ROWS, 65)
        np.testing.assert_allclose(found[:, -1:], table["mass"], rtol=1e-6)


@pytest.mark.parametrize(("average", "views"), [("flip", 2), ("dihedral", 8)])
def test_positions_are_averaged(network: Any, table: Any, average: str, views: int) -> None:
    turned = [table["image"], table["image"][:, :, ::-1]]
    if views == 8:
        turned = [np.rot90(image, turn, axes=(1, 2)) for image in turned for turn in range(4)]
    each = [network.predict([np.array(image), table["mass"]], verbose=0) for image in turned]
    found = predict(network, table, average=average)["prediction"]
    np.testing.assert_allclose(found, np.mean(each, axis=0), atol=1e-6)
    assert found.dtype == np.float32


def test_several_outputs_have_names(table: Any) -> None:
    import keras

    image = keras.Input((6, 6, 2), name="image")
    flat = keras.layers.Flatten()(image)
    outputs = {"a": keras.layers.Dense(1)(flat), "b": keras.layers.Dense(2)(flat)}
    found = predict(keras.Model(image, outputs), table)
    assert found["prediction_a"].shape == (ROWS, 1)
    assert found["prediction_b"].shape == (ROWS, 2)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"layer": "jioned"}, "no layer 'jioned'; it has image, conv"),
        ({"layer": "-20"}, "no layer '-20'"),
        ({"columns": ["image"]}, "columns has 1, and the network the inputs"),
    ],
)
def test_what_the_network_has_not(network: Any, table: Any, settings: Any, message: str) -> None:
    with pytest.raises(RuntimeError, match=message):
        predict(network, table, **settings)
