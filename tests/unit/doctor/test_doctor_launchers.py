"""Launchers that a plan uses are there, and speak to the MPI that is there."""

from __future__ import annotations

from typing import Any

import pytest

from deepforge_hpc.doctor import launchers
from deepforge_hpc.probe.read import Machine
from deepforge_hpc.runtime.base.plan import Job, LaunchCommand, Plan
from deepforge_hpc.site.model import SiteSpec
from deepforge_hpc.site.request import LaunchMethod

MACHINE = Machine(config={"MpiDefault": "none"}, mpi=("none", "pmi2"))
# Shortened from `mpirun --version` of Debian 12 and 13; that of Intel was written by hand, not seen.
OPEN_MPI_4 = "mpirun (Open MPI) 4.1.4\n\nReport bugs to http://www.open-mpi.org/community/help/\n"
OPEN_MPI_5 = "mpirun.openmpi (Open MPI) 5.0.7\n\nReport bugs to https://www.open-mpi.org/\n"
MPICH = "HYDRA build details:\n    Version:                                 4.2.1\n    CC: gcc\n"
INTEL = "Intel(R) MPI Library for Linux* OS, Version 2021.9 Build 20230307\n"


def levels(findings: Any) -> list[str]:
    found = list(findings)
    assert all(item.next for item in found if item.level != "info")
    return [item.level for item in found]


def srun(*words: str) -> dict[str, LaunchMethod]:
    return {"mpi": LaunchMethod(argv=("srun", *words))}


def test_only_launchers_that_the_plan_uses_are_looked_at() -> None:
    lines = {"none": LaunchMethod(), **srun(), "torchrun": LaunchMethod(argv=("torchrun",))}
    clamped = LaunchMethod(argv=("x",), clamp=True)
    site = SiteSpec(name="x", scheduler="slurm", launchers={**lines, "horovod": clamped})
    job = Job(name="a", operation="a", launch=LaunchCommand(name="torchrun"))
    plan = Plan(pipeline="p", site="x", scheduler="slurm", jobs=(job,))
    assert set(launchers.used(site, None)) == {"mpi", "torchrun"}
    assert set(launchers.used(site, plan)) == {"torchrun"}


def test_a_program_that_a_module_may_bring_is_a_warning() -> None:
    lines = {"mpi": LaunchMethod(argv=("ibrun",)), "srun": LaunchMethod(argv=("srun",))}
    assert levels(launchers.check_programs(lines, lambda _: None, ["srun"])) == ["warning"]
    assert levels(launchers.check_programs(lines, lambda name: name, [])) == []
    assert levels(launchers.check_programs({}, lambda _: None, [])) == ["info"]


def test_srun_must_have_the_plugin_of_a_launch_line() -> None:
    (finding,) = launchers.check_plugins(srun("--mpi=pmix"), MACHINE, proof="dfh")
    assert finding.level == "error"
    assert "launchers.mpi.argv" in finding.next
    assert levels(launchers.check_plugins(srun("--mpi=pmi2"), MACHINE, proof="dfh")) == ["info"]
    assert levels(launchers.check_plugins(srun(), Machine(), proof="dfh")) == ["warning"]
    assert (
        levels(
            launchers.check_plugins({"mpi": LaunchMethod(argv=("ibrun",))}, Machine(), proof="dfh")
        )
        == []
    )


@pytest.mark.parametrize(
    ("words", "mpirun", "expected"),
    [
        (("--mpi=pmix",), OPEN_MPI_4, ["info"]),
        (("--mpi=pmix_v4",), OPEN_MPI_5, ["info"]),
        (("--mpi=pmi2",), OPEN_MPI_5, ["warning"]),
        (("--mpi=cray_shasta",), OPEN_MPI_4, ["warning"]),
        (("--mpi=pmi2",), MPICH, ["info"]),
        (("--mpi=pmi2",), INTEL, ["info"]),
        (("--mpi=cray_shasta",), INTEL, ["warning"]),
        (("--mpi=pmi2",), "", []),
        ((), "", ["warning"]),
        (("--mpi=none",), MPICH, ["warning"]),
    ],
)
def test_srun_and_the_mpi_library_speak_alike(
    words: tuple[str, ...], mpirun: str, expected: list[str]
) -> None:
    assert levels(launchers.check_library(srun(*words), MACHINE, mpirun)) == expected


def test_the_plugin_of_a_bare_srun_is_the_clusters_default() -> None:
    cray = Machine(config={"MpiDefault": "cray_shasta"}, mpi=("none", "cray_shasta"))
    assert levels(launchers.check_library(srun(), cray, MPICH)) == ["info"]
    (finding,) = launchers.check_library(srun(), cray, OPEN_MPI_5)
    assert "Open MPI 5.0.7 speaks pmix" in finding.text
