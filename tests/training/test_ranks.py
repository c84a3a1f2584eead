"""A training is the same on 1, 2 and 4 ranks, and the same whether it was interrupted or not.

One start of `ranks_program.py` for each transport and number of ranks does all of its cases.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytestmark = [
    pytest.mark.training,
    pytest.mark.horovod,
    pytest.mark.filterwarnings("default"),
    pytest.mark.timeout(600),
]

PROGRAM = Path(__file__).with_name("ranks_program.py")
MPIRUN = ["mpirun", "--oversubscribe", "--bind-to", "none"]
MPIRUN += ["--mca", "btl_vader_single_copy_mechanism", "none", "--mca", "btl", "self,vader"]
FEW = ("exchanges", "equivalence")
CASES = {"horovod": (*FEW, "normalised", "mixed", "sparse", "resumed"), "mpi": ()}  # (): all
TEAMS = [("mpi", 2), ("horovod", 2), ("mpi", 4), ("horovod", 4)]
PAIRS = TEAMS[:2]


class Run:
    """What the ranks of one start found."""

    def __init__(self, folder: Path, size: int) -> None:
        self.folder = folder
        self.ranks = [json.loads((folder / f"{rank}.json").read_text()) for rank in range(size)]

    def weights(self, case: str, rank: int = 0) -> list[Any]:
        with np.load(self.folder / f"{case}-{rank}.npz") as file:
            return [file[name] for name in sorted(file.files)]

    def agrees(self, case: str) -> bool:
        """Whether all ranks ended with the same bits."""
        mine = [item.tobytes() for item in self.weights(case)]
        others = (self.weights(case, rank) for rank in range(1, len(self.ranks)))
        return all([item.tobytes() for item in other] == mine for other in others)


def furthest(first: list[Any], second: list[Any]) -> float:
    pairs = zip(first, second, strict=True)
    return max(float(np.abs(mine - other).max()) for mine, other in pairs)


def start(folder: Path, transport: str, size: int, cases: tuple[str, ...]) -> Run:
    environ = {**os.environ, "TF_NUM_INTRAOP_THREADS": "1", "TF_NUM_INTEROP_THREADS": "1"}
    environ |= {"OMPI_ALLOW_RUN_AS_ROOT": "1", "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM": "1"}
    # As many ranks as cores: a waiting rank must not take the core of a working one.
    environ |= {"OMPI_MCA_mpi_yield_when_idle": "1", "HOROVOD_STALL_SHUTDOWN_TIME_SECONDS": "120"}
    environ |= {"TF_CPP_MIN_LOG_LEVEL": "3"}
    if cases == FEW:
        environ["TESTS_WITHOUT_COVERAGE"] = "1"  # fewer ranks run the same lines, and more
    # Tests beside this one would take the core of a rank for which all others wait; who may not have
    # the higher priority goes on without it.
    launcher = ["nice", "-n", "-15", *MPIRUN, "-np", str(size)] if size > 1 else []
    done = subprocess.run(
        [*launcher, sys.executable, PROGRAM, folder, transport, *cases],
        env=environ, capture_output=True, text=True, timeout=500, check=False,
    )  # fmt: skip
    if done.returncode:
        raise RuntimeError(done.stderr[-4000:])
    return Run(folder, size)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Run]:
    """Return a function that starts ranks, each number of them once."""
    known: dict[tuple[str, int], Run] = {}

    def find(transport: str = "mpi", size: int = 1) -> Run:
        if (transport, size) not in known:
            folder = tmp_path_factory.mktemp(f"{transport}-{size}")
            cases = FEW if size == 4 else CASES[transport]
            known[transport, size] = start(folder, transport, size, cases)
        return known[transport, size]

    return find


@pytest.mark.parametrize(("transport", "size"), TEAMS)
def test_ranks_learn_what_one_learns(run: Any, transport: str, size: int) -> None:
    one, several = run(), run(transport, size)
    assert [item["transport"] for item in several.ranks] == [transport] * size
    assert sorted(item["rank"] for item in several.ranks) == list(range(size))
    for case, bound in (("sgd32", 1e-5), ("sgd64", 1e-9), ("adam32", 1e-3)):
        assert several.agrees(case)
        assert furthest(one.weights(case), several.weights(case)) <= bound, case
        for item in several.ranks:
            mine, theirs = one.ranks[0][case]["history"]["loss"], item[case]["history"]["loss"]
            assert theirs == pytest.approx(mine, rel=1e-4)
    assert (
        one.ranks[0]["sgd64"]["history"]["loss"][-1] < one.ranks[0]["sgd64"]["history"]["loss"][0]
    )


@pytest.mark.parametrize(
    ("case", "transport"),
    [
        *((case, "mpi") for case in ("adam64", "clipped", "gathered", "scheduled")),
        *(("synchronised", transport) for transport in ("mpi", "horovod")),
    ],
)
def test_clipping_accumulation_schedules_and_statistics_see_the_whole_batch(
    run: Any, case: str, transport: str
) -> None:
    assert run(transport, 2).agrees(case)
    assert furthest(run().weights(case), run(transport, 2).weights(case)) <= 1e-9


@pytest.mark.parametrize(("transport", "size"), PAIRS)
def test_what_differs_by_design_is_still_the_same_on_all_ranks(
    run: Any, transport: str, size: int
) -> None:
    several = run(transport, size)
    for case in ("own-statistics", "mixed_bfloat16", "mixed_float16", "sparse"):
        assert several.agrees(case)
        assert all(np.isfinite(item).all() for item in several.weights(case))
    # Of batch normalisation each rank saw its own rows; sparse gradients are of 32 bits.
    assert furthest(run().weights("own-statistics"), several.weights("own-statistics")) > 1e-3
    assert furthest(run().weights("sparse"), several.weights("sparse")) <= 1e-5
    assert furthest(run().weights("mixed_bfloat16"), several.weights("mixed_bfloat16")) <= 1e-2
    assert several.ranks[0]["mixed_float16"]["optimizer"] == "LossScaleOptimizer"


def test_dropout_leaves_out_other_units_on_each_rank(run: Any) -> None:
    several = run("mpi", 2)
    assert several.agrees("dropout")
    first, second = (item["dropout"]["units"] for item in several.ranks)
    assert all(mine != other for mine, other in zip(first, second, strict=True))
    assert run().ranks[0]["dropout"]["units"] == first


def test_metrics_are_of_all_rows(run: Any) -> None:
    one, several = run().ranks[0]["metrics"], run("mpi", 2).ranks
    assert several[0]["metrics"] == several[1]["metrics"]
    for name in ("auc", "f1", "r2", "precision", "rmse", "loss"):
        for key in (name, f"val_{name}"):
            assert several[0]["metrics"]["history"][key] == pytest.approx(one["history"][key])
        # Callbacks of the user saw these, and so does who evaluates by hand.
        told = several[1]["metrics"]["seen"][-1][f"val_{name}"]
        assert told == several[0]["metrics"]["history"][f"val_{name}"][-1]
        assert several[0]["metrics"]["evaluated"][name] == pytest.approx(one["evaluated"][name])


def test_several_outputs_learn_and_are_measured_as_on_one_rank(run: Any) -> None:
    assert run("mpi", 2).agrees("several")
    assert furthest(run().weights("several"), run("mpi", 2).weights("several")) <= 1e-9
    one, two = (found.ranks[0]["several"] for found in (run(), run("mpi", 2)))
    assert {"kind_accuracy", "size_r2", "val_size_r2", "val_kind_loss"} <= set(one["history"])
    assert two["history"] == {n: pytest.approx(v) for n, v in one["history"].items()}
    for found in (one, two):  # Keras itself would count the smaller last batch like the others
        for name, loss in found["exact"].items():
            assert found["history"][f"val_{name}_loss"][-1] == pytest.approx(loss)
            assert found["evaluated"][f"{name}_loss"] == pytest.approx(loss)


@pytest.mark.parametrize(("transport", "size"), [("mpi", 1), *PAIRS])
def test_an_interrupted_training_goes_on_as_if_nothing_had_been(
    run: Any, transport: str, size: int
) -> None:
    found = run(transport, size)
    assert found.agrees("uninterrupted")
    assert furthest(found.weights("uninterrupted"), found.weights("resumed")) <= 1e-6
    for item in found.ranks:
        # One rank was asked within an epoch, twice; both stopped at one step, and said why.
        assert item["resumed"]["stops"] == ["SIGUSR1", "SIGTERM"]
        whole = item["uninterrupted"]["history"]
        assert item["resumed"]["history"] == {
            k: pytest.approx(v, abs=1e-6) for k, v in whole.items()
        }
        assert len(item["resumed"]["history"]["loss"]) < 6  # stopped early, by what it remembered
        assert item["resumed"]["again"]
        assert len(item["resumed"]["files"]) == 6
        # Of what writes a file, on rank 0 alone; in each attempt it goes on in that.
        assert item["resumed"]["tables"] == ["parts-0.csv", "whole-0.csv"]
    header, *rows = found.ranks[0]["resumed"]["rows"]
    assert header.startswith("epoch,")
    assert [row.split(",")[0] for row in rows] == [*map(str, range(len(rows)))]
    assert len(rows) == len(whole["loss"])


def test_ranks_end_together_when_a_callback_of_one_ends_an_epoch(run: Any) -> None:
    several = run("mpi", 2)
    assert several.agrees("ended")
    first, second = (item["ended"] for item in several.ranks)
    assert first == second
    assert (first["steps"], len(first["history"]["val_accuracy"])) == (3, 1)


def test_a_saved_model_needs_nothing_of_ours(run: Any) -> None:
    code = """\
