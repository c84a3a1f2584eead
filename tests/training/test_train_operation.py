"""The training operation on one rank, and on two by Horovod."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

pytestmark = [pytest.mark.training, pytest.mark.filterwarnings("default")]

TINY = """\
library: keras
architecture: tiny
inputs: {pixels: [8, 8, 5]}
layers:
  - scaled: {Rescaling: {scale: 0.04, offset: -2.3}}
  - conv: {Conv2D: {filters: 6, kernel_size: 3, activation: relu}}
  - pool: {GlobalAveragePooling2D: {}}
  - wide: {Dense: {units: 16, activation: relu}}
  - out: {Dense: {units: 8, activation: softmax}}
"""
NORMALISED = TINY.replace("  - pool:", "  - norm: {BatchNormalization: {momentum: 0.5}}\n  - pool:")
SETTINGS = {"epochs": 3, "batch_size": 32, "bins": 8, "learning_rate": 0.01, "seed": 5}

PROGRAM = """
import hashlib, json, os, sys
sys.path.insert(0, sys.argv[1])
os.chdir(sys.argv[2])
import h5py, keras
from deepforge_hpc.libraries.keras.library import KerasLibrary
from operations.train import TrainValidate
rank = os.environ.get("OMPI_COMM_WORLD_RANK", "0")
keras.utils.set_random_seed(100 + int(rank))    # ranks start apart
namespace = {}
exec(KerasLibrary().compile(open("net.yaml").read(), "net.yaml").code, namespace)
settings = json.load(open("settings.json"))
with h5py.File("data.h5") as dataset:
    model, history, _ = TrainValidate(namespace["build"](), **settings).execute(dataset)
weights = [w.tolist() for w in model.get_weights()]
json.dump({"weights": weights, "history": history}, open(sys.argv[3] + rank + ".json", "w"))
model.save(sys.argv[3] + rank + ".keras")
"""


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A dataset whose redshift is the brightness of its images, and a network."""
    rng = np.random.default_rng(3)
    redshift = rng.uniform(0, 0.4, 300)
    pixels = 56 + 300 * redshift[:, None, None, None] + rng.normal(0, 4, (300, 8, 8, 5))
    with h5py.File(tmp_path / "data.h5", "w") as file:
        file["pixels"] = pixels.astype(np.uint8)
        file["redshift"] = redshift.astype(np.float32)
        file["train"] = (np.arange(300) < 240).astype(np.uint8)
    (tmp_path / "net.yaml").write_text(TINY)
    (tmp_path / "settings.json").write_text(json.dumps(SETTINGS))
    (tmp_path / "program.py").write_text(PROGRAM)
    return tmp_path


def train(project: Path, example: Path, name: str, *, ranks: int, launcher: list[str]) -> list[Any]:
    """Train in a process of its own; return what each rank ended with."""
    environ = {**os.environ, "DFH_WORLD_SIZE": str(ranks), "TF_NUM_INTRAOP_THREADS": "1"}
    environ |= {"OMPI_ALLOW_RUN_AS_ROOT": "1", "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM": "1"}
    # As many ranks as cores: a waiting rank must not take the core of a working one.
    environ |= {"OMPI_MCA_mpi_yield_when_idle": "1", "HOROVOD_STALL_SHUTDOWN_TIME_SECONDS": "120"}
    done = subprocess.run(
        [*launcher, sys.executable, project / "program.py", example, project, name],
        env=environ, capture_output=True, text=True, timeout=280, check=False,
    )  # fmt: skip
    if done.returncode:
        raise RuntimeError(done.stderr[-3000:])
    return [json.loads((project / f"{name}{rank}.json").read_text()) for rank in range(ranks)]


MPIRUN = ["mpirun", "-np", "2", "--oversubscribe", "--bind-to", "none"]
MPIRUN += ["--mca", "btl_vader_single_copy_mechanism", "none", "--mca", "btl", "self,vader"]


@pytest.mark.horovod
def test_two_ranks_learn_what_one_learns(project: Path, example: Path) -> None:
    (one,) = train(project, example, "one", ranks=1, launcher=[])
    first, second = train(project, example, "two", ranks=2, launcher=MPIRUN)
    assert first["weights"] == second["weights"]
    for mine, other in zip(one["weights"], first["weights"], strict=True):
        assert np.allclose(mine, other, atol=1e-4)
    assert first["history"] == second["history"]
    for name in ("loss", "val_loss"):
        assert first["history"][name] == pytest.approx(one["history"][name], rel=1e-3)
    assert one["history"]["loss"][-1] < one["history"]["loss"][0]
    # What was saved needs nothing of ours, and carries no optimizer.
    import keras

    model = keras.saving.load_model(project / "two0.keras", safe_mode=True)
    assert not model.compiled
    for mine, other in zip(model.get_weights(), first["weights"], strict=True):
        assert np.allclose(mine, other)


@pytest.mark.horovod
def test_normalisation_ends_with_the_same_statistics_on_each_rank(
    project: Path, example: Path
) -> None:
    (project / "net.yaml").write_text(NORMALISED)
    first, second = train(project, example, "norm", ranks=2, launcher=MPIRUN)
    assert first["weights"] == second["weights"]
    assert len(first["weights"]) == 10


@pytest.mark.horovod
def test_ranks_without_their_launcher_are_refused(project: Path, example: Path) -> None:
    with pytest.raises(RuntimeError, match="Horovod sees 1 ranks, and the job has 2"):
        train(project, example, "alone", ranks=2, launcher=[])


