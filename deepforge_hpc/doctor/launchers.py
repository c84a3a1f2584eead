"""Will what starts the ranks be there, and speak to their MPI? Pure."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterator, Mapping

from deepforge_hpc.doctor.finding import error, ok, warn
from deepforge_hpc.plugins.launcher import launcher_named
from deepforge_hpc.probe.compare import mpi_plugins
from deepforge_hpc.probe.read import Machine
from deepforge_hpc.runtime.base.notice import Notice
from deepforge_hpc.runtime.base.plan import Plan
from deepforge_hpc.site.model import SiteSpec
from deepforge_hpc.site.request import LaunchMethod

VERSION_ARGV = ("mpirun", "--version")


def used(site: SiteSpec, plan: Plan | None) -> dict[str, LaunchMethod]:
    """Return the launchers that a plan uses; without one, all of the site."""
    names = site.launchers if plan is None else {job.launch.name for job in plan.jobs}
    return {
        name: launcher
        for name, launcher in site.launchers.items()
        if name in names and launcher.argv and not launcher.clamp
    }


def check_programs(
    launchers: Mapping[str, LaunchMethod],
    which: Callable[[str], str | None],
    programs: Collection[str],
) -> Iterator[Notice]:
    """Look for the programs that the launch lines run, but the scheduler's own `programs`."""
    if not launchers:
        yield ok("launchers", "no job starts its ranks by one")
    for name, launcher in launchers.items():
        program = launcher.argv[0]
        if program not in programs and which(program) is None:
            message = f"launch: {name} runs {program}, which is not on PATH here"
            step = "no fault if a module or the environment of the job brings it"
            yield warn("launchers", message, step)


def check_plugins(
    launchers: Mapping[str, LaunchMethod], machine: Machine, *, proof: str
) -> Iterator[Notice]:
    """See whether srun has the MPI plugins that the launch lines name."""
    by_srun = {name: one for name, one in launchers.items() if one.starter.has_mpi_option}
    if not by_srun:
        return
    if not machine.mpi:
        yield warn("launchers", "srun --mpi=list shows nothing", f"{proof} tries it")
        return
    have = ", ".join(machine.mpi)
    missing = False
    for name, launcher in by_srun.items():
        for plugin in mpi_plugins(launcher.argv):
            if plugin not in machine.mpi:
                missing = True
                message = f"launch: {name} uses srun --mpi={plugin}, which is not there"
                yield error("launchers", message, f"change launchers.{name}.argv; srun has {have}")
    if not missing:
        yield ok("launchers", f"srun has what the launch lines use ({have})")


def check_library(
    launchers: Mapping[str, LaunchMethod], machine: Machine, mpirun: str
) -> Iterator[Notice]:
    """See whether srun speaks what the MPI library does; `mpirun` is what VERSION_ARGV printed.

    The MPI of the job may be another one, by a module: so it is never an error.
    """
    library, speaks = _library(mpirun)
    for name, launcher in launchers.items():
        if not launcher.starter.has_mpi_option or not launcher_named(name).needs_mpi:
            continue
        named = mpi_plugins(launcher.argv)
        plugin = named[0] if named else machine.mpi_default or "none"
        if plugin == "none":
            message = (
                f"launch: {name} runs srun without MPI (MpiDefault=none): no rank meets others"
            )
            step = f"add --mpi=... to launchers.{name}.argv; srun has {', '.join(machine.mpi)}"
            yield warn("launchers", message, step)
        elif speaks and not plugin.startswith(speaks):
            message = f"launch: {name} uses srun --mpi={plugin}; {library} speaks {speaks[0]}"
            step = f"no fault if the job loads another MPI; else change launchers.{name}.argv"
            yield warn("launchers", message, step)
        elif speaks:
            yield ok("launchers", f"launch: {name}: {library} speaks {plugin}")


def _library(mpirun: str) -> tuple[str, tuple[str, ...]]:
    """Return the MPI library by the words of its mpirun, and the plugins that suit it."""
    if match := re.search(r"\(Open MPI\) (\d+)(\S*)", mpirun):
        # Debian's and most builds of 4 have PMIx alone; 5 took PMI-1 and PMI-2 out.
        return f"Open MPI {match[1]}{match[2]}", ("pmix",)
    if "HYDRA build details" in mpirun:
        version = re.search(r"Version:\s+(\S+)", mpirun)
        return f"MPICH {version[1] if version else ''}".rstrip(), ("pmi2", "cray_shasta", "pmix")
    if match := re.search(r"Intel\(R\) MPI Library.*Version (\S+)", mpirun):
        return f"Intel MPI {match[1]}", ("pmi2", "pmix")
    return "", ()
