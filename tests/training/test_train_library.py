"""The operation `deepforge_hpc.operations:Train`: its settings, and a job that is interrupted."""

from __future__ import annotations

import json
import os
import signal
import sys
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

PARTS = ("waiting", "compile", "compute", "communication", "validation", "checkpoint")
pytestmark = [pytest.mark.training, pytest.mark.filterwarnings("default")]

LOSS = {"SparseCategoricalCrossentropy": {"from_logits": True}}
NETWORK = """\
library: keras
architecture: small
inputs: {pixels: [8, 8, 1]}
layers:
  - conv: {Conv2D: {filters: 4, kernel_size: 3, activation: relu}}
  - norm: {BatchNormalization: {momentum: 0.5}}
  - drop: {Dropout: {rate: 0.2}}
  - pool: {GlobalAveragePooling2D: {}}
  - out: {Dense: {units: 3}}
"""


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("data") / "images.h5"
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 3, 120)
    with h5py.File(path, "w") as file:
        pixels = rng.normal(labels[:, None, None, None], 0.5, (120, 8, 8, 1)).astype("f4")
        file.create_dataset("pixels", data=pixels, chunks=(1, 8, 8, 1))
        file["kind"] = labels
        file["trust"] = np.where(labels == 0, 0.0, 1.0)
        file["onehot"] = np.eye(3, dtype="f4")[labels]
        file["short"] = np.ones(10, "u1")
        file["use"] = (np.arange(120) < 100).astype("u1")
    return path


def network(units: int = 3, dropout: list[float] | None = None) -> Any:
    import keras

    return keras.Sequential(
        [
            keras.Input((8, 8, 1), name="pixels"),
            keras.layers.Conv2D(4, 3, activation="relu", name="conv"),
            keras.layers.BatchNormalization(momentum=0.5, name="norm"),
            *(keras.layers.Dropout(rate, name="drop") for rate in dropout or []),
            keras.layers.GlobalAveragePooling2D(name="pool"),
            keras.layers.Dense(units, name="out"),
        ]
    )


def train(dataset: Path, initial: Any = None, model: Any = None, **settings: Any) -> Any:
    from deepforge_hpc.operations.train import Train

    given = {"loss": LOSS, "target": "kind", "epochs": 2, "batch_size": 16, "seed": 4, **settings}
    with h5py.File(dataset) as file:
        return Train(model or network(), **given).execute(file, initial=initial)


def test_one_call_with_most_settings(dataset: Path) -> None:
    model, history, report = train(
        dataset, epochs=6, rows="use", optimizer={"AdamW": {"weight_decay": 0.001}},
        learning_rate=0.01, learning_rate_batch=8, warmup_epochs=1, schedule="CosineDecay",
        metrics=["accuracy", {"SparseTopKCategoricalAccuracy": {"k": 2, "name": "top2"}}],
        callbacks=["TerminateOnNaN"], early_stopping={"patience": 9}, keep="best",
        augment="dihedral", clip={"global_clipnorm": 1.0}, accumulate=2, synchronize=True,
        precision="mixed_bfloat16", class_weight={"0": 2.0, "1": 1.0, "2": 1.0}, memory_gib=0,
    )  # fmt: skip
    assert report["learning_rate"] == (
        "0.02 = 0.01 x 16/8 (batch_size/learning_rate_batch), then CosineDecay over 25 steps, "
        "after a warm-up of 5 steps"
    )
    assert (report["steps_per_epoch"], report["rows"], report["ranks"]) == (5, 90, 1)
    assert report["synchronized"] == 1
    assert {"loss", "val_loss", "top2", "val_accuracy"} <= set(history)
    assert history["val_accuracy"][-1] > 0.6
    assert not model.compiled
    assert {item.dtype for item in model.weights} == {"float32"}
    assert model.layers[0].compute_dtype == "float32"


def test_the_seed_decides_and_what_is_set_has_effect(dataset: Path) -> None:
    def weights(**settings: Any) -> Any:
        model, _, _ = train(dataset, epochs=1, **settings)
        return np.concatenate([w.ravel() for w in model.get_weights()])

    plain = weights()
    assert np.array_equal(plain, weights())
    changes: list[dict[str, Any]] = [
        {"augment": "flip"}, {"sample_weight": "trust"}, {"clip": {"clipvalue": 1e-3}},
        {"class_weight": {"0": 9.0, "1": 1.0, "2": 1.0}}, {"accumulate": 3}, {"warmup_epochs": 1.0},
    ]  # fmt: skip
    for change in changes:
        assert not np.array_equal(plain, weights(**change)), change


