"""What ranks find in their environment: threads, caches, where to meet; and MPI that is not one."""

from __future__ import annotations

import os
import stat
import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import TYPE_CHECKING

import pytest

from deepforge_hpc.job.ranks import _LOCAL, _RANKS, _SIZES, _number
from deepforge_hpc.runtime import launchers
from deepforge_hpc.runtime.base.context import Context
from deepforge_hpc.runtime.base.execution import ExecutionInfo
from deepforge_hpc.runtime.base.failure import JobError
from deepforge_hpc.runtime.base.layout import ExecutionLayout
from deepforge_hpc.runtime.base.plan import Job, LaunchCommand, Plan, Resources
from deepforge_hpc.runtime.job.rank_spec import rank_environment
from deepforge_hpc.runtime.rank import identity
from deepforge_hpc.runtime.rank.identity import Identity, rank_variables
from deepforge_hpc.runtime.rank.mpi import watch
from deepforge_hpc.runtime.rank.variables import caches, threads

if TYPE_CHECKING:
    from conftest import Execution


OF_SCHEDULERS = {"PMIX_RANK", "FLUX_TASK_RANK"}
"""What a shell of a job has too: `job.ranks` counts it for none, see there."""


def test_both_readers_of_a_rank_know_the_same_variables() -> None:
    """`job/ranks.py` travels as source, and may import nothing of the runtime."""
    known = [names for names in launchers._KNOWN if names.rank not in OF_SCHEDULERS]
    assert {names.rank for names in launchers._KNOWN} - set(_RANKS) == OF_SCHEDULERS
    by_rank = dict(zip(_RANKS, _SIZES, strict=True))
    assert by_rank == {names.rank: names.world_size[0] for names in known}
    assert {name for name, _ in _LOCAL} == {names.local_rank for names in known}


@pytest.mark.parametrize(
    "text", ["", "0", "12", "-1", "+1", " 1", "1 ", "x", "1.0", "\u0663", "\u00b2"]
)
def test_both_readers_of_a_rank_take_the_same_numbers(text: str) -> None:
    environ = {"N": text} if text else {}
    assert _number(environ, "N") == identity._number(environ, "N")


def job(world_size: int = 4, **size: int) -> Job:
    launch = LaunchCommand("srun", ("srun",), world_size=world_size)
    return Job("a", "a", launch=launch, resources=Resources(**size))


@pytest.mark.parametrize(
    ("cores", "size", "expected"),
    [
        (8, {"ntasks_per_node": 4, "cpus_per_task": 8}, "8"),  # bound to its own
        (32, {"ntasks_per_node": 4, "cpus_per_task": 8}, "8"),  # unbound: all of the job's
        (32, {"ntasks_per_node": 4}, "8"),  # a node for itself
        (2, {"ntasks_per_node": 4}, "1"),  # more ranks than cores
    ],
)
def test_ranks_share_the_cores_out_for_their_threads(
    cores: int, size: dict[str, int], expected: str
) -> None:
    names = ("OMP_NUM_THREADS", "TF_NUM_INTRAOP_THREADS")
    assert threads({}, job(**size), cores) == dict.fromkeys(names, expected)
    assert threads({names[0]: "3"}, job(**size), cores).keys() == {names[1]}
    assert threads({}, job(1, **size), cores) == {}


def test_kernels_are_kept_on_the_node_in_a_folder_that_nobody_else_can_write(
    tmp_path: Path,
) -> None:
    given = {"TMPDIR": str(tmp_path), "TRITON_CACHE_DIR": "/mine"}
    assert caches(given, job(), os.getuid()) == {}  # no GPUs
    found = caches(given, job(gpus_per_node=1), os.getuid())
    folder = tmp_path / f"dfh-caches-{os.getuid()}"
    assert found["CUDA_CACHE_PATH"] == str(folder / "cuda")
    assert found["MIOPEN_USER_DB_PATH"] == str(folder / "miopen")
    assert "TRITON_CACHE_DIR" not in found
    assert (folder.stat().st_mode & 0o777, (folder / "inductor").is_dir()) == (0o700, True)
    folder.chmod(0o777)
    assert caches(given, job(gpus_per_node=1), os.getuid()) == {}
    folder.rename(tmp_path / "planted")
    folder.symlink_to(tmp_path / "planted")
    (tmp_path / "planted").chmod(0o700)
    assert caches(given, job(gpus_per_node=1), os.getuid()) == {}


