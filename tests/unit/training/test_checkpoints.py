"""A folder of checkpoints: the newest whole one counts, whatever else lies there."""

from __future__ import annotations

import json
import resource
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from deepforge_hpc.runtime.base.layout import JobLayout
from deepforge_hpc.training import checkpoints as module
from deepforge_hpc.training.checkpoints import Checkpoints, Position, leaves, noted, value_of
from deepforge_hpc.training.errors import TrainingError

HERE = {"a": np.arange(3.0)}


def saved(folder: Path, *totals: int, kept: int = 3) -> Checkpoints:
    found = Checkpoints(folder, kept)
    for total in totals:
        found.save(Position(total // 10, total % 10, total), {"n": total}, HERE)
    return found


def test_the_newest_is_found_with_what_it_holds(tmp_path: Path) -> None:
    found = saved(tmp_path / "new", 9, 10, 111).newest()
    assert found is not None
    assert (found.position, found.state) == (Position(11, 1, 111), {"n": 111})
    assert found.arrays()["a"].tolist() == [0, 1, 2]
    assert Checkpoints(tmp_path / "none").newest() is None


def test_a_field_that_is_not_there_is_named_with_its_file(tmp_path: Path) -> None:
    found = saved(tmp_path, 1).newest()
    assert found is not None
    with pytest.raises(TrainingError, match=r"/step-0000000001.npz has no 'history': remove it"):
        found.state["history"]
    assert found.state.get("history") is None


@pytest.mark.parametrize(
    "harm",
    ["torn", "changed", "no description", "odd description", "version", "edited", "less"],
)
def test_one_that_is_not_whole_is_skipped_and_named(harm: str, tmp_path: Path) -> None:
    checkpoints = saved(tmp_path, 1, 2)
    data, small = tmp_path / "step-0000000002.npz", tmp_path / "step-0000000002.json"
    if harm == "torn":
        data.write_bytes(data.read_bytes()[:-9])
    elif harm == "changed":
        data.write_bytes(data.read_bytes()[:-1] + b"!")
    elif harm == "no description":
        small.unlink()
    elif harm == "odd description":
        small.write_text("[1, 2]")
    elif harm in {"edited", "less"}:
        about = json.loads(small.read_text())
        about["state"] = {"n": 3} if harm == "edited" else {}
        small.write_text(json.dumps(about))
    else:
        small.write_text(
            json.dumps({**json.loads(small.read_text()), "schema": "dfh/checkpoint/9"})
        )
    found = checkpoints.newest()
    assert found is not None
    assert found.position.total == 1
    assert len(checkpoints.skipped) == 1
    assert checkpoints.skipped[0].startswith("step-0000000002.npz is not whole")


def test_a_description_that_is_too_large_is_not_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    checkpoints = saved(tmp_path, 1)
    monkeypatch.setattr(module, "_MAX_JSON", 100)
    assert checkpoints.newest() is None
    assert checkpoints.skipped == [
        "step-0000000001.npz is not whole (its description is too large)"
    ]


def test_old_ones_are_thinned_and_later_ones_of_a_lost_attempt_go(tmp_path: Path) -> None:
    checkpoints = saved(tmp_path, 1, 2, 3, 4, 5, kept=2)
    assert {path.stem for path in tmp_path.iterdir()} == {"step-0000000004", "step-0000000005"}
    (tmp_path / "step-0000000005.json").unlink()  # torn: the next attempt goes on from 4
    checkpoints.save(Position(total=4), {}, HERE)
    assert {path.stem for path in tmp_path.iterdir()} == {"step-0000000004"}


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # zipfile's
def test_a_write_that_fails_leaves_the_last_good_one_alone(tmp_path: Path) -> None:
    checkpoints = saved(tmp_path, 1)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4096, hard))  # the disk is full
    try:
        with pytest.raises(OSError, match="File too large"):
            checkpoints.save(Position(total=2), {}, {"a": np.zeros(10_000)})
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    found = checkpoints.newest()
    assert found is not None
    assert found.position.total == 1
    assert {path.stem for path in tmp_path.iterdir()} == {"step-0000000001"}


def test_plain_values_and_arrays_come_back_and_others_are_left_out() -> None:
    arrays: dict[str, np.ndarray] = {}
    value = {"best": 0.5, "weights": [np.ones(2), np.zeros((1, 2))], "name": None, "n": np.int64(3)}
    (data,) = leaves(value, "callback/0/x", arrays)
    back = value_of(json.loads(json.dumps(data)), arrays)
    assert back["weights"][1].tolist() == [[0, 0]]
    assert (back["best"], back["name"], back["n"]) == (0.5, None, 3)
    assert list(leaves({"f": print}, "x", {})) == []
    assert (
        list(leaves(np.array([object()]), "x", {})) == []
    )  # an array of objects would be a pickle


