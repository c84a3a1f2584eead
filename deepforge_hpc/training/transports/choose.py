"""Which transport: by how many ranks there are, what Keras runs on, and what is installed."""

from __future__ import annotations

import os
from collections.abc import Callable
from importlib.util import find_spec

from deepforge_hpc.job import Rank, ranks
from deepforge_hpc.training.errors import TrainingError
from deepforge_hpc.training.transports.base import OneRank, Transport, backend
from deepforge_hpc.training.transports.gpus import refuse_shared_gpus, use_own_gpus

VARIABLE = "DFH_TRANSPORT"
"""Names one of NAMES for all trainings of a job."""
NAMES = ("horovod", "mpi", "torch")


def connect(name: str = "") -> Transport:
    """Return the transport between the ranks that the job's launcher started.

    `name` (or $DFH_TRANSPORT) is `horovod`, `mpi` or `torch`. Without one: torch.distributed where
    Keras runs on torch, else Horovod if it is installed, else mpi4py. Raises TrainingError if it
    cannot be used here or a rank has no GPU of its own, of those that the job was given, and
    RanksError if it sees another number of ranks than the job has.
    """
    mine = ranks()
    name = name or os.environ.get(VARIABLE, "")
    if name and name not in NAMES:
        raise TrainingError(f"there is no transport {name!r}; there are {', '.join(NAMES)}")
    use_own_gpus(mine, name)
    if mine.world_size == 1:
        return OneRank()
    transport = _maker(name or _best())(mine)
    refuse_shared_gpus(transport, mine)
    return transport


def _best() -> str:
    runs_on = backend()
    if runs_on == "torch":
        return "torch"
    if runs_on != "tensorflow":
        raise TrainingError(
            f"Keras runs on {runs_on}, and a training on several ranks needs tensorflow or torch: "
            "set the environment variable KERAS_BACKEND, or ask for one rank"
        )
    if "TORCHELASTIC_RUN_ID" in os.environ:
        raise TrainingError(
            "torchrun started the ranks, and TensorFlow needs ranks of MPI: write "
            "`launch: horovod` or `launch: mpi`, or let Keras run on torch (KERAS_BACKEND=torch)"
        )
    for name, module in (("horovod", "horovod"), ("mpi", "mpi4py")):
        if find_spec(module) is not None:
            return name
    raise TrainingError(
        "there are several ranks and nothing that connects them: install mpi4py (`pip install "
        "mpi4py`; it takes the MPI library of the site and compiles nothing), or Horovod"
    )


def _maker(name: str) -> Callable[[Rank], Transport]:
    if name == "horovod":
        from deepforge_hpc.training.transports.horovod import HorovodTransport

        return HorovodTransport
    if name == "mpi":
        from deepforge_hpc.training.transports.mpi import MpiTransport

        return MpiTransport
    from deepforge_hpc.training.transports.distributed import TorchTransport

    return TorchTransport
