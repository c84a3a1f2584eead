"""Will a job find the software that it is to run in? Pure, but for a look at files."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

from deepforge_hpc.doctor.finding import error, ok, warn
from deepforge_hpc.pipeline.installed import unseen
from deepforge_hpc.runtime.base.notice import Notice
from deepforge_hpc.runtime.base.plan import Environment, Plan
from deepforge_hpc.runtime.base.text import listed
from deepforge_hpc.schedulers.command import Completed

CONDA_ARGV = ("conda", "env", "list", "--json")
_OF_ONE_NODE = ("/tmp/", "/var/tmp/", "/dev/shm/", "/run/")  # noqa: S108 -- named, not used
_RUNTIMES = {
    "apptainer": ("apptainer", "singularity"),
    "shifter": ("shifter",),
    "podman-hpc": ("podman-hpc",),
}
"""Those that srun itself brings are not on PATH."""
_BY_MODULE = "no fault if a module or the compute nodes bring it"


def environments(plan: Plan) -> dict[Environment, str]:
    """Return what the jobs of a plan run in, each with their names."""
    found: dict[Environment, list[str]] = {}
    for job in plan.jobs:
        found.setdefault(job.environment, []).append(job.name)
    return {environment: listed(names, 4) for environment, names in found.items()}


def check_software(
    used: Mapping[Environment, str],
    which: Callable[[str], str | None],
    ask: Callable[[Sequence[str]], Completed | None],
    here: bool,
) -> Iterator[Notice]:
    """See whether interpreter, conda environment or image are there, and for other nodes too.

    `here`: whether jobs run on this very machine.
    """
    for environment, jobs in used.items():
        if environment.container:
            yield from _image(environment.container, jobs, here)
        elif environment.conda:
            yield from _conda(environment, jobs, ask, here)
        else:
            yield from _python(environment, jobs, which, here)


def check_runtimes(plan: Plan, which: Callable[[str], str | None]) -> Iterator[Notice]:
    """See whether what starts the images of a plan is there."""
    for runtime in sorted({job.container.runtime for job in plan.jobs if job.container}):
        programs = _RUNTIMES.get(runtime, ())
        if programs and not any(which(name) for name in programs):
            yield warn("container", f"{' or '.join(programs)} is not on PATH here", _BY_MODULE)


def check_packages(plan: Plan) -> Iterator[Notice]:
    """See whether what the operations import is there, as far as an environment can be seen."""
    missing: dict[tuple[str, Environment], list[str]] = {}
    for job in plan.jobs:
        for package in unseen(job.software):
            missing.setdefault((package, job.environment), []).append(job.name)
    for (package, environment), jobs in missing.items():
        where = environment.conda or environment.python
        message = f"{package}: not installed in {where}, and {listed(jobs, 4)} may import it"
        yield warn("python", message, f"install it; {_BY_MODULE}")


def check_modules(plan: Plan, available: Sequence[str]) -> Iterator[Notice]:
    """Look for the modules that jobs load among those that `module avail` lists."""
    wanted = dict.fromkeys(
        name for job in plan.jobs for name in (*job.modules, *job.environment.modules)
    )
    missing = [name for name in wanted if not _is_among(name, available)]
    if missing and not available:
        step = f"try in a job: module load {missing[0]}"
        yield warn("modules", "module avail shows nothing here", step)
    elif missing:
        message = f"module avail does not list {', '.join(missing)}"
        step = f"module spider {missing[0]}; no fault if another module must be loaded first"
        yield warn("modules", message, step)
    elif wanted:
        yield ok("modules", f"module avail lists all that the jobs load ({len(wanted)})")


def _is_among(name: str, available: Sequence[str]) -> bool:
    return any(item == name or item.startswith(f"{name}/") for item in available)


def _python(
    environment: Environment, jobs: str, which: Callable[[str], str | None], here: bool
) -> Iterator[Notice]:
    path = environment.python
    found = which(path)
    if found:
        yield _there(here, "python", found, f"runs {jobs}")
    elif environment.modules and os.sep not in path:
        yield warn("python", f"{path}: not on PATH here, for {jobs}", _BY_MODULE)
    else:
        message = f"{path}: no such program, for {jobs}"
        yield error("python", message, "change `environment` of the pipeline or the site")


def _conda(
    environment: Environment,
    jobs: str,
    ask: Callable[[Sequence[str]], Completed | None],
    here: bool,
) -> Iterator[Notice]:
    name = environment.conda
    folder: str | None = name if Path(name, "conda-meta").is_dir() else None
    if os.sep not in name:
        answer = ask(CONDA_ARGV)
        if answer is None or answer.returncode:
            yield warn("conda", f"no conda answers here, for {jobs}", _BY_MODULE)
            return
        folder = _folder_of(name, answer.stdout)
    if folder is None:
        message = f"{name}: no such conda environment, for {jobs}"
        yield error("conda", message, "see what there is with: conda env list")
    else:
        yield _there(here, "conda", folder, f"is there for {jobs}")


def _folder_of(name: str, listed: str) -> str | None:
    """Return the folder of a conda environment by its name; `base` is the first."""
    try:
        folders = [str(item) for item in json.loads(listed)["envs"]]
    except (ValueError, KeyError, TypeError):
        return None
    if name == "base":
        return next(iter(folders), None)
    return next((item for item in folders if Path(item).name == name), None)


def _image(image: str, jobs: str, here: bool) -> Iterator[Notice]:
    if not image.startswith(os.sep):
        yield ok("container", f"{image} is no file here: not looked for; for {jobs}")
    elif Path(image).exists():
        yield _there(here, "container", image, f"is there for {jobs}")
    else:
        message = f"{image}: no such image, for {jobs}"
        yield error("container", message, "build or pull it, or change `environment`")


def _there(here: bool, check: str, path: str, use: str) -> Notice:
    if not here and path.startswith(_OF_ONE_NODE):
        message = f"{path}: compute nodes may not see this folder"
        return warn(check, message, "keep it in your home folder or project space")
    return ok(check, f"{path} {use}")