def test_kernels_in_what_another_user_has_made_or_linked_are_not_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    given, own = {"TMPDIR": str(tmp_path)}, os.getuid()
    assert caches(given, job(gpus_per_node=1), own + 1) == {}  # it is the folder of another
    assert caches(given, job(gpus_per_node=1), own)
    # There are file systems whose links have modes.
    link = SimpleNamespace(st_uid=own, st_mode=stat.S_IFLNK | 0o700)
    monkeypatch.setattr(Path, "lstat", lambda _: link)
    assert caches(given, job(gpus_per_node=1), own) == {}


def test_fewer_gpus_than_ranks_is_told() -> None:
    launch = LaunchCommand("srun", ("srun",), world_size=4, gpus=((0,), (1,), (2,), (3,)))
    asked = Job("a", "a", launch=launch, resources=Resources(ntasks_per_node=4, gpus_per_node=4))
    with pytest.raises(JobError) as caught:
        rank_variables({"CUDA_VISIBLE_DEVICES": "0,1"}, asked, Identity(3, 4, 3, ""))
    expected = "This rank is to use GPU 3 of its node, and sees 2 (CUDA_VISIBLE_DEVICES=0,1)."
    assert caught.value.reason == expected


def test_more_ranks_on_a_node_than_the_plan_says_are_told() -> None:
    launch = LaunchCommand("mpi", ("mpirun", "-np", "4"), world_size=4)
    asked = Job("a", "a", launch=launch, resources=Resources(nodes=2, ntasks_per_node=2))
    assert rank_variables({}, asked, Identity(3, 4, 1, ""))["LOCAL_RANK"] == "1"
    with pytest.raises(JobError) as caught:
        rank_variables({}, asked, Identity(2, 4, 2, ""))
    expected = (
        "mpirun put at least 3 ranks on one node, and the plan says 2: other nodes would idle."
    )
    assert caught.value.reason == expected
    assert "--map-by ppr:{ntasks_per_node}:node" in caught.value.hint


def test_ranks_meet_at_a_free_port_and_their_failures_are_one_block(
    execution: Execution, two_ranks: LaunchCommand
) -> None:
    execution.operation(
        "job",
        """
        import os, socket

        def operation():
            assert int(os.environ["OMP_NUM_THREADS"]) > 0
            address = (os.environ["MASTER_ADDR"], int(os.environ["MASTER_PORT"]))
            assert address[1] > 0
            with socket.create_server(address, reuse_port=True):
                raise ValueError("met, as rank " + os.environ["DFH_RANK"])
        """,
        launch=two_ranks,
    )
    done = execution.run("job")
    said = done.stdout + done.stderr
    assert "raised ValueError: met, as rank " in execution.state("job")["reason"], said
    assert f" on {os.uname().nodename} failed first:" in said
    assert "failed in the same way, " in said


@pytest.mark.parametrize(
    ("launcher", "nodes", "known"),
    [("srun", 2, set()), ("torchrun", 1, set()),
     ("torchrun", 2, {"PET_RDZV_BACKEND", "PET_RDZV_ENDPOINT", "PET_RDZV_ID"})],
)  # fmt: skip
def test_a_launcher_on_several_nodes_is_told_where_its_processes_meet(
    launcher: str, nodes: int, known: set[str], tmp_path: Path
) -> None:
    launch = LaunchCommand(launcher, (launcher,), world_size=2 * nodes)
    resources = Resources(nodes=nodes, ntasks_per_node=2)
    asked = Job("a", "a", launch=launch, resources=resources)
    info = ExecutionInfo.stand_in(uuid="0123", ledger=str(tmp_path))
    context = Context(
        ExecutionLayout(tmp_path), info, Plan("p", "s", "slurm", (asked,)), asked, None, 1
    )
    environ = rank_environment(context, tmp_path)
    assert {name for name in environ if name.startswith("PET_")} == known
    if known:
        assert environ["PET_RDZV_ENDPOINT"] == (
            f"{environ['MASTER_ADDR']}:{environ['MASTER_PORT']}"
        )
        assert environ["PET_RDZV_ID"] == "0123"


def test_horovod_that_sees_one_rank_of_several_is_refused_when_it_starts(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    class HorovodBasics:  # as in horovod/common/basics.py of 0.28.1
        def init(self, comm: object = None) -> None:
            self.comm = comm

        def size(self) -> int:
            return 1

    basics = ModuleType("horovod.common.basics")
    vars(basics)["HorovodBasics"] = HorovodBasics
    monkeypatch.setitem(sys.modules, "horovod.common.basics", basics)
    monkeypatch.setattr(sys, "meta_path", list(sys.meta_path))
    watch(LaunchCommand("horovod", ("srun",), world_size=2))
    with pytest.raises(JobError) as caught:
        HorovodBasics().init()
    assert caught.value.reason == "srun started 2 ranks, and Horovod sees 1 of them."
    assert "srun --mpi=list" in caught.value.hint
