"""A training of a PyTorch module is the same on one rank and on two, and goes on as if never stopped."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytestmark = [pytest.mark.torch, pytest.mark.timeout(300)]

PROGRAM = Path(__file__).with_name("torch_ranks_program.py")
TORCHRUN = ("-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2")


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Train on one rank and on two, every case in one process of each."""
    made = []
    for name, launcher in (("one", ()), ("two", TORCHRUN)):
        folder = tmp_path_factory.mktemp(name)
        done = subprocess.run(
            [sys.executable, *launcher, PROGRAM, folder],
            env={**os.environ, "OMP_NUM_THREADS": "1"},
            capture_output=True, text=True, timeout=250, check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr[-4000:]
        made.append(folder)
    return made[0], made[1]


def weights(folder: Path, case: str, rank: int = 0) -> dict[str, Any]:
    with np.load(folder / f"{case}-{rank}.npz") as file:
        return {name: file[name] for name in file.files}


def told(folder: Path, rank: int = 0) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((folder / f"{rank}.json").read_text())
    return found


def furthest(first: dict[str, Any], second: dict[str, Any]) -> float:
    assert first.keys() == second.keys()
    return max(float(np.abs(first[name] - second[name]).max()) for name in first)


@pytest.mark.parametrize(
    ("case", "bound"),
    [
        *(("sgd-float32", 1e-5), ("sgd-float64", 1e-9), ("accumulated", 1e-9)),
        *(("branching", 1e-9), ("waiting", 1e-9)),
    ],
)
def test_two_ranks_learn_what_one_learns(
    folders: tuple[Path, Path], case: str, bound: float
) -> None:
    one, two = folders
    assert (told(two, 1)["rank"], told(two)["size"]) == (1, 2)
    assert furthest(weights(two, case), weights(two, case, 1)) == 0
    assert furthest(weights(one, case), weights(two, case)) <= bound
    mine, others = told(one)[case], told(two, 1)[case]
    assert set(mine) == {"loss", "right", "val_loss", "val_right"}
    # 21 rows do not divide by two: sums and counts are put together, not means.
    assert others == {name: pytest.approx(values, abs=bound) for name, values in mine.items()}
    assert len(mine["loss"]) == 9
    assert mine["loss"][-1] < mine["loss"][0]


def test_gradients_travel_while_the_backward_pass_makes_others(folders: tuple[Path, Path]) -> None:
    steps, one, two = 6, *(told(folder)["order"] for folder in folders)
    assert one == ["made"] * steps
    # The last layer's leave before the first layer's are made, which leave in an exchange of theirs.
    assert two == ["sent", "made", "sent"] * steps


@pytest.mark.parametrize("place", [0, 1])
def test_a_resumed_training_is_as_one_that_was_not_interrupted(
    folders: tuple[Path, Path], place: int
) -> None:
    folder = folders[place]
    stopped, resumed, whole = (
        told(folder)[name] for name in ("stopped", "resumed", "uninterrupted")
    )
    assert len(stopped["loss"]) == 1
    assert len(whole["loss"]) == 4
    for name, values in whole.items():
        assert resumed[name] == pytest.approx(values, abs=1e-9), name
    assert furthest(weights(folder, "resumed"), weights(folder, "uninterrupted")) <= 1e-9


def test_what_cannot_go_on_says_why(folders: tuple[Path, Path]) -> None:
    for folder in folders:
        assert "the loss is no number any more" in told(folder)["lost"]
        assert "was not made yet" in told(folder)["lost"]
        assert "is of another architecture" in told(folder)["other"]


def test_a_training_on_torch_needs_no_keras(folders: tuple[Path, Path]) -> None:
    assert told(folders[0])["keras"] is False


def test_the_operation_trains_a_network_of_a_file() -> None:
    import torch

    from deepforge_hpc.libraries.torch.library import TorchLibrary
    from deepforge_hpc.operations.train_torch import TrainTorch
    from deepforge_hpc.training import TrainingError

    names: dict[str, Any] = {}
    text = TorchLibrary().examples()["mlp"]
    exec(TorchLibrary().compile(text, "mlp.yaml").code, names)
    rng = np.random.default_rng(1)
    x = rng.normal(size=(300, 20)).astype("f4")
    dataset = {"table": x, "target": (x @ rng.normal(size=(20, 3))).argmax(1)}

    def trained(**more: Any) -> Any:
        words: dict[str, Any] = {"epochs": 12, "metrics": ["accuracy"], "inputs": {"x": "table"}}
        words |= {"optimizer": {"AdamW": {"lr": 0.01}}, "schedule": {"StepLR": {"step_size": 8}}}
        settings = TrainTorch(names["build"](), "CrossEntropyLoss", **{**words, **more})
        return settings.execute(dataset)  # type: ignore[arg-type]

    weights, history, report = trained()
    assert report == {"ranks": 1, "transport": "one rank", "rows": 270, "steps_per_epoch": 8}
    assert history["accuracy"][-1] > 0.8
    assert len(history["val_accuracy"]) == 12
    again, same, _ = trained()
    assert same == history
    assert all(torch.equal(weights[name], again[name]) for name in weights)
    names["build"]().load_state_dict(weights)
    for more, said in (
        ({"augment": "dihedral"}, r"no input is one: x \(20,\)"),
        ({"augment": "spin"}, "'spin' is none of dihedral, flip"),
        ({"metrics": ["auc"]}, "there are accuracy, mean_absolute_error"),
        ({"inputs": {"y": "table"}}, "the network has no input"),
        ({"optimizer": {"SGD": {"momentum": -1.0}}}, "SGD cannot be made with"),
    ):
        with pytest.raises(TrainingError, match=said):
            trained(**more)
    none = {name: item[:0] for name, item in dataset.items()}
    settings = TrainTorch(names["build"](), "CrossEntropyLoss", inputs={"x": "table"})
    with pytest.raises(TrainingError, match="the input validation has no rows"):
        settings.execute(dataset, none)  # type: ignore[arg-type]
