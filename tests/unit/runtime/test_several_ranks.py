"""Jobs of more than one rank: identity, logs, the first error, and who publishes."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from deepforge_hpc.runtime.base.context import open_context
from deepforge_hpc.runtime.base.failure import JobError
from deepforge_hpc.runtime.base.plan import Job, LaunchCommand, Resources
from deepforge_hpc.runtime.job.rank_logs import RankLogs
from deepforge_hpc.runtime.launchers import Launcher
from deepforge_hpc.runtime.rank import run
from deepforge_hpc.runtime.rank.identity import Identity, find_identity, rank_variables

if TYPE_CHECKING:
    from conftest import Execution


def test_rank_0_publishes_and_each_rank_has_its_log(
    execution: Execution, two_ranks: LaunchCommand
) -> None:
    execution.operation(
        "job",
        """
        import os, sys, dfh_runtime

        def operation():
            rank = os.environ["DFH_RANK"]
            print("out of", rank)
            os.system("echo child of " + rank)
            sys.stderr.write("err of " + rank)
            dfh_runtime.log(rank=int(rank))
            return [rank, os.environ["DFH_WORLD_SIZE"], os.environ["EXTRA"]]
        """,
        launch=two_ranks,
    )
    done = execution.run("job")
    assert done.returncode == 0, done.stderr
    assert execution.value("job") == ["0", "2", "$(x) y"]
    assert execution.folder("job").metrics.read_text().count("\n") == 1
    for rank in (0, 1):
        text = execution.layout.rank_log("job", 1, rank).read_text()
        for words in (f"out of {rank}", f"child of {rank}", f"err of {rank}"):
            assert words in text
            assert (words in done.stdout) is (rank == 0)
    assert execution.records()[0]["world_size"] == 2


def test_results_of_one_rank_and_of_two_have_different_keys(
    execution: Execution, two_ranks: LaunchCommand
) -> None:
    code = "import os\ndef operation(): return os.environ['DFH_WORLD_SIZE']"
    execution.operation("one", code)
    execution.operation("same", code, launch=LaunchCommand(name="mpi"))
    execution.operation("two", code, launch=two_ranks)
    execution.run_all("one", "same", "two")
    keys = {record["job"]: record["result_key"] for record in execution.records()}
    assert keys["one"] == keys["same"] != keys["two"]


def test_the_first_error_is_the_one_that_is_told(
    execution: Execution, two_ranks: LaunchCommand
) -> None:
    execution.operation(
        "job",
        """
        import os, time

        def operation():
            if os.environ["DFH_RANK"] == "1":
                raise ValueError("the cause")
            time.sleep(0.5)
            raise RuntimeError("a consequence")
        """,
        launch=two_ranks,
    )
    done = execution.run("job")
    assert done.returncode == 1
    state = execution.state("job")
    assert state["reason"].startswith("Rank 1: The operation raised ValueError: the cause")
    assert state["error"]["rank"] == 1
    assert "the cause" in execution.layout.rank_log("job", 1, 1).read_text()
    assert execution.leftovers() == []


def test_nothing_is_published_unless_every_rank_succeeded(
    execution: Execution, two_ranks: LaunchCommand
) -> None:
    execution.operation(
        "job",
        """
        import os

        def operation():
            if os.environ["DFH_RANK"] == "1":
                os._exit(7)
            return 1
        """,
        launch=two_ranks,
    )
    assert execution.run("job").returncode == 1
    assert "ended with exit code 7, and no rank said why" in execution.state("job")["reason"]
    assert not execution.folder("job").outputs.exists()


@pytest.mark.parametrize(
    ("rank", "how"), [(0, "os._exit(0)"), (1, "os._exit(0)"), (1, "os.kill(os.getpid(), 9)")]
)
def test_a_rank_that_ends_before_it_returns_fails_the_job_whatever_the_launcher_says(
    execution: Execution, two_ranks: LaunchCommand, rank: int, how: str
) -> None:
    path = Path(two_ranks.argv[0])
    path.write_text(path.read_text().replace("exit $", "exit 0 $"))
    execution.operation(
        "job",
        f"""
        import os

        def operation():
            if os.environ["DFH_RANK"] == "{rank}":
                {how}
            return 1
        """,
        launch=two_ranks,
    )
    assert execution.run("job").returncode == 1
    assert execution.state("job")["reason"] == (
        f"Rank {rank} of 2 ended before the operation returned, and {path} tells of no failure."
    )
    assert not execution.folder("job").outputs.exists()
    assert execution.leftovers() == []


def test_a_rank_that_fails_fails_the_job_whatever_the_launcher_says(
    execution: Execution, two_ranks: LaunchCommand
) -> None:
    path = Path(two_ranks.argv[0])
    path.write_text(path.read_text().replace("exit $", "exit 0 $"))
    execution.operation(
        "job",
        """
        import os

        def operation():
            return 1 // (1 - int(os.environ["DFH_RANK"]))
        """,
        launch=two_ranks,
    )
    assert execution.run("job").returncode == 1
    assert "Rank 1: The operation raised ZeroDivisionError" in execution.state("job")["reason"]


def test_a_note_leaves_those_of_other_nodes_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An NFS client writes whole pages, unless each write is to be on the disk."""
    real, found = os.open, []

    def noted(path: Path, flags: int, *rest: Any, **options: Any) -> int:
        found.append(flags)
        return real(path, flags, *rest, **options)

    (tmp_path / "done").write_bytes(bytes(3))
    monkeypatch.setattr(os, "open", noted)
    run._note_done(tmp_path / "done", 1)
    assert [flags & os.O_DSYNC for flags in found] == [os.O_DSYNC]
    assert (tmp_path / "done").read_bytes() == b"\x001\0"


