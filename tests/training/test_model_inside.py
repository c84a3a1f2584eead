"""Trained models looked into, and written for other programs."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import numpy as np
import pytest

from deepforge_hpc.cli.main import main

pytestmark = [pytest.mark.training, pytest.mark.filterwarnings("default")]
Run = Callable[..., str]


@pytest.fixture(scope="module")
def model() -> Any:
    """Images through a convolution with a dead and an empty unit, and a nested model."""
    import keras

    layers = keras.layers
    keras.utils.set_random_seed(1)
    head = [keras.Input((4,)), layers.Dense(6, activation="relu", name="deep")]
    head.append(layers.Dense(3, name="flat"))
    given = keras.Input((12, 10, 2), name="pixels")
    value = layers.Conv2D(4, 3, activation="relu", name="conv")(given)
    value = layers.GlobalAveragePooling2D(name="pool")(value)
    value = layers.Dropout(0.5, name="drop")(value)
    found = keras.Model(given, keras.Sequential(head, name="head")(value), name="tiny")
    kernel, bias = found.get_layer("conv").get_weights()
    kernel[..., 1], bias[2] = 0, -1e3
    found.get_layer("conv").set_weights([kernel, bias])
    return found


@pytest.fixture(scope="module")
def saved(model: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("models") / "tiny.keras"
    model.save(path)
    np.save(path.with_name("x.npy"), np.random.default_rng(0).normal(size=(6, 12, 10, 2)))
    return path


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    monkeypatch.chdir(tmp_path)

    def call(*words: object, code: int = 0) -> str:
        found = main(["model", *map(str, words)])
        said = capsys.readouterr()
        assert found == code, said.err
        return said.out or said.err

    return call


def test_layers_are_looked_into(saved: Path, run: Run, tmp_path: Path, model: Any) -> None:
    import keras

    told = run(
        "inspect", saved, "--inputs", saved.with_name("x.npy"), "--figures", "seen", "--json"
    )
    found = json.loads(told)
    assert (found["schema"], found["parameters"]) == ("dfh/model-inspection/1", 127)
    rows = {row["name"]: row for row in found["layers"]}
    assert list(rows) == ["conv", "pool", "drop", "head/deep", "head/flat"]
    conv = rows["conv"]
    weights = np.concatenate([one.ravel() for one in model.get_layer("conv").get_weights()])
    assert conv["norm"] == pytest.approx(np.linalg.norm(weights))
    assert (conv["largest"], conv["output"]) == (1000, [None, 10, 8, 4])
    assert (conv["units"], conv["zero_units"]) == (4, 1)
    assert (conv["active_units"], conv["dead_units"]) == (4, 2)
    assert conv["zeros"] > 0.5
    values = np.load(saved.with_name("x.npy")).astype("f4")
    pooled = keras.Model(model.inputs[0], model.get_layer("pool").output)(values)
    deep = keras.ops.convert_to_numpy(model.get_layer("head").layers[0](pooled))
    assert rows["head/deep"]["activation"] == pytest.approx(np.abs(deep).mean())
    assert rows["head/deep"]["dead_units"] == (deep == 0).all(0).sum()
    assert len(found["saliency"]) == 4
    assert np.shape(found["saliency"][0]["rows"]) == (12, 10)
    for name in ("weights", "saliency"):
        picture = ET.parse(tmp_path / "seen" / f"{name}.svg")
        assert picture.getroot().tag == "{http://www.w3.org/2000/svg}svg"
    assert "seen/weights.svg, seen/saliency.svg are there already" in run(
        "inspect", saved, "--inputs", saved.with_name("x.npy"), "--figures", "seen", code=2
    )


def test_a_unit_that_the_output_has_not_is_told_of_the_option(
    saved: Path, run: Run, model: Any
) -> None:
    from deepforge_hpc.training import inside

    asked = ("inspect", saved, "--unit", 3)
    told = run(*asked, "--inputs", saved.with_name("x.npy"), code=2)
    assert "--unit 3: the output has 3 units, 0 to 2" in told
    assert "--unit 3 is of examples, and there are none" in run(*asked, code=2)
    x = np.load(saved.with_name("x.npy")).astype("f4")
    assert inside.saliency(model, x, 2)[1] == [2] * len(x)
    with pytest.raises(inside.NoUnitError, match="3 units, 0 to 2"):
        inside.saliency(model, x, -1)


def test_a_file_with_code_runs_none_unless_it_is_trusted(run: Run, tmp_path: Path) -> None:
    import keras

    given = keras.Input((4,))
    keras.Model(given, keras.layers.Lambda(lambda x: 2 * x)(given)).save("code.keras")
    told = run("inspect", "code.keras", code=3)
    assert "it holds keras.layers:Lambda" in told
    assert "Say --trust" in told
    assert "Lambda" in run("inspect", "code.keras", "--trust")


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"x": np.zeros((2, 12, 10, 2))}, "it has no pixels; the model's inputs: ['pixels']"),
        ({"pixels": np.zeros((2, 12, 9, 2))}, "pixels wants examples of (12, 10, 2)"),
        ({"pixels": np.zeros((0, 12, 10, 2))}, "it needs examples"),
    ],
)
def test_inputs_that_do_not_fit_are_named(
    given: dict[str, Any], message: str, model: Any, tmp_path: Path
) -> None:
    from deepforge_hpc.libraries.keras.models import child

    np.savez(tmp_path / "x.npz", **given)
    with pytest.raises(child.Refused) as told:
        child._inputs(model, str(tmp_path / "x.npz"), 8)
    assert message in str(told.value)


def test_gradients_are_what_calculus_says() -> None:
    import keras

    from deepforge_hpc.training import inside

    model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(2, name="flat")])
    model.compile("sgd", "mse")
    rng = np.random.default_rng(2)
    x, y = rng.normal(size=(5, 3)).astype("f4"), rng.normal(size=(5, 2)).astype("f4")
    kernel, bias = model.get_weights()
    error = 2 * (x @ kernel + bias - y) / y.size
    ((name, found),) = inside.weight_gradients(model, x, y)
    assert name == "flat"
    assert found == pytest.approx(np.concatenate([(x.T @ error).ravel(), error.sum(0)]), abs=1e-6)

    ((name, _, value),) = inside.layer_outputs(model, x)
    assert (name, value) == ("flat", pytest.approx(x @ kernel + bias, abs=1e-6))
    (grads,), units = inside.saliency(model, x, None)
    assert units == [int(one) for one in (x @ kernel + bias).argmax(1)]
    assert grads == pytest.approx(kernel.T[units], abs=1e-6)
    (grads,), units = inside.saliency(model, x, 1)
    assert grads == pytest.approx(np.tile(kernel[:, 1], (5, 1)), abs=1e-6)


# -- other forms


def test_safetensors_has_the_weights_that_keras_has(
    saved: Path, run: Run, tmp_path: Path, model: Any
) -> None:
    from safetensors.numpy import load_file

    told = run("export", saved, "tiny.safetensors", "--to", "safetensors")
    assert told.splitlines()[0] == "tiny.safetensors"
    assert "bit by bit" in told
    found = load_file(tmp_path / "tiny.safetensors")
    assert sorted(found) == [
        "conv/bias", "conv/kernel",
        *(f"head/{name}/{part}" for name in ("deep", "flat") for part in ("bias", "kernel")),
    ]  # fmt: skip
    assert np.array_equal(found["conv/kernel"], model.get_layer("conv").get_weights()[0])
    flat = model.get_layer("head").get_layer("flat")
    assert np.array_equal(found["head/flat/bias"], flat.get_weights()[1])
    assert "is there already" in run(
        "export", saved, "tiny.safetensors", "--to", "safetensors", code=2
    )
    assert sorted(path.name for path in tmp_path.iterdir()) == ["tiny.safetensors"]


def test_safetensors_of_all_types_and_of_layers_within_a_layer(tmp_path: Path) -> None:
    import keras
    from safetensors import deserialize

    from deepforge_hpc.libraries.keras.models import child
    from deepforge_hpc.training import inside

    given = keras.Input((5, 2))
    value = keras.layers.Bidirectional(keras.layers.LSTM(3), name="both")(given)
    value = keras.layers.Dense(2, dtype="bfloat16", name="short")(value)
    model = keras.Model(given, keras.layers.Dense(1, dtype="float64", name="long")(value))
    told = {"out": str(tmp_path / "x"), "inside": inside.__file__}
    assert child.to_safetensors(model, told)["tensors"] == len(model.weights)
    found = dict(deserialize((tmp_path / "x").read_bytes()))
    assert {name: found[name]["dtype"] for name in ("short/kernel", "long/bias")} == {
        "short/kernel": "BF16",
        "long/bias": "F64",
    }
    assert len([name for name in found if name.startswith("both/")]) == 6
    wanted = keras.ops.convert_to_numpy(model.get_layer("short").kernel.value)
    assert bytes(found["short/kernel"]["data"]) == wanted.tobytes()

    data = bytearray((tmp_path / "x").read_bytes())
    data[-1] ^= 1
    (tmp_path / "x").write_bytes(data)
    header = int.from_bytes(data[:8], "little")
    with pytest.raises(child.Refused, match="was not written as it is"):
        child._compare_bytes(str(tmp_path / "x"), header, dict(child._named(model, inside)))


def test_without_the_parts_for_onnx_one_message_says_how_to_get_them(
    saved: Path, run: Run, tmp_path: Path
) -> None:
    told = run("export", saved, "net.onnx", "--to", "onnx", code=2)
    assert "its Keras has no torch" in told
    assert "onnx/bin/pip install keras torch onnx onnxscript onnxruntime h5py" in told
    assert list(tmp_path.iterdir()) == []
