"""How the ranks of a data-parallel training talk to each other: one interface, four ways.

Horovod and mpi4py talk over MPI, torch.distributed over NCCL, RCCL or gloo; one rank talks to
nobody. Nothing here imports a framework before `connect` has chosen one.
"""

from __future__ import annotations

from deepforge_hpc.training.transports.base import OneRank, Transport
from deepforge_hpc.training.transports.choose import connect

__all__ = ["OneRank", "Transport", "connect"]