def test_the_seed_alone_decides_what_is_learnt(project: Path, example: Path) -> None:
    import keras
    from operations.train import TrainValidate

    from deepforge_hpc.libraries.keras.library import KerasLibrary

    namespace: dict[str, Any] = {}
    exec(KerasLibrary().compile(TINY, "net.yaml").code, namespace)
    found = []
    with h5py.File(project / "data.h5") as dataset:
        for noise, seed in ((1, 5), (2, 5), (3, 6)):
            keras.utils.set_random_seed(noise)
            settings = {**SETTINGS, "epochs": 1, "seed": seed}
            model, _, _ = TrainValidate(namespace["build"](), **settings).execute(dataset)
            found.append(np.concatenate([w.ravel() for w in model.get_weights()]))
    assert np.allclose(found[0], found[1], atol=1e-6)
    assert not np.allclose(found[0], found[2], atol=1e-3)


def test_predictions_follow_what_was_learnt(project: Path, example: Path) -> None:
    from operations.evaluate import sigma_mad
    from operations.predict import Predict
    from operations.train import TrainValidate

    from deepforge_hpc.libraries.keras.library import KerasLibrary

    namespace: dict[str, Any] = {}
    exec(KerasLibrary().compile(TINY, "net.yaml").code, namespace)
    with h5py.File(project / "data.h5") as dataset:
        settings = {**SETTINGS, "epochs": 30, "learning_rate": 0.03}
        model, history, binning = TrainValidate(namespace["build"](), **settings).execute(dataset)
        assert len(history["loss"]) == 30
        plain = Predict(batch_size=23).execute(model, binning, dataset)
        turned = Predict(orientations=8).execute(model, binning, dataset)
        redshift = dataset["redshift"][240:]
    assert list(plain["row"]) == list(range(240, 300))
    assert plain["pdf"].sum(axis=1) == pytest.approx(1, abs=1e-5)
    assert np.array_equal(plain["redshift"], redshift)
    spread = sigma_mad(redshift)
    assert sigma_mad(plain["predicted"] - redshift) < 0.5 * spread
    assert sigma_mad(turned["predicted"] - redshift) < 0.5 * spread


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"bins": 4}, "the network has 8 outputs for 4 bins"),
        ({"batch_size": 300}, "at most the 216 training galaxies"),
        ({"max_redshift": 0.1}, "set max_redshift"),
    ],
)
def test_settings_that_do_not_fit_are_named(
    change: dict[str, Any], message: str, project: Path
) -> None:
    from operations.train import TrainValidate

    from deepforge_hpc.libraries.keras.library import KerasLibrary

    namespace: dict[str, Any] = {}
    exec(KerasLibrary().compile(TINY, "net.yaml").code, namespace)
    with (
        h5py.File(project / "data.h5") as dataset,
        pytest.raises(ValueError, match=message),
    ):
        TrainValidate(namespace["build"](), **{**SETTINGS, **change}).execute(dataset)


def test_batches_hold_each_galaxy_once_whatever_the_number_of_ranks() -> None:
    from operations.data import Batches

    images = np.random.default_rng(0).integers(0, 255, (40, 4, 4, 5), dtype=np.uint8)
    labels = np.arange(40)

    def rank(number: int, ranks: int) -> list[Any]:
        batches = Batches(
            [images], labels, batch_size=8, seed=1, augment=True, rank=number, ranks=ranks
        )
        return [batches[i] for i in range(len(batches))]

    whole = rank(0, 1)
    assert sorted(np.concatenate([found for _, found in whole])) == list(range(40))
    for one, first, second in zip(whole, rank(0, 2), rank(1, 2), strict=True):
        assert np.array_equal(one[0], np.concatenate([first[0], second[0]]))
        assert np.array_equal(one[1], np.concatenate([first[1], second[1]]))
    # Turned and mirrored: the same pixels in another order, and not all as they were.
    for pictures, found in whole:
        same = [np.array_equal(a, images[i]) for a, i in zip(pictures, found, strict=True)]
        assert not all(same)
        for a, i in zip(pictures, found, strict=True):
            assert np.array_equal(np.sort(a, axis=None), np.sort(images[i], axis=None))


def test_a_network_with_images_and_reddening_gets_both_in_every_step(
    project: Path, example: Path
) -> None:
    """As the network of Pasquet et al.; here the reddening alone tells the redshift."""
    import keras
    from operations.predict import Predict
    from operations.train import TrainValidate

    from deepforge_hpc.libraries.keras.library import KerasLibrary

    text = TINY.replace("{pixels: [8, 8, 5]}", "{pixels: [8, 8, 5], reddening: [1]}")
    text = text.replace("offset: -2.3}}", "offset: -2.3}, from: pixels}")
    text = text.replace(
        "  - wide:", "  - both: {Concatenate: {}, from: [pool, reddening]}\n  - wide:"
    )
    namespace: dict[str, Any] = {}
    exec(KerasLibrary().compile(text, "net.yaml").code, namespace)
    with h5py.File(project / "data.h5", "r+") as dataset:
        dataset["pixels"][:] = 56
        dataset["reddening"] = 5 * dataset["redshift"][:][:, None]
        settings = {**SETTINGS, "epochs": 20, "learning_rate": 0.03, "max_redshift": 0.5}
        model, history, binning = TrainValidate(namespace["build"](), **settings).execute(dataset)
        assert [item.name for item in model.inputs] == ["pixels", "reddening"]
        assert len(history["val_loss"]) == 20
        predictions = Predict(orientations=2).execute(model, binning, dataset)
        error = predictions["predicted"] - predictions["redshift"]
        assert np.median(np.abs(error)) < 0.02
        del dataset["reddening"]
        with pytest.raises(KeyError, match="the network has the inputs reddening, and the dataset"):
            Predict().execute(model, binning, dataset)
    keras.backend.clear_session()
