"""What a rank among several, or one with GPUs, finds in its environment if nobody else set it."""

from __future__ import annotations

import os
import stat
from collections.abc import Mapping
from pathlib import Path

from ..base.plan import Job

_THREADS = ("OMP_NUM_THREADS", "TF_NUM_INTRAOP_THREADS")
"""OpenMP (which NumPy, SciPy, PyTorch and MKL go by), and TensorFlow."""
_CACHES = {
    "CUDA_CACHE_PATH": "cuda",
    "MIOPEN_CUSTOM_CACHE_DIR": "miopen",
    "MIOPEN_USER_DB_PATH": "miopen",
    "TORCHINDUCTOR_CACHE_DIR": "inductor",
    "TRITON_CACHE_DIR": "triton",
}
"""Of compiled kernels: in the home folder by default, where many ranks lock the same files."""


def threads(environ: Mapping[str, str], job: Job, cores: int) -> dict[str, str]:
    """Return how many threads each of several ranks starts; one alone knows its cores itself.

    `cores`: those that this process may run on, its own ones or, unbound, all of the job's.
    """
    if job.launch.world_size == 1:
        return {}
    share = max(job.resources.cpus_per_task, cores // job.resources.ntasks_per_node)
    number = str(max(1, min(cores, share)))
    return {name: number for name in _THREADS if name not in environ}


def caches(environ: Mapping[str, str], job: Job, owner: int) -> dict[str, str]:
    """Return where compilers for GPUs keep what they made: on this node, in a folder of the user's.

    Nothing if there is such a folder that others may write to: what lies there is run.
    """
    names = [name for name in _CACHES if name not in environ]
    if not job.resources.gpus_per_node or not names:
        return {}
    base = Path(environ.get("TMPDIR") or "/tmp", f"dfh-caches-{owner}")  # noqa: S108 - checked
    try:
        base.mkdir(0o700, exist_ok=True)
        found = base.lstat()
        if found.st_uid != owner or not stat.S_ISDIR(found.st_mode) or found.st_mode & 0o077:
            return {}
        for name in names:
            (base / _CACHES[name]).mkdir(exist_ok=True)
    except OSError:
        return {}  # a full or closed disk: then as without
    return {name: str(base / _CACHES[name]) for name in names}


def variables(environ: Mapping[str, str], job: Job) -> dict[str, str]:
    """Return the variables to set before any library is imported."""
    found = caches(environ, job, os.getuid())
    return found | threads(environ, job, len(os.sched_getaffinity(0)))