def test_weights_to_begin_with_and_to_keep(dataset: Path) -> None:
    first, _, _ = train(dataset)
    wide = network(units=4)  # its last layer has another shape
    model, _, report = train(dataset, initial=first, model=wide, freeze=["conv", "n*"])
    found = report["initial"]
    assert found["loaded"] == [
        "conv/kernel", "conv/bias", "norm/gamma", "norm/beta", "norm/moving_mean",
        "norm/moving_variance",
    ]  # fmt: skip
    assert found["reshaped"] == [
        "out/kernel: (4, 3) there, (4, 4) here",
        "out/bias: (3,) there, (4,) here",
    ]
    assert (found["missing"], found["unused"], report["frozen"]) == ([], [], ["conv", "norm"])
    for mine, theirs in zip(model.get_weights()[:6], first.get_weights()[:6], strict=True):
        assert np.array_equal(mine, theirs)


def nested(value: float) -> Any:
    """Return a network whose two parts have layers of the same name."""
    import keras

    model = keras.Sequential([keras.Input((8, 8, 1), name="pixels"), keras.layers.Flatten()])
    for name, size in (("a", 64), ("b", 3)):
        given = keras.Input((size,))
        model.add(keras.Model(given, keras.layers.Dense(3, name="y")(given), name=name))
    for weight in model.weights:
        weight.assign(keras.ops.full(weight.shape, value))
    return model


def test_weights_of_nested_models_have_their_place() -> None:
    from deepforge_hpc.operations.weights import begin_with, by_place

    model = nested(0)
    report = begin_with(model, by_place(nested(1)))
    assert report["loaded"] == ["a/y/kernel", "a/y/bias", "b/y/kernel", "b/y/bias"]
    assert all((weight == 1).all() for weight in model.get_weights())
    assert not report["unused"]


def test_a_metric_of_several_numbers_and_a_rate_of_the_optimizers_own(
    dataset: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "log").touch()
    monkeypatch.setenv("DFH_METRICS", str(tmp_path / "log"))
    _, history, report = train(
        dataset, epochs=1, target="onehot", metrics=["F1Score"], warmup_epochs=1,
        loss={"CategoricalCrossentropy": {"from_logits": True}},
        optimizer={"SGD": {"learning_rate": 0.5}},
    )  # fmt: skip
    assert report["learning_rate"] == "0.5, after a warm-up of 6 steps"
    (scores,) = history["f1_score"]
    assert len(scores) == len(history["val_f1_score"][0]) == 3
    assert json.loads((tmp_path / "log").read_text())["f1_score"] == pytest.approx(np.mean(scores))


def fit(
    folder: Path, stop_at: int = 0, activation: str = "relu", at_once: int = 1, **data: Any
) -> Any:
    """Fit with averages of the weights, perhaps asked to stop at a step.

    Return the weights, and behind them the loss of each epoch.
    """
    import keras

    from deepforge_hpc import training

    def ask(batch: int, logs: Any) -> None:
        if int(model.optimizer.iterations) == stop_at:
            os.kill(os.getpid(), signal.SIGUSR1)

    keras.utils.set_random_seed(1)
    hidden = keras.layers.Dense(4, activation=activation)
    model = keras.Sequential([keras.Input((2,)), hidden, keras.layers.Dense(1)])
    optimizer = keras.optimizers.SGD(0.05, use_ema=True, ema_momentum=0.5)
    model.compile(optimizer, "mse", steps_per_execution=at_once)
    x = np.random.default_rng(0).normal(size=(40, 2))
    given = {"chosen": np.arange(32), "targets": x.sum(axis=1), **data}
    team = training.connect()
    batches = training.Batches(x, batch_size=8, transport=team, **given)
    told = [keras.callbacks.LambdaCallback(on_train_batch_end=ask)]
    history = training.fit(
        model, batches, epochs=3, transport=team, checkpoints=folder, callbacks=told
    )
    return np.concatenate([*(item.ravel() for item in model.get_weights()), history["loss"]])


@pytest.mark.parametrize("at_once", [1, 2])
def test_averages_of_weights_and_losses_are_the_same_after_an_interruption(
    tmp_path: Path, at_once: int
) -> None:
    """Also where a call makes several steps, so that the first of them is not told."""
    whole = fit(tmp_path / "whole", at_once=at_once)
    before = signal.signal(signal.SIGUSR1, lambda *_: None)
    try:
        fit(tmp_path / "parts", stop_at=6, at_once=at_once)
    finally:
        signal.signal(signal.SIGUSR1, before)
    for _ in ("goes on", "is over"):
        assert fit(tmp_path / "parts", at_once=at_once) == pytest.approx(whole, abs=1e-6)