def test_training_imports_no_framework_before_it_is_used() -> None:
    code = (
        "import sys, deepforge_hpc.training as t, deepforge_hpc.training.transports\n"
        "t.connect; t.Order; t.Checkpoints\n"
        "print([n for n in ('keras', 'tensorflow', 'torch', 'numpy', 'h5py', 'mpi4py') if n in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


def sharded(folder: Path, *totals: int) -> Checkpoints:
    found = Checkpoints(folder, 2)
    for total in totals:
        at = Position(0, total, total)
        made = found.begin_shards(at)
        for name in ("__0_0.distcp", "__1_0.distcp"):
            (made / name).write_bytes(b"part")
        found.publish_shards(at, {}, {path.name: noted(path) for path in made.iterdir()})
    return found


@pytest.mark.parametrize(
    "harm", ["torn", "gone", "no description", "begun", "outside", "none", "list"]
)
def test_shards_count_when_all_are_whole(harm: str, tmp_path: Path) -> None:
    checkpoints = sharded(tmp_path, 1, 2)
    folder, small = tmp_path / "step-0000000002.shards", tmp_path / "step-0000000002.json"
    whole = checkpoints.newest()
    assert whole is not None
    assert (whole.path, whole.is_sharded) == (folder, True)
    about = json.loads(small.read_text())
    del about["digest"]
    if harm == "torn":
        (folder / "__1_0.distcp").write_bytes(b"tar ")
    elif harm == "gone":
        (folder / "__1_0.distcp").unlink()
    elif harm == "no description":
        small.unlink()
    elif harm == "begun":
        checkpoints.begin_shards(Position(0, 2, 2))
        assert list(folder.iterdir()) == []
    else:
        there = {"../step-0000000001.shards/__0_0.distcp": about["files"]["__0_0.distcp"]}
        about["files"] = {"outside": there, "none": {}, "list": [1]}[harm]
        about["digest"] = module._digest_of(about)
        small.write_text(json.dumps(about))
    found = checkpoints.newest()
    assert found is not None
    assert found.position.total == 1
    assert len(checkpoints.skipped) == 1


def test_old_shards_go_and_a_step_has_one_checkpoint(tmp_path: Path) -> None:
    checkpoints = sharded(tmp_path, 1, 2, 3)
    assert [path.name for path in sorted(tmp_path.glob("*.shards"))] == [
        "step-0000000002.shards", "step-0000000003.shards",
    ]  # fmt: skip
    checkpoints.save(Position(0, 3, 3), {}, HERE)
    assert not (tmp_path / "step-0000000003.shards").exists()
    found = checkpoints.newest()
    assert found is not None
    assert not found.is_sharded
    assert sharded(tmp_path, 3).newest() is not None
    assert not (tmp_path / "step-0000000003.npz").exists()


def test_shards_are_not_read_as_arrays(tmp_path: Path) -> None:
    found = sharded(tmp_path, 1).newest()
    assert found is not None
    with pytest.raises(TrainingError, match="is of a sharded training of PyTorch"):
        found.arrays()


def test_a_job_has_a_checkpoint_once_one_is_whole(tmp_path: Path) -> None:
    job = JobLayout(tmp_path)
    assert not job.has_checkpoint()
    saved(job.checkpoints, 1)
    assert job.has_checkpoint()
    (job.checkpoints / "step-0000000001.json").unlink()
    assert not job.has_checkpoint()
    (job.checkpoints / ".step-0000000002.npz.4711").write_bytes(b"half")
    assert not job.has_checkpoint()
    (job.checkpoints / "step-0000000003.json").write_text("{}")  # of a file that is gone
    assert not job.has_checkpoint()
    shards = job.checkpoints / "step-0000000003.shards"
    shards.mkdir()
    assert job.has_checkpoint()
    shards.rmdir()
    own = job.checkpoints / "step-3.pt"  # what a user's own code keeps
    own.touch()
    assert job.has_checkpoint()


def test_nobody_else_looks_for_checkpoints() -> None:
    package = Path(module.__file__).parents[1]
    found = [
        path.name
        for path in package.rglob("*.py")
        if ".checkpoints.glob(" in (text := path.read_text()) or ".checkpoints.iterdir(" in text
    ]
    assert found == ["layout.py"]
