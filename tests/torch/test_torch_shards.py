"""A sharded training (FSDP2 over gloo) goes on with another number of ranks, from whole shards alone."""

from __future__ import annotations

import json
import os
import pickle
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytestmark = [pytest.mark.torch, pytest.mark.timeout(300)]

PROGRAM = Path(__file__).with_name("torch_shards_program.py")
TORCHRUN = ("-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2")
BOUND = 1e-12
"""Of weights and losses in float64 after 24 steps of Adam; seen of weights: 1.2e-16."""


def run(folder: Path, part: str, *launcher: str) -> str:
    done = subprocess.run(
        [sys.executable, *launcher, PROGRAM, folder, part],
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        capture_output=True, text=True, timeout=200, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-4000:]
    return done.stderr


def newest(folder: Path) -> Path:
    return max(folder.glob("step-*.shards"))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Train on two ranks, then on one, then on two, stopped within an epoch each time."""
    folder = tmp_path_factory.mktemp("shards")
    run(folder, "first", *TORCHRUN)
    shutil.copytree(folder / "kept", folder / "copy")
    run(folder, "second")
    for name in ("torn", "unmarked"):
        shutil.copytree(folder / "kept", folder / name)
    with next(newest(folder / "torn").glob("__0_*")).open("r+b") as shard:
        shard.seek(-100, os.SEEK_END)
        shard.write(b"torn")
    newest(folder / "unmarked").with_suffix(".json").unlink()
    (folder / "third.txt").write_text(run(folder, "third", *TORCHRUN))
    return folder


def told(folder: Path, part: str, rank: int = 0) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((folder / f"{part}-{rank}.json").read_text())
    return found


def far(folder: Path, one: str, two: str) -> float:
    with np.load(folder / f"{one}.npz") as first, np.load(folder / f"{two}.npz") as second:
        assert first.files == second.files
        return max(float(np.abs(first[name] - second[name]).max()) for name in first.files)


def test_no_thread_of_gloo_outlives_python(folder: Path) -> None:
    """One that takes Python's lock too late aborts the process."""
    for rank in range(2):
        threads = (folder / f"{rank}.threads").read_text()
        assert threads
        assert "gloo" not in threads


def test_two_one_two_ranks_learn_what_an_uninterrupted_training_does(folder: Path) -> None:
    first, second, third = (told(folder, part) for part in ("first", "second", "third"))
    assert (first["size"], second["size"], third["size"]) == (2, 1, 2)
    assert [len(one["loss"]) for one in (first["stopped"], second["stopped again"])] == [1, 2]
    for name, values in first["whole"].items():
        assert third["resumed"][name] == pytest.approx(values, abs=BOUND), name
    assert told(folder, "third", 1)["resumed"] == third["resumed"]
    assert far(folder, "whole", "resumed") <= BOUND


def test_sharded_ranks_learn_what_one_that_is_not_sharded_does(folder: Path) -> None:
    """FSDP averages the gradients, and nobody does so again."""
    whole, alone = told(folder, "first")["whole"], told(folder, "second")["one rank"]
    assert alone == {name: pytest.approx(values, abs=BOUND) for name, values in whole.items()}
    assert far(folder, "whole", "one rank") <= BOUND


def test_a_module_that_is_not_sharded_takes_shards(folder: Path) -> None:
    assert far(folder, "whole", "taken by one not sharded") <= BOUND


@pytest.mark.parametrize("case", ["torn", "unmarked"])
def test_what_is_not_whole_is_passed_over(folder: Path, case: str) -> None:
    assert far(folder, "whole", case) <= BOUND
    said = (folder / "third.txt").read_text()
    assert said.count("checkpoint skipped: step-") == 2
    assert ("the digest of __0_0.distcp is another" in said) == ("No such file" in said) is True


def test_each_rank_wrote_its_shard_and_old_ones_are_gone(folder: Path) -> None:
    kept = sorted((folder / "kept").iterdir())
    steps = [path.with_suffix("") for path in kept]
    assert [path.suffix for path in kept] == [".json", ".shards"] * 3
    assert len(set(steps)) == 3
    about = json.loads(kept[-2].read_text())
    assert set(about["files"]) == {".metadata", "__0_0.distcp", "__1_0.distcp"}
    assert {path.name for path in kept[-1].iterdir()} == set(about["files"])
    assert 12 < int(kept[0].stem.removeprefix("step-")) < 18  # the stop within the third epoch


def test_what_cannot_be_learnt_in_shards_says_why(folder: Path) -> None:
    for rank in (0, 1):
        found = told(folder, "first", rank)
        assert "make it after fully_shard" in found["early optimizer"]
        assert "sharded in part (not: 3.weight, 3.bias)" in found["in part"]
        assert "was not sharded, and this one is" in found["of one not sharded"]
        assert "the checkpoint cannot be written" in found["no folder"]


def test_a_description_that_runs_code_is_refused(tmp_path: Path) -> None:
    from deepforge_hpc.training.torch_shards import _vet

    (tmp_path / ".metadata").write_bytes(pickle.dumps(os.system))
    with pytest.raises(pickle.UnpicklingError, match=r"its description names posix\.system"):
        _vet(tmp_path)