def test_what_would_go_on_from_copies_of_its_own_is_refused(tmp_path: Path) -> None:
    import keras

    from deepforge_hpc import training

    team = training.connect()
    own = keras.callbacks.BackupAndRestore(str(tmp_path))
    rows = training.Batches(np.zeros((8, 2)), batch_size=8, transport=team)
    with pytest.raises(training.TrainingError, match="BackupAndRestore would set weights of its"):
        training.fit(None, rows, epochs=1, transport=team, callbacks=[own])


def test_a_checkpoint_of_other_data_or_other_settings_is_refused(tmp_path: Path) -> None:
    from deepforge_hpc.training import TrainingError

    fit(tmp_path)
    with pytest.raises(TrainingError, match=r"other data or batches .content: "):
        fit(tmp_path, chosen=np.arange(8, 40))
    with pytest.raises(TrainingError, match=r"other data or batches .content: "):
        fit(tmp_path, targets=np.zeros(40))
    with pytest.raises(TrainingError, match="whose layers have other settings"):
        fit(tmp_path, activation="tanh")


def test_gradients_and_activations_are_recorded_and_change_nothing(
    dataset: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    log = tmp_path / "metrics.jsonl"
    monkeypatch.setenv("DFH_METRICS", str(log))
    plain, _, _ = train(dataset)
    log.unlink()
    watched, _, _ = train(dataset, record=["gradients", "activations"], memory_gib=0)
    for mine, theirs in zip(watched.get_weights(), plain.get_weights(), strict=True):
        assert np.array_equal(mine, theirs)
    lines = [json.loads(line) for line in log.read_text().splitlines()]
    assert [line["step"] for line in lines] == [1, 1, 2, 2]
    for inside, last in (lines[:2], lines[2:]):
        assert set(inside) - {"t", "step"} == {
            *(f"gradients/{name}" for name in ("conv", "norm", "out")),
            *(f"activations/{name}" for name in ("conv", "norm", "pool", "out")),
        }
        assert all(value > 0 for value in inside.values())
        assert "loss" in last  # which `dfh status` shows
    assert lines[0]["gradients/out"] != lines[2]["gradients/out"]


def test_a_training_of_pytorch_stops_where_keras_would() -> None:
    import keras

    from deepforge_hpc.training.early_stopping import EarlyStopping

    rng = np.random.default_rng(0)
    words: list[dict[str, Any]] = [
        {"patience": patience, "min_delta": delta, "baseline": baseline, "start_from_epoch": first,
         "mode": mode}
        for patience in (0, 1, 3)
        for delta in (0.0, 0.2)
        for baseline in (None, 0.3)
        for first in (0, 2)
        for mode in ("auto", "max")
    ]  # fmt: skip
    for given in words:
        theirs, mine = keras.callbacks.EarlyStopping(**given), EarlyStopping(**given)
        theirs.set_model(model := keras.Sequential())
        model.stop_training = False
        theirs.on_train_begin()
        for epoch, value in enumerate(rng.random(12)):
            theirs.on_epoch_end(epoch, {"val_loss": float(value)})
            mine.is_best(epoch, float(value))
            assert mine.is_over == bool(model.stop_training), given
            assert (mine.wait, mine.best_epoch) == (theirs.wait, theirs.best_epoch), given
            if mine.is_over:
                break


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"optimizer": "Adamm"}, "Keras has no optimizer Adamm; did you mean Adam?"),
        ({"loss": "nonsense"}, "Keras has no loss nonsense"),
        ({"metrics": [{"AUC": {"curves": 1}}]}, "metric AUC cannot be made with {'curves': 1}"),
        ({"callbacks": ["os:It"]}, "no callback os:It; for one of your own, write an operation"),
        ({"callbacks": [{"A": {}, "B": {}}]}, "callback must be Name or {Name: {argument: value}}"),
        (
            {"target": "labels"},
            "target: the dataset has no 'labels'; it has kind, onehot, pixels, short, trust, use",
        ),
        ({"inputs": {"images": "pixels"}}, "the network has no input ['images'], but ['pixels']"),
        ({"metrics": ["mae"]}, "the metric MeanAbsoluteError cannot be computed (a target of ()"),
        ({"loss": {"Huber": {"reduction": "sum"}}, "target": "onehot"}, "must be a mean over rows"),
        ({"accumulate": 13}, "accumulate 13: the training has 12 batches in all"),
        ({"batch_size": 128}, "there are 108 rows, too few for a batch of 128"),
        ({"freeze": ["dense*"]}, "freeze: no layer matches 'dense*'; there are conv, norm, pool"),
        ({"rows": "short"}, "rows: 'short' has the shape (10,), and there are 120 rows"),
        ({"metrics": [{"Mean": {"name": "step"}}]}, "metrics: none can be named step"),
        ({"optimizer": {"SGD": {"learning_rate": {}}}}, "its learning_rate is {}, not a number"),
        ({"augment": "spin"}, "augment 'spin' is none of dihedral, flip"),
        ({"record": ["weights"]}, "record has ['weights']; it takes gradients and activations"),
        ({"clip": {"norm": 1.0}}, "clip has ['norm']; it takes clipnorm"),
    ],
)
def test_a_setting_that_does_not_fit_is_named(
    settings: dict[str, Any], message: str, dataset: Path
) -> None:
    from deepforge_hpc.training import TrainingError

    with pytest.raises(TrainingError) as told:
        train(dataset, **settings)
    assert message in str(told.value)


