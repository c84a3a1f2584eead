"""Ranks that die without a word: what their launcher says of them is what the job says."""

from __future__ import annotations

import pytest

from deepforge_hpc.runtime.launchers.words import (
    Death,
    first_death,
    mpi_refusal,
    refusal,
    unlabelled,
)

OPEN_MPI_4 = """\
--------------------------------------------------------------------------
Primary job  terminated normally, but 1 process returned
a non-zero exit code. Per user-direction, the job has been aborted.
--------------------------------------------------------------------------
--------------------------------------------------------------------------
mpirun detected that one or more processes exited with non-zero status, thus causing
the job to be terminated. The first process to do so was:

  Process name: [[29438,1],1]
  Exit code:    3
--------------------------------------------------------------------------
"""
OPEN_MPI_5 = """\
--------------------------------------------------------------------------
prterun detected that one or more processes exited with non-zero status,
thus causing the job to be terminated. The first process to do so was:

   Process name: [prterun-vm-5123@1,2]
   Exit code:    7
--------------------------------------------------------------------------
"""
SIGNALLED = (
    "mpirun noticed that process rank 1 with PID 0 on node vm exited on signal 6 (Aborted).\n"
)
SRUN = """\
slurmstepd: error: *** STEP 8.0 ON n1 CANCELLED AT 2026-11-29T01:00:00 ***
srun: error: n1: task 0: Exited with exit code 75
srun: error: n2: tasks 2-3: Terminated
srun: error: n1: task 1: Segmentation fault (core dumped)
srun: error: n3: task 4: Killed
"""
HYDRA = """\
===================================================================================
=   BAD TERMINATION OF ONE OF YOUR APPLICATION PROCESSES
=   RANK 3 PID 4711 RUNNING AT n1
=   KILLED BY SIGNAL: 11 (Segmentation fault)
===================================================================================
"""
HYDRA_3 = """\
===================================================================================
=   BAD TERMINATION OF ONE OF YOUR APPLICATION PROCESSES
=   PID 4711 RUNNING AT n1
=   EXIT CODE: CODE
=   CLEANING UP REMAINING PROCESSES
=   YOU CAN IGNORE THE BELOW CLEANUP MESSAGES
===================================================================================
"""
EXIT_STRING = "YOUR APPLICATION TERMINATED WITH THE EXIT STRING: Killed (signal 9)\n"
TORCHRUN = """\
Root Cause (first observed failure):
[0]:
  time      : 2026-11-29_01:00:00
  host      : n1
  rank      : 1 (local_rank: 1)
  exitcode  : -6 (pid: 4711)
  error_file: <N/A>
  traceback : Signal 6 (SIGABRT) received by PID 4711
"""


@pytest.mark.parametrize(
    ("log", "death"),
    [
        (OPEN_MPI_4, Death(1, 3)),
        (OPEN_MPI_5, Death(2, 7)),
        (SIGNALLED, Death(1, -6)),
        (SRUN, Death(1, -11)),
        ("srun: error: n1: task 0: Killed\nsrun: error: n1: task 1: Terminated\n", Death(0, -9)),
        ("srun: error: n1: task 2: Exited with exit code 137\n", Death(2, -9)),
        ("srun: error: n1: task 0: Out Of Memory\n", Death(0, -9)),
        ("srun: error: n1: task 2: Exited with exit code 255\n", Death(2, 255)),
        ("srun: error: n1: tasks 0-3: Exited with exit code 75\n", None),
        (HYDRA, Death(3, -11)),
        (HYDRA_3.replace("CODE: CODE", "CODE: 3"), Death(None, 3)),
        (HYDRA_3.replace("CODE: CODE", "CODE: 139"), Death(None, -11)),
        (HYDRA_3.replace("CODE: CODE", "CODE: 9") + EXIT_STRING, Death(None, -9)),
        (TORCHRUN, Death(1, -6)),
        ("epoch 3: loss 0.1\n", None),
    ],
)
def test_the_rank_that_died_first_is_found(log: str, death: Death | None) -> None:
    assert first_death(f"noise\n{log}noise\n") == death


def test_of_tasks_that_srun_labels_each_is_read_for_itself() -> None:
    lines = [f"{label}: {line}\n" for line in TORCHRUN.splitlines() for label in (" 0", "11")]
    log = "".join(["srun: error: n1: task 0: Exited with exit code 75\n", *lines, "epoch 3: 0.1\n"])
    assert first_death(log) is None
    assert first_death(unlabelled(log)) == Death(1, -6)
    assert unlabelled("1: a\n2: b\nx: 3\n1: c\nno end") == "x: 3\nno enda\nc\nb\n"


def test_a_refusal_is_found_in_one_line() -> None:
    srun = "srun: error: Unable to create step for job 8: Invalid generic resource (gres)\n"
    assert refusal(srun).startswith("Unable to create step for job 8: Invalid generic")
    assert refusal("all is well\n") == ""


def test_what_a_program_prints_is_no_refusal() -> None:
    line, mpi = "-" * 60, "-" * 74
    assert refusal(f"{line}\nLayer   Parameters\n{line}\nconv    448\n{line}\n") == ""
    assert refusal("srun: error: n1: task 0: Out Of Memory\n") == ""  # it had begun
    slots = "There are not enough slots available in the system to satisfy the 9\nslots that were"
    for log in (f"{mpi}\n{slots}\n{mpi}\n", f"{line}\nLayer\n{line}\n\n{mpi}\n{slots}\n{mpi}\n"):
        assert refusal(log).startswith("There are not enough slots")


def test_an_mpi_library_that_finds_no_launcher_is_known_by_its_words() -> None:
    log = """
The application appears to have been direct launched using "srun",
but OMPI was not built with SLURM's PMI support and therefore cannot
execute. There are several options for building PMI support under
"""
    assert mpi_refusal(log).endswith("SLURM's PMI support and therefore cannot execute.")
    assert mpi_refusal("MPIR_pmi_init(141): PMI2_Job_GetId returned 14\nPMI_Init returned 1") != ""
    assert mpi_refusal("PMI_RANK is 0, all is well") == ""
