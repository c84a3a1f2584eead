"""A Keras training on torch is the same on one rank and on two of torchrun, over gloo; and of a file."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from deepforge_hpc.libraries.keras.library import KerasLibrary
from deepforge_hpc.libraries.keras.trial.judge import JUDGE
from deepforge_hpc.libraries.networks.trial.notices import notices
from deepforge_hpc.libraries.networks.trial.setting import TrialSetting
from deepforge_hpc.libraries.networks.trial.tried import Tried, try_out

pytestmark = [pytest.mark.torch, pytest.mark.timeout(600)]

PROGRAM = Path(__file__).parents[1] / "training" / "ranks_program.py"
CASES = ("exchanges", "equivalence", "normalised", "sparse", "measured", "dropped", "resumed")
TORCHRUN = ("-m", "torch.distributed.run", "--standalone", "--nproc-per-node")


def start(folder: Path, *launcher: str, cases: tuple[str, ...] = CASES) -> Path:
    folder.mkdir()
    environ = {**os.environ, "KERAS_BACKEND": "torch", "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [sys.executable, *launcher, PROGRAM, folder, "torch", *cases],
        env=environ, capture_output=True, text=True, timeout=500, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-4000:]
    return folder


def weights(folder: Path, case: str, rank: int = 0) -> list[Any]:
    with np.load(folder / f"{case}-{rank}.npz") as file:
        return [file[name] for name in sorted(file.files)]


def furthest(first: list[Any], second: list[Any]) -> float:
    pairs = zip(first, second, strict=True)
    return max(float(np.abs(mine - other).max()) for mine, other in pairs)


def found(folder: Path, rank: int = 0) -> Any:
    return json.loads((folder / f"{rank}.json").read_text())


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Every case on one rank, and on two."""
    base = tmp_path_factory.mktemp("ranks")
    return start(base / "one"), start(base / "two", *TORCHRUN, "2")


BOUNDS = {"sgd32": 1e-5, "sgd64": 1e-7}
"""On torch Keras computes a loss in 32 bits whatever it is given, so 1e-9 cannot be had."""


def test_four_ranks_learn_what_one_learns(folders: tuple[Path, Path], tmp_path: Path) -> None:
    four = start(tmp_path / "four", *TORCHRUN, "4", cases=("equivalence",))
    for case, bound in BOUNDS.items():
        for rank in (1, 2, 3):
            assert furthest(weights(four, case), weights(four, case, rank)) == 0, case
        assert furthest(weights(folders[0], case), weights(four, case)) <= bound, case


def test_two_ranks_learn_what_one_learns(folders: tuple[Path, Path]) -> None:
    one, two = folders
    bounds = {**BOUNDS, "synchronised": 1e-6, "sparse": 1e-5, "metrics": 1e-7}
    for case, bound in bounds.items():
        assert furthest(weights(two, case), weights(two, case, 1)) == 0, case
        assert furthest(weights(one, case), weights(two, case)) <= bound, case
    told = found(two, 1)
    assert (told["transport"], told["size"], told["rank"]) == ("torch", 2, 1)
    mine = found(one)["metrics"]["history"]
    assert told["metrics"]["history"] == {name: pytest.approx(v) for name, v in mine.items()}


def test_a_resumed_training_is_as_one_that_was_not_interrupted(folders: tuple[Path, Path]) -> None:
    for folder in folders:
        assert furthest(weights(folder, "uninterrupted"), weights(folder, "resumed")) <= 1e-6
        told, whole = found(folder)["resumed"], found(folder)["uninterrupted"]["history"]
        assert told["stops"] == ["SIGUSR1", "SIGTERM"]
        assert told["history"] == {name: pytest.approx(v, abs=1e-6) for name, v in whole.items()}
        assert len(whole["loss"]) < 6  # stopped early, by what it remembered
        assert told["again"]


def test_dropout_leaves_out_other_units_on_each_rank_and_in_each_step(
    folders: tuple[Path, Path],
) -> None:
    first, second = (found(folders[1], rank)["dropout"]["units"] for rank in (0, 1))
    every = [json.dumps(units) for units in (*first, *second)]
    assert len(set(every)) == len(every) == 24  # of 12 steps