def test_each_rank_leaves_a_note_of_its_own_once_it_has_returned(
    execution: Execution, two_ranks: LaunchCommand
) -> None:
    execution.operation(
        "job",
        """
        import atexit, os, time
        from pathlib import Path

        notes = Path(os.environ["DFH_WORK"], "done")

        def operation():
            assert notes.read_bytes()[int(os.environ["DFH_RANK"])] == 0
            atexit.register(leave)
            return 1

        def leave():
            Path(os.environ["DFH_CHECKPOINT_DIR"], os.environ["DFH_RANK"]).write_bytes(
                notes.read_bytes()
            )
        """,
        launch=two_ranks,
    )
    assert execution.run("job").returncode == 0
    for rank in (0, 1):
        notes = (execution.folder("job").checkpoints / str(rank)).read_bytes()
        assert (len(notes), notes[rank : rank + 1]) == (2, b"1")


def test_a_failing_rank_does_not_wait_for_the_others(
    execution: Execution, two_ranks: LaunchCommand
) -> None:
    """MPI_Finalize, which libraries call at exit, would wait for a rank that waits for this one."""
    execution.operation(
        "job",
        """
        import atexit, os, time

        def operation():
            atexit.register(time.sleep, 300)
            if os.environ["DFH_RANK"] == "1":
                raise ValueError("alone")
            os._exit(0)
        """,
        launch=two_ranks,
    )
    assert execution.run("job").returncode == 1
    assert "alone" in execution.state("job")["reason"]


def test_what_was_printed_last_and_has_no_room_is_told(execution: Execution) -> None:
    """At exit it would be exit code 120, of which nobody knows what it means."""
    execution.operation(
        "job",
        """
        import sys

        def operation():
            sys.stdout = open("/dev/full", "w")
            print("lost")
            return 1
        """,
    )
    assert execution.run("job").returncode == 1
    assert "No space left on device" in execution.state("job")["reason"]


def test_a_rank_that_cannot_write_its_log_ends_as_well(
    execution: Execution, two_ranks: LaunchCommand
) -> None:
    execution.operation(
        "job",
        """
        import atexit, os, sys
        from pathlib import Path

        def operation():
            atexit.register(Path(os.environ["DFH_CHECKPOINT_DIR"], "waited").touch)
            if os.environ["DFH_RANK"] == "1":
                sys.stdout = open("/dev/full", "w")
                print("lost")
                raise ValueError("alone")
            os._exit(0)
        """,
        launch=two_ranks,
    )
    assert execution.run("job").returncode == 1
    assert "alone" in execution.state("job")["reason"]
    assert not (execution.folder("job").checkpoints / "waited").exists()


def test_a_full_log_of_a_rank_does_not_end_it(tmp_path: Path) -> None:
    code = (
        "import sys; from pathlib import Path; from deepforge_hpc.runtime.rank import run\n"
        "run._redirect(Path('/dev/full'), copy=True)\n"
        "for number in range(3): print(number, flush=True)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False, cwd=tmp_path
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "0\n1\n2\n", "")


def test_a_log_that_grows_without_an_end_keeps_its_beginning_and_its_end(
    execution: Execution, two_ranks: LaunchCommand
) -> None:
    """Of a rank that still prints; the other log stays as it is."""
    execution.operation("job", "def operation(): print('short')", launch=two_ranks)
    assert execution.run("job").returncode == 0
    context = open_context(execution.layout.root, job="job", task=None, attempt=1, plan_sha256="")
    path, other = (execution.layout.rank_log("job", 1, rank) for rank in (1, 0))
    before = other.read_bytes()
    with path.open("ab") as rank:
        rank.write(b"first\n" + b"x" * 5_000 + b"last\n")
        rank.flush()
        RankLogs(context).shorten(800)
        rank.write(b"still here\n")
    text = path.read_text()
    assert text.startswith("short\nfirst\nxxx")
    assert text.endswith("xlast\nstill here\n")
    assert "bytes are left out here]" in text
    assert len(text) < 800
    assert other.read_bytes() == before


