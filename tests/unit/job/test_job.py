"""`deepforge_hpc.job`: which rank, where checkpoints go, and a request to stop; with and without a job."""

from __future__ import annotations

import json
import os
import signal
import threading
from pathlib import Path

import pytest

from deepforge_hpc import job
from deepforge_hpc.job import Rank, RanksError, checkpoint_folder, ranks, stopping

VARIABLES = ("DFH_", "OMPI_", "PMI", "MPI_", "FLUX_", "SLURM_")
TORCH = {"RANK", "WORLD_SIZE", "LOCAL_RANK", "LOCAL_WORLD_SIZE"}


@pytest.fixture
def tell(monkeypatch: pytest.MonkeyPatch) -> object:
    """Return a function that sets the variables of a rank, and no others."""
    for name in list(os.environ):
        if name.startswith(VARIABLES) or name in TORCH:
            monkeypatch.delenv(name)

    def told(**variables: str) -> Rank:
        for name, value in variables.items():
            monkeypatch.setenv(name, value)
        return ranks()

    return told


def test_a_rank_of_a_job_knows_its_place_and_its_gpus(tell: object) -> None:
    own = tell(  # type: ignore[operator]
        DFH_RANK="3",
        DFH_WORLD_SIZE="4",
        DFH_LOCAL_RANK="1",
        DFH_LOCAL_SIZE="2",
        DFH_GPUS="2,3",
        WORLD_SIZE="4",
        SLURM_NTASKS="9",
    )
    assert own == Rank(3, 4, 1, 2, (2, 3))
    assert (own.is_first, own.device) == (False, 2)


def test_without_a_job_there_is_one_rank_or_what_a_launcher_says(tell: object) -> None:
    assert tell(SLURM_NTASKS="4", SLURM_PROCID="2") == Rank()  # type: ignore[operator]
    assert (Rank().is_first, Rank().device) == (True, None)
    started = tell(  # type: ignore[operator]
        OMPI_COMM_WORLD_RANK="1", OMPI_COMM_WORLD_SIZE="2", OMPI_COMM_WORLD_LOCAL_RANK="1"
    )
    assert started == Rank(1, 2, 0, 1)


@pytest.mark.parametrize(
    ("names", "place"),
    [
        (("OMPI_COMM_WORLD_LOCAL_RANK", "OMPI_COMM_WORLD_LOCAL_SIZE"), (1, 2)),
        (("MPI_LOCALRANKID", "MPI_LOCALNRANKS"), (1, 2)),  # MPICH, Intel MPI
        (("PMI_LOCAL_RANK", "PMI_LOCAL_SIZE"), (1, 2)),  # Cray PALS
        (("LOCAL_RANK", "LOCAL_WORLD_SIZE"), (1, 2)),
        (("SLURM_LOCALID", "SLURM_NTASKS_PER_NODE"), (0, 1)),
    ],
)
def test_launchers_by_hand_say_the_place_on_the_node(
    tell: object, names: tuple[str, str], place: tuple[int, int]
) -> None:
    own = tell(PMI_RANK="3", PMI_SIZE="4", **dict(zip(names, "12", strict=True)))  # type: ignore[operator]
    assert own == Rank(3, 4, *place)


@pytest.mark.parametrize("name", ["WORLD_SIZE", "OMPI_COMM_WORLD_SIZE", "PMI_SIZE"])
def test_ranks_are_never_copies_of_rank_0(tell: object, name: str) -> None:
    with pytest.raises(
        RanksError, match=rf"the launcher \({name}\) sees 4 ranks, and the job has 1"
    ):
        tell(DFH_WORLD_SIZE="1", **{name: "4"})  # type: ignore[operator]
    with pytest.raises(RanksError, match="Horovod sees 1 rank, and the job has 2"):
        Rank(1, 2).agree(1, "Horovod")


def test_each_rank_is_offered_a_seed_of_its_own() -> None:
    seeds = {Rank(rank, 512).seed(7) for rank in range(512)}
    assert len(seeds) == 512
    assert all(0 <= seed < 2**32 for seed in seeds)
    assert Rank().seed(7) == 7


def test_checkpoints_are_kept_in_a_job_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("DFH_CHECKPOINT_DIR", raising=False)
    assert checkpoint_folder() is None
    monkeypatch.setenv("DFH_CHECKPOINT_DIR", str(tmp_path / "kept"))
    assert checkpoint_folder() == tmp_path / "kept"
    assert (tmp_path / "kept").is_dir()


def test_numbers_go_where_those_of_the_runtime_go(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    job.log(1, loss=0.5)  # of no job: it is kept nowhere
    monkeypatch.setenv("DFH_METRICS", str(tmp_path / "metrics"))
    job.log(2, loss=0.25)
    line = json.loads((tmp_path / "metrics").read_text())
    assert (line["step"], line["loss"]) == (2, 0.25)


class Asked(BaseException):
    pass


@pytest.mark.parametrize("number", [signal.SIGUSR1, signal.SIGTERM])
def test_a_request_to_stop_waits_for_the_end_of_the_block(number: signal.Signals) -> None:
    def ask(number: int, _frame: object) -> None:
        raise Asked(number)

    def work() -> None:
        with stopping() as stop:
            assert not stop.asked
            os.kill(os.getpid(), number)
            done.append(stop.signal)

    before = signal.signal(number, ask)
    done: list[signal.Signals | None] = []
    try:
        with pytest.raises(Asked):
            work()
        assert done == [number]
        assert signal.getsignal(number) is ask
        with stopping() as stop:
            done.append(stop.signal)
        assert done == [number, None]
    finally:
        signal.signal(number, before)


def test_an_error_in_the_block_is_not_lost_to_the_request() -> None:
    def work() -> None:
        with stopping():
            os.kill(os.getpid(), signal.SIGUSR1)
            raise KeyError

    before = signal.signal(signal.SIGUSR1, signal.SIG_IGN)
    try:
        with pytest.raises(KeyError):
            work()
    finally:
        signal.signal(signal.SIGUSR1, before)


def test_threads_hold_no_signals_back() -> None:
    seen: list[bool] = []

    def work() -> None:
        with stopping() as stop:
            seen.append(stop.asked)

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert seen == [False]
