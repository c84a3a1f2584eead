"""How an image is started at a site: around one process, or around each rank. Pure.

Around ranks, `Container.script` is the text for `bash -c` (see launch.py): `$0` is the image and
`$1` the supervisor's interpreter, in whose place the image's own `python3` is run. What stands in
`Container.words` goes on the line of srun. The job's script sets `DFH_EXECUTION` and `DFH_PROJECT`.
"""

from __future__ import annotations

from dataclasses import dataclass

from deepforge_hpc.plan.facts import has_amd_gpus
from deepforge_hpc.site.model import SiteSpec
from deepforge_hpc.site.queue import NodeType
from deepforge_hpc.site.unknown import UNKNOWN, known

_GPU_FLAGS = {"apptainer": "--nv", "podman-hpc": "--gpu"}
_AMD_FLAGS = {"apptainer": "--rocm"}
_PARTS = {"apptainer": ':,"', "podman-hpc": ":", "pyxis": ":,"}
"""Letters that end a path, or quote it, where a runtime is told what to show of the host."""
_PYTHON = 'python3 "$@"'
_APPTAINER = '"$(command -v apptainer || command -v singularity || echo apptainer)"'
"""Either has the same options; a host with neither is told of the first."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Container:
    """The way into an image."""

    image: str = ""
    runtime: str = ""
    flags: tuple[str, ...] = ()
    bind: tuple[str, ...] = ()
    header: tuple[tuple[str, str], ...] = ()
    """Options for the scheduler."""
    words: tuple[str, ...] = ()
    """Options of srun."""
    script: str = ""
    """Shell that starts one rank, for `bash -c`."""
    problem: str = ""
    """Why the site cannot run it."""


def container_of(
    site: SiteSpec,
    image: str,
    *,
    gpus: bool,
    folders: tuple[str, ...],
    node: NodeType | None = None,
    disk: str = "",
) -> Container:
    """Return how an image is started; `problem` is given where it cannot be.

    `folders` are what a job needs of the host, for runtimes that cannot be told in the job; `disk`
    is that of the `node`.
    """
    spec = site.containers
    runtime = "apptainer" if spec.runtime is UNKNOWN else spec.runtime
    if runtime == "none":
        return Container(problem=f"site {site.name} runs no containers")
    for path in folders:
        if bad := sorted(set(path) & set(_PARTS.get(runtime, ""))):
            letters = " and ".join(map(repr, bad))
            problem = f"{runtime} cannot show {path} to the image, for the path holds {letters}"
            return Container(problem=f"{problem}: rename the folder")
    by_kind = _AMD_FLAGS if has_amd_gpus(node) else _GPU_FLAGS
    flag = (spec.gpu_flag or by_kind.get(runtime, "")) if gpus else ""
    flags = (*((flag,) if flag else ()), *spec.flags)
    words = (f"--mpi={mpi}",) if (mpi := known(spec.mpi)) else ()
    bind = (*spec.bind, disk) if disk else spec.bind
    if runtime == "ce":
        words += (f"--environment={image}", *flags)
    elif runtime == "pyxis":
        paths = ",".join(f"{path}:{path}" for path in dict.fromkeys((*folders, *bind)))
        words += (f"--container-image={image}", f"--container-mounts={paths}", *flags)
    return Container(
        image=image,
        runtime=runtime,
        flags=flags,
        bind=bind,
        header=(("image", image),) if runtime == "shifter" else (),
        words=words,
        script="shift; exec " + _inside(runtime, flags, bind),
    )


def _inside(runtime: str, flags: tuple[str, ...], bind: tuple[str, ...]) -> str:
    words = "".join(f"{flag} " for flag in flags)
    here = ("$DFH_EXECUTION", "$DFH_PROJECT", *bind)
    if runtime == "shifter":
        return f"shifter {words}{_PYTHON}"
    if runtime == "podman-hpc":
        volumes = "".join(f'-v "{path}:{path}" ' for path in here)
        return f'podman-hpc run --rm --env-host {words}{volumes}-w "$PWD" "$0" {_PYTHON}'
    if runtime == "apptainer":
        binds = "".join(f'--bind "{path}" ' for path in here)
        return f'{_APPTAINER} exec {words}{binds}--pwd "$PWD" "$0" {_PYTHON}'
    return _PYTHON  # srun itself starts the image