import sys, keras, numpy as np
sys.modules["deepforge_hpc"] = None
model = keras.models.load_model(sys.argv[1])
print(type(model.optimizer) is keras.optimizers.SGD, int(model.optimizer.iterations))
print([type(item).__name__ for item in model.layers], model.predict(np.ones((2, 5)), verbose=0).shape)
"""
    done = subprocess.run(
        [sys.executable, "-c", code, run("mpi", 2).folder / "model.keras"],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.stdout.splitlines() == [
        "True 24",
        "['Dense', 'BatchNormalization', 'Dense'] (2, 3)",
    ], done.stderr


@pytest.mark.parametrize(
    ("case", "message"),
    [
        ("rows", "the ranks disagree on rows: rank 0 has 107, rank 1 has 106"),
        ("networks", "the ranks disagree on the network: rank 0 has "),
        ("validation", "the ranks disagree on validation rows: rank 0 has None, rank 1 has 107"),
        ("other network", "is of another architecture: gamma (16,) there, kernel (16, 4) here"),
        ("other data", "with other data or batches (rows: 107 there, 50 here)"),
        ("not a number", "no number any more at epoch 3, step 1; the last good checkpoint is"),
        ("not a number", "step-0000000012.npz (epoch 3)"),
        ("plain optimizer", "the optimizer SGD does not average gradients"),
        ("replicas", "Keras does between TensorFlow's replicas only"),
    ],
)
def test_all_ranks_are_told_the_same(run: Any, case: str, message: str) -> None:
    first, second = (item[case] for item in run("mpi", 2).ranks)
    assert first == second
    assert message in first


@pytest.mark.parametrize(
    ("environ", "message"),
    [
        ({"DFH_TRANSPORT": "horovod"}, "Horovod sees 1 rank, and the job has 2"),
        ({"DFH_TRANSPORT": "mpi"}, "MPI sees 1 rank, and the job has 2"),
        ({"DFH_TRANSPORT": "mpi"}, "mpi4py uses Open MPI"),
        ({"DFH_TRANSPORT": "smoke"}, "there is no transport 'smoke'"),
        ({"TORCHELASTIC_RUN_ID": "1"}, "torchrun started the ranks, and TensorFlow needs"),
        ({"KERAS_BACKEND": "numpy"}, "Keras runs on numpy"),
        ({"DFH_TRANSPORT": "horovod", "WITHOUT": "horovod"}, "Horovod cannot be imported"),
        (
            {"DFH_TRANSPORT": "mpi", "WITHOUT": "mpi4py"},
            "pip install mpi4py, which compiles nothing",
        ),
        (
            {"DFH_TRANSPORT": "mpi", "MPI4PY_LIBMPI": "/no/libmpi.so"},
            "finds no MPI library that it",
        ),
    ],
)
def test_a_transport_that_cannot_be_used_says_why(environ: dict[str, str], message: str) -> None:
    code = """\
import sys, types, os
keras = types.ModuleType("keras")     # its backend alone is asked for
if os.environ.get("DFH_TRANSPORT") != "horovod":
    sys.modules["keras"] = keras
keras.config = types.SimpleNamespace(backend=lambda: os.environ.get("KERAS_BACKEND", "tensorflow"))
sys.modules[os.environ.get("WITHOUT", "_")] = None
from deepforge_hpc.training import connect
connect()
"""
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, "DFH_WORLD_SIZE": "2", "DFH_RANK": "0", **environ},
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert message in done.stderr.splitlines()[-1]
