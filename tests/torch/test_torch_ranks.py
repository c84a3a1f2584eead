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
TORCHRUN = ("-m", "torch.distributed.run", "--standalone", "--nproc-per-node")


def trained(folder: Path, *launcher: str) -> Path:
    """Train, every case in one process of each rank."""
    done = subprocess.run(
        [sys.executable, *launcher, PROGRAM, folder],
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        capture_output=True, text=True, timeout=250, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-4000:]
    return folder


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Train on one rank and on two."""
    one, two = map(tmp_path_factory.mktemp, ("one", "two"))
    return trained(one), trained(two, *TORCHRUN, "2")


@pytest.fixture(scope="module")
def four(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Train on four ranks, the first few cases."""
    return trained(tmp_path_factory.mktemp("four"), *TORCHRUN, "4")


def weights(folder: Path, case: str, rank: int = 0) -> dict[str, Any]:
    with np.load(folder / f"{case}-{rank}.npz") as file:
        return {name: file[name] for name in file.files}


def told(folder: Path, rank: int = 0) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((folder / f"{rank}.json").read_text())
    return found


def furthest(first: dict[str, Any], second: dict[str, Any]) -> float:
    assert first.keys() == second.keys()
    return max(float(np.abs(first[name] - second[name]).max()) for name in first)


def test_no_thread_of_gloo_outlives_python(four: Path) -> None:
    """One that takes Python's lock too late aborts the process."""
    for rank in range(4):
        threads = (four / f"{rank}.threads").read_text()
        assert threads
        assert "gloo" not in threads


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
    same(one, two, 2, case, bound)
    mine = told(one)[case]
    assert set(mine) == {"loss", "right", "val_loss", "val_right"}
    assert len(mine["loss"]) == 9
    assert mine["loss"][-1] < mine["loss"][0]


@pytest.mark.parametrize(
    ("case", "bound"), [("sgd-float32", 1e-5), ("sgd-float64", 1e-9), ("branching", 1e-9)]
)
def test_four_ranks_learn_what_one_learns(
    folders: tuple[Path, Path], four: Path, case: str, bound: float
) -> None:
    same(folders[0], four, 4, case, bound)


def same(one: Path, several: Path, size: int, case: str, bound: float) -> None:
    """Hold that all ranks ended with the same bits, and with what one learns."""
    last = size - 1
    assert (told(several, last)["rank"], told(several)["size"]) == (last, size)
    assert all(
        furthest(weights(several, case), weights(several, case, k)) == 0 for k in range(size)
    )
    assert furthest(weights(one, case), weights(several, case)) <= bound
    # 21 rows do not divide: sums and counts are put together, not means.
    mine = {name: pytest.approx(values, abs=bound) for name, values in told(one)[case].items()}
    assert told(several, last)[case] == mine


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


def test_parameters_of_16_bits_are_learnt_and_kept(folders: tuple[Path, Path]) -> None:
    one, two = folders
    for folder, size in ((one, 1), (two, 2)):
        assert told(folder)["half again"] == told(folder)["half"]  # from its checkpoint
        for case in ("half", "half again"):
            for rank in range(size):
                assert furthest(weights(folder, "half"), weights(folder, case, rank)) == 0
    # Adam's steps are 0.01, and of bfloat16 2 to 3 digits are left of weights below 1.
    assert furthest(weights(one, "half"), weights(two, "half")) <= 0.05


def test_a_training_on_torch_needs_no_keras(folders: tuple[Path, Path]) -> None:
    assert told(folders[0])["keras"] is False


def test_a_row_counts_as_often_as_its_weight_says(folders: tuple[Path, Path]) -> None:
    """The sum of weighted losses is divided by the rows, as Keras does."""
    one, two = folders
    assert furthest(weights(one, "weighted"), weights(one, "by hand")) <= 1e-12
    assert furthest(weights(two, "weighted"), weights(one, "by hand")) <= 1e-9
    assert furthest(weights(one, "weighted"), weights(one, "sgd-float64")) > 1e-4


def test_normalisation_over_all_ranks_makes_them_one(folders: tuple[Path, Path]) -> None:
    one, two = folders
    assert told(two)["synchronized"] == 1
    assert furthest(weights(one, "normalised"), weights(two, "normalised")) <= 1e-9
    assert furthest(weights(two, "normalised"), weights(two, "normalised", 1)) <= 1e-12
    assert furthest(weights(one, "apart"), weights(two, "apart")) > 1e-4
    assert furthest(weights(one, "apart"), weights(one, "normalised")) == 0


def test_in_16_bits_all_ranks_learn_the_same_and_near_to_32(folders: tuple[Path, Path]) -> None:
    for case, bound in (("mixed_bfloat16", 2e-2), ("mixed_float16", 2e-3)):
        for folder in folders:
            assert 0 < furthest(weights(folder, case), weights(folder, "sgd-float32")) < bound
        assert furthest(weights(folders[1], case), weights(folders[1], case, 1)) == 0
        assert {array.dtype for array in weights(folders[0], case).values()} == {np.dtype("f4")}


@pytest.mark.parametrize("place", [0, 1])
def test_a_training_that_stops_early_ends_with_its_best_weights_though_it_was_interrupted(
    folders: tuple[Path, Path], place: int
) -> None:
    folder = folders[place]
    whole, resumed, again = (told(folder)[f"best {name}"] for name in ("whole", "resumed", "again"))
    assert len(told(folder)["best stopped"]["loss"]) == 1
    assert len(whole["loss"]) == 3  # the first was best, and two are waited for
    for found in (resumed, again):
        assert found["val_loss"] == pytest.approx(whole["val_loss"], abs=1e-9)
    for name in ("best resumed", "best again"):
        assert furthest(weights(folder, name), weights(folder, "best whole")) <= 1e-9
    assert furthest(weights(folder, "best whole"), weights(folder, "best stopped")) > 1e-4