def test_another_number_of_ranks_than_planned_is_refused(
    execution: Execution, two_ranks: LaunchCommand
) -> None:
    execution.operation("job", "def operation(): return 1", launch=two_ranks)
    done = execution.run("job", FAKE_SIZE="4")
    assert done.returncode == 1
    reason = execution.state("job")["reason"]
    assert "of 4, and the plan says 2 ranks" in reason


def test_a_launcher_that_is_not_there(execution: Execution) -> None:
    launch = LaunchCommand(name="mpi", argv=("no-such-mpirun", "-n", "2"), world_size=2)
    execution.operation("job", "def operation(): return 1", launch=launch)
    assert execution.run("job").returncode == 88
    state = execution.state("job")
    assert state["reason"].startswith("The launcher no-such-mpirun is not on PATH")
    assert "modules" in state["hint"]


@pytest.mark.skipif(shutil.which("mpirun") is None, reason="needs Open MPI")
def test_ranks_of_a_real_mpirun(execution: Execution) -> None:
    launch = LaunchCommand(
        name="mpi",
        argv=("mpirun", "--allow-run-as-root", "--oversubscribe", "-n", "2"),
        world_size=2,
    )
    execution.operation(
        "good", "import os\ndef operation(): return os.environ['DFH_RANK']", launch=launch
    )
    execution.operation(
        "bad",
        """
        import os, time

        def operation():
            if os.environ["DFH_RANK"] == "1":
                raise ValueError("broken")
            time.sleep(300)
        """,
        launch=launch,
    )
    execution.operation(
        "early",
        """
        import os

        def operation():
            if os.environ["DFH_RANK"] == "1":
                os._exit(0)
            return 1
        """,
        launch=launch,
    )
    execution.run_all("good")
    assert execution.value("good") == "0"
    assert execution.run("early").returncode == 1
    assert execution.state("early")["reason"].startswith("Rank 1 of 2 ended before the operation")
    assert execution.run("bad").returncode == 1
    assert execution.state("bad")["reason"].startswith("Rank 1: The operation raised ValueError")


SRUN = {"SLURM_STEP_ID": "0", "SLURM_STEP_NUM_TASKS": "4", "SLURM_PROCID": "2"}
OMPI = {"OMPI_COMM_WORLD_RANK": "3", "OMPI_COMM_WORLD_SIZE": "4", "OMPI_COMM_WORLD_LOCAL_RANK": "1"}


def identity(environ: dict[str, str], launcher: str, world_size: int) -> Identity:
    launch = LaunchCommand(argv=(launcher,) if launcher else (), world_size=world_size)
    return find_identity(environ, launch, Launcher().names(launcher))


@pytest.mark.parametrize(
    ("environ", "launcher", "rank"),
    [
        ({**SRUN, "SLURM_LOCALID": "0"}, "srun", 2),
        (SRUN, "/usr/bin/srun", 2),
        ({**SRUN, "SLURM_PROCID": "0", **OMPI}, "mpirun", 3),  # PROCID is the batch step's
        ({"PMIX_RANK": "1", "SLURM_NTASKS": "4"}, "mpiexec", 1),
        ({"PMI_RANK": "1", "PMI_SIZE": "4"}, "mpiexec", 1),
        ({"RANK": "1", "WORLD_SIZE": "4", "LOCAL_RANK": "0"}, "torchrun", 1),
    ],
)
def test_the_identity_comes_from_the_launcher_that_ran(
    environ: dict[str, str], launcher: str, rank: int
) -> None:
    found = identity(environ, launcher, 4)
    assert (found.rank, found.world_size) == (rank, 4)


@pytest.mark.parametrize(
    ("environ", "said"),
    [
        ({}, "did not say which rank"),
        ({"SLURM_PROCID": "0", "SLURM_NTASKS": "4"}, "did not say which rank"),
        ({**OMPI, "OMPI_COMM_WORLD_SIZE": "8"}, "rank 3 of 8, and the plan says 4"),
        ({**OMPI, "OMPI_COMM_WORLD_RANK": "4"}, "rank 4 of 4"),
        ({"RANK": "1"}, "rank 1 of None"),
    ],
)
def test_an_identity_that_cannot_be(environ: dict[str, str], said: str) -> None:
    with pytest.raises(JobError) as caught:
        identity(environ, "mpirun", 4)
    assert said in caught.value.reason


