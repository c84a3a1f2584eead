"""torch.distributed, for torch itself and for Keras on torch: NCCL or RCCL on GPUs, else gloo."""

from __future__ import annotations

import atexit
import gc
import os
from collections.abc import Callable, Sequence
from typing import Any

from deepforge_hpc.job import Rank
from deepforge_hpc.training.errors import TrainingError
from deepforge_hpc.training.transports.base import Array, Tensor, Transport

MESHES = "torch.distributed.device_mesh", "torch.distributed.fsdp."
"""Modules whose objects hold process groups."""


class TorchTransport(Transport):
    """The default process group of torch, which is made if there is none yet."""

    name = "torch"

    def __init__(self, ranks: Rank) -> None:
        self._torch, self._device = _join(ranks)
        self._group = self._torch.distributed
        ranks.agree(self._group.get_world_size(), "torch.distributed")
        super().__init__(self._group.get_rank(), ranks.world_size)

    def _gather(self, value: Any) -> list[Any]:
        found: list[Any] = [None] * self.size
        self._group.all_gather_object(found, value)
        return found

    def mean_of_tensors(self, tensors: Sequence[Tensor]) -> list[Tensor]:
        def mean(flat: Tensor) -> None:
            with self.timed():  # NCCL returns before it is done: what is not seen here is compute
                self._group.all_reduce(flat)
                flat /= self.size

        return reduced(tensors, mean)

    def sum_later(self, tensor: Tensor) -> Callable[[], None]:
        work = self._group.all_reduce(tensor, async_op=True)

        def wait() -> None:
            with self.timed():  # what the backward pass hides is not waited for
                work.wait()

        return wait

    def _broadcast(self, array: Array, root: int) -> Array:
        tensor = self._tensor(array)
        self._group.broadcast(tensor, root)
        return tensor.cpu().numpy()

    def _sum(self, array: Array) -> Array:
        tensor = self._tensor(array)
        self._group.all_reduce(tensor)
        return tensor.cpu().numpy()

    def _tensor(self, array: Array) -> Tensor:
        import numpy as np

        return self._torch.from_numpy(np.array(array, order="C")).to(self._device)


def reduced(tensors: Sequence[Tensor], reduce: Callable[[Tensor], None]) -> list[Tensor]:
    """Return tensors whose numbers `reduce` changed in place: one buffer for each type of them."""
    import torch

    with torch.no_grad():
        wide = [item.float() if item.element_size() < 4 else item for item in tensors]
        found = list(wide)
        for kind in dict.fromkeys(item.dtype for item in wide):
            places = [place for place, item in enumerate(wide) if item.dtype == kind]
            flat = torch.cat([wide[place].reshape(-1) for place in places])
            reduce(flat)
            parts = flat.split([wide[place].numel() for place in places])
            for place, part in zip(places, parts, strict=True):
                found[place] = part.reshape(wide[place].shape)
        return [item.to(mine.dtype) for item, mine in zip(found, tensors, strict=True)]


def _join(ranks: Rank) -> tuple[Any, Any]:
    try:
        import torch
    except ModuleNotFoundError as error:
        raise TrainingError(
            f"{error}: several ranks of torch need it; pip install torch"
        ) from error
    if not torch.distributed.is_available():
        raise TrainingError("this build of torch has no torch.distributed: install another one")
    with_gpu = ranks.device is not None  # and PyTorch has it: `connect` has asked
    if not torch.distributed.is_initialized():
        if "MASTER_ADDR" not in os.environ or "MASTER_PORT" not in os.environ:
            raise TrainingError(
                "torch.distributed needs $MASTER_ADDR and $MASTER_PORT, a host and a free port "
                "that all ranks are given: start them by `launch: torchrun`, or set both"
            )
        # Its functions have the group of that time as a default, for good: before there is one.
        import torch.distributed.nn.functional

        torch.distributed.init_process_group(
            "nccl" if with_gpu else "gloo", rank=ranks.rank, world_size=ranks.world_size
        )
        atexit.register(_leave, torch.distributed)
    return torch, torch.device("cuda", ranks.device) if with_gpu else torch.device("cpu")


def _leave(distributed: Any) -> None:
    """End the process groups and their threads before the interpreter ends.

    A thread of gloo lets go of the tensors of an exchange a moment after that is over, and takes
    Python's lock for it: where it comes too late, C++ aborts the whole process, whose work was done
    ("terminate called without an active exception"; torch 2.13). The threads end with the last
    holder of the group, and the meshes of sharded modules hold theirs.
    """
    if not distributed.is_initialized():
        return  # the program has ended it
    distributed.destroy_process_group()
    for holder in gc.get_objects():
        if str(type(holder).__module__).startswith(MESHES):
            names = getattr(holder, "__dict__", {})  # a named tuple of theirs has none
            for within in (names, *(one for one in names.values() if isinstance(one, dict))):
                for name, held in list(within.items()):
                    if isinstance(held, distributed.ProcessGroup):
                        within[name] = None