PIPELINE = """\
pipeline: learn
inputs: {rows: rows.h5}
operations:
  train:
    uses: deepforge_hpc.operations:Train
    inputs: {dataset: rows}
    references: {model: network.yaml}
    attributes: {loss: sparse_categorical_crossentropy, target: kind, learning_rate: 0.01, epochs: 2, batch_size: 8, seed: 1}
    env: {KERAS_BACKEND: torch, OMP_NUM_THREADS: "1"}
"""
NETWORK = """\
library: keras
architecture: small
inputs: {x: [8, 8, 1]}
blocks:
  conv:
    parameters: [filters]
    layers:
      - y: [{Conv2D: {filters: $filters, kernel_size: 3, padding: same}}, {BatchNormalization: {}}, {ReLU: {}}]
  side:
    nested: true
    inputs: {z: [8, 8, 4]}
    layers: [{pooled: {GlobalAveragePooling2D: {}}}]
layers:
  - body: {conv: [4], repeat: 2}
  - pooled: {side: {}}
  - out: {Dense: {units: 3, activation: softmax}}
"""


def test_a_file_of_keras_is_trained_on_torch(make_project: Callable[..., Path], dfh: Any) -> None:
    project = make_project({"pipeline.yaml": PIPELINE, "network.yaml": NETWORK})
    rng = np.random.default_rng(0)
    with h5py.File(project / "rows.h5", "w") as file:
        file["x"] = rng.normal(size=(40, 8, 8, 1)).astype("float32")
        file["kind"] = rng.integers(0, 3, 40)
    dfh("run", "--site", "local", "--python", sys.executable, cwd=project, timeout=300)
    job = project / "executions" / "learn-0001" / "jobs" / "train"
    history = json.loads((job / "outputs" / "history.json").read_text())
    assert len(history["loss"]) == 2
    assert np.isfinite(history["loss"]).all()
    with zipfile.ZipFile(job / "outputs" / "model.keras") as saved:
        config = json.loads(saved.read("config.json"))
    assert [one["class_name"] for one in config["config"]["layers"]][-2:] == ["Functional", "Dense"]


def test_a_module_that_builds_a_network_of_torch_is_told_why_it_is_no_file(
    dfh: Callable[..., Any], tmp_path: Path
) -> None:
    (tmp_path / "net.py").write_text(
        "import keras\nimport torch\n\nmodel = torch.nn.Linear(2, 1)\n"
    )
    options = ("import", "net.py", "--run", "--python", sys.executable)
    told = dfh("arch", *options, cwd=tmp_path, expect=3, env={"KERAS_BACKEND": "torch"}).stderr
    assert "model gives a network of PyTorch, whose forward is code" in told


ROOT = """\
import keras, numpy as np
from deepforge_hpc import training

def root(wanted, found):  # its slope at 0 is infinite, and 0 times that no number
    return keras.ops.sqrt((keras.ops.cast(found, "float32") - wanted) * 0)

keras.config.set_dtype_policy("mixed_float16")
team = training.connect()
rows = np.ones((64, 2), "f4")
for epochs, loss in ((1, root), (12, root), (1, "mse")):
    model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])
    model.compile(training.distributed(keras.optimizers.SGD(0.1), team), loss, jit_compile=False)
    batches = training.Batches(rows, rows[:, :1], batch_size=16, seed=1, transport=team)
    try:
        training.fit(model, batches, epochs=epochs, transport=team)
        print("learnt")
    except training.TrainingError as error:
        print(error)
"""


def test_gradients_that_float16_never_holds_end_a_training_of_keras() -> None:
    done = subprocess.run(
        [sys.executable, "-c", ROOT],
        env={**os.environ, "KERAS_BACKEND": "torch", "OMP_NUM_THREADS": "1"},
        capture_output=True, text=True, timeout=300, check=True,
    )  # fmt: skip
    told = "precision mixed_float16: the optimizer makes no step"
    at_end, on_the_way, learnt = done.stdout.splitlines()[-3:]
    assert (at_end.startswith(told), on_the_way.startswith(told), learnt) == (True, True, "learnt")


def test_what_keras_has_on_tensorflow_alone_is_a_warning_where_torch_is_asked() -> None:
    head = "library: keras\narchitecture: net\ninputs: {x: {shape: [1], dtype: string}}\nlayers:\n"
    layer = "  - a: {StringLookup: {vocabulary: [a, b]}}\n"
    graph = KerasLibrary().graph(head + layer, "net.yaml")
    setting = TrialSetting(
        judge=JUDGE, python=sys.executable, backend="torch", job_backend="tensorflow"
    )
    found = try_out(graph, setting, ())
    assert isinstance(found, Tried)
    assert list(found.refused()) == []
    (notice,) = notices(found)
    assert notice.kind == "other_backend"
    assert "torch refuses it, and tensorflow may not" in notice.text
