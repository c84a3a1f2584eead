"""A trained network as ONNX, by Keras on torch, and run there."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from deepforge_hpc.cli.main import main
from deepforge_hpc.errors import InvalidInputError
from deepforge_hpc.libraries.keras.models.run import ModelTask, ask

pytestmark = [pytest.mark.torch, pytest.mark.timeout(600)]

PROGRAM = """
import keras, numpy as np
layers = keras.layers
keras.utils.set_random_seed(3)
pixels, more = keras.Input((8, 8, 2), name="pixels"), keras.Input((3,), name="more")
value = layers.Conv2D(4, 3, activation="relu")(pixels)
value = layers.BatchNormalization()(value)
value = layers.GlobalAveragePooling2D()(value)
value = layers.Concatenate()([layers.Dropout(0.5)(value), more])
model = keras.Model([pixels, more], layers.Dense(2, activation="softmax")(value))
model.save("net.keras")
rng = np.random.default_rng(5)
given = rng.normal(size=(5, 8, 8, 2)).astype("f4"), rng.normal(size=(5, 3)).astype("f4")
found = keras.ops.convert_to_numpy(model(list(given), training=False))
np.savez("told.npz", pixels=given[0], more=given[1], found=found)
"""


def test_a_network_runs_as_onnx_and_one_that_differs_is_not_published(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    import onnxruntime

    environ = {**os.environ, "KERAS_BACKEND": "torch"}
    subprocess.run([sys.executable, "-c", PROGRAM], env=environ, cwd=tmp_path, check=True)
    monkeypatch.chdir(tmp_path)
    assert main(["model", "export", "net.keras", "net.onnx", "--to", "onnx"]) == 0
    assert "outputs for 4 random examples" in capsys.readouterr().out
    told = np.load("told.npz")
    session = onnxruntime.InferenceSession("net.onnx", providers=["CPUExecutionProvider"])
    names = [one.name for one in session.get_inputs()]
    (found,) = session.run(None, dict(zip(names, (told["pixels"], told["more"]), strict=True)))
    assert found == pytest.approx(told["found"], abs=1e-5)

    out = tmp_path / "made"
    out.mkdir()
    strict = {"task": "onnx", "backend": "torch", "bound": -1.0, "out": str(out / "x.onnx")}
    with pytest.raises(InvalidInputError, match="the outputs differ by"):
        ask(Path("net.keras"), ModelTask(python=sys.executable, **strict))