OWN = """\
  own:
    uses: operations.py:Learn
    inputs: {dataset: images}
    references: {model: network.yaml}
"""
OPERATION = '''\
"""A training of one's own, whose first attempt is asked to stop within its third epoch."""
import os
import signal

import h5py
import keras

from deepforge_hpc import training


class StopOnce(keras.callbacks.Callback):
    def on_train_batch_end(self, batch, logs=None):
        if os.environ["DFH_ATTEMPT"] == "1" and int(self.model.optimizer.iterations) == 17:
            os.kill(os.getpid(), signal.SIGUSR1)


class Learn:
    def __init__(self, model: keras.Model):
        self.model = model

    def execute(self, dataset: h5py.File) -> dict:
        history = learn(self.model, dataset, [StopOnce()])
        return history


def learn(given, dataset, callbacks):
    team = training.connect()
    keras.utils.set_random_seed(2)
    model = keras.models.clone_model(given)
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(training.distributed("adam", team), loss, metrics=["accuracy"])
    batches = training.Batches(
        dataset["pixels"], dataset["kind"][:], batch_size=16, seed=2, transport=team
    )
    return training.fit(model, batches, epochs=4, transport=team, callbacks=callbacks)
'''


def test_batches_are_of_their_epoch_whatever_keras_looked_at_before() -> None:
    from deepforge_hpc.training import Batches
    from deepforge_hpc.training.transports.base import OneRank

    batches = Batches(np.arange(12), batch_size=2, transport=OneRank())

    def begun(epoch: int, looks: int) -> tuple[int, int]:
        for _ in range(looks):
            batches.on_epoch_begin()  # on JAX Keras does, to see a batch
        batches.begin_epoch(epoch)
        batches.on_epoch_begin()
        return batches.epoch, batches.first_step

    batches.begin_at(1, 2)
    assert [begun(1, 2), begun(2, 0), begun(3, 1)] == [(1, 2), (2, 0), (3, 0)]


def test_jobs_train_with_nothing_of_ours_and_go_on_from_a_checkpoint(
    dataset: Path, make_project: Any, dfh: Any, fixture_module: Any
) -> None:
    pipeline = fixture_module("learning").pipeline(OWN, "  history: {from: own.history}\n")
    files = {"pipeline.yaml": pipeline, "network.yaml": NETWORK, "operations.py": OPERATION}
    project = make_project(files)
    (project / "images.h5").write_bytes(dataset.read_bytes())
    quiet = {"TF_CPP_MIN_LOG_LEVEL": "3"}
    run = ("run", "--site", "local", "--python", sys.executable)
    stopped = dfh(*run, cwd=project, env=quiet, expect=None)
    assert "interrupted" in stopped.stdout
    jobs = project / "executions" / "learn-0001" / "jobs"
    assert (jobs / "own" / "checkpoints" / "step-0000000017.npz").is_file()
    dfh("resume", "learn-0001", cwd=project, env=quiet)
    dfh("status", "learn-0001", "--watch", cwd=project)
    history = json.loads((jobs / "own" / "outputs" / "history.json").read_text())

    namespace: dict[str, Any] = {}
    exec(compile(OPERATION, "operations.py", "exec"), namespace)
    with h5py.File(dataset) as file:
        whole = namespace["learn"](network(dropout=[0.2]), file, [])
    assert history["loss"] == pytest.approx(whole["loss"], abs=1e-6)
    assert history["accuracy"] == pytest.approx(whole["accuracy"], abs=1e-6)

    report = json.loads((jobs / "train" / "outputs" / "report.json").read_text())
    assert (report["ranks"], report["transport"]) == (1, "one rank")
    metrics = (jobs / "train" / "metrics.jsonl").read_text().splitlines()
    lines = [json.loads(line) for line in metrics]
    assert [line["step"] for line in lines] == [1, 2]
    for line in lines:
        told = {name: line[f"time/{name}"] for name in (*PARTS, "epoch")}
        assert all(value >= 0 for value in told.values())
        assert 0 < told["compute"] <= sum(told[part] for part in PARTS) <= told["epoch"]
        assert line["memory/peak_mib"] > 50
    assert lines[0]["time/checkpoint"] == 0 < lines[1]["time/checkpoint"]
    assert lines[1]["time/validation"] > 0