def test_without_a_launcher_there_is_one_rank() -> None:
    assert identity({**SRUN, **OMPI}, "", 1).rank == 0
    assert identity({}, "mpirun", 1).world_size == 1


def test_a_launcher_that_exits_is_told_as_such(
    execution: Execution, two_ranks: LaunchCommand
) -> None:
    execution.code(
        "library/quits.py",
        """
        import sys
        from dfh_runtime.launchers import Launcher

        class Quits(Launcher):
            def names(self, program):
                sys.exit("no licence")
        """,
    )
    execution.code("plugins.json", '{"launchers": {"quits": "quits:Quits"}}')
    launch = two_ranks._replace(name="quits")
    execution.operation("job", "def operation(): return 1", launch=launch)
    done = execution.run("job")
    assert done.returncode == 1
    state = execution.state("job")
    assert state["state"] == "failed"
    reason = "An installed package called sys.exit('no licence') in the supervisor."
    assert state["reason"] == reason
    assert "quits.py" in done.stderr


GPUS = ((3,), (2,), (1,), (0,))


@pytest.mark.parametrize(
    ("given", "launch", "local", "expected"),
    [
        ("", {"gpus": GPUS}, 1, ("", "2")),
        ("", {"gpus": GPUS, "gpu_visibility": "own"}, 1, ("2", "0")),
        # The scheduler may call the GPUs of the job by other numbers, or names.
        ("4,5,6,7", {"gpus": GPUS, "gpu_visibility": "own"}, 0, ("7", "0")),
        ("4,5,6,7", {"gpus": GPUS}, 0, ("4,5,6,7", "3")),
        ("", {"gpus": ((0, 1), (2, 3)), "gpu_visibility": "own"}, 1, ("2,3", "0,1")),
        # It has let the rank see one of them only.
        ("1", {"gpus": GPUS, "gpu_visibility": "own"}, 0, ("1", "0")),
        ("", {}, 0, ("", "")),
        # Nobody knows which are its own, unless what it sees is its share.
        ("2", {"gpu_visibility": "own"}, 0, ("2", "0")),
        ("0,1,2,3", {"gpu_visibility": "own"}, 0, ("0,1,2,3", "")),
    ],
)
def test_each_rank_is_told_its_own_gpus(
    given: str, launch: dict[str, Any], local: int, expected: tuple[str, str]
) -> None:
    command = LaunchCommand(name="srun", argv=("srun",), world_size=8, **launch)
    size = Resources(ntasks_per_node=4, nodes=2, gpus_per_node=4)
    job = Job("a", "a", launch=command, resources=size)
    environ = {"CUDA_VISIBLE_DEVICES": given} if given else {}
    found = {**environ, **rank_variables(environ, job, Identity(local + 4, 8, local, ""))}
    assert (found.get("CUDA_VISIBLE_DEVICES", ""), found.get("DFH_GPUS", "")) == expected
    assert (found["RANK"], found["WORLD_SIZE"]) == (str(local + 4), "8")
    assert (found["LOCAL_RANK"], found["LOCAL_WORLD_SIZE"]) == (str(local), "4")


def test_ranks_of_amd_gpus_are_told_by_their_own_variable() -> None:
    command = LaunchCommand(
        argv=("srun",), gpus=GPUS, gpu_visibility="own", gpu_variable="ROCR_VISIBLE_DEVICES"
    )
    job = Job("a", "a", launch=command, resources=Resources(ntasks_per_node=4))
    found = rank_variables({}, job, Identity(0, 4, 0, ""))
    assert found["ROCR_VISIBLE_DEVICES"] == "3"
    assert "CUDA_VISIBLE_DEVICES" not in found


def test_what_the_launcher_sets_for_torch_stays(
    execution: Execution, two_ranks: LaunchCommand
) -> None:
    """What a rank sees in its environment, for real; `two_ranks` tells of local ranks too."""
    execution.operation(
        "job",
        """
        import os

        def operation():
            names = ("RANK", "LOCAL_WORLD_SIZE", "LOCAL_RANK", "DFH_LOCAL_SIZE", "DFH_GPUS")
            return {name: os.environ.get(name) for name in names}
        """,
        launch=two_ranks._replace(gpus=((1,), (0,))),
    )
    assert execution.run("job", LOCAL_WORLD_SIZE="7").returncode == 0
    value = execution.value("job")
    assert value["DFH_GPUS"] == "1"
    assert (value["RANK"], value["LOCAL_WORLD_SIZE"], value["LOCAL_RANK"]) == ("0", "7", "0")
