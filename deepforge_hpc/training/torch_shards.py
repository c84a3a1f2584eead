"""Checkpoints of a module that `fully_shard` sharded: a shard of each rank, read by any number.

torch.distributed.checkpoint writes a folder of `__RANK_0.distcp` and `.metadata`. Numbers that are
no tensors go into the JSON of the checkpoint, which rank 0 writes when all shards are there.
"""

from __future__ import annotations

import pickle
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar

import torch

from deepforge_hpc.training.checkpoints import Checkpoint, Checkpoints, Position, noted
from deepforge_hpc.training.errors import TrainingError
from deepforge_hpc.training.transports import Transport

T = TypeVar("T")
_METADATA = ".metadata"
_NAMES = {
    "torch.distributed.checkpoint.metadata": (
        *("Metadata", "MetadataIndex", "StorageMeta", "TensorProperties"),
        *("TensorStorageMetadata", "ChunkStorageMetadata", "_MEM_FORMAT_ENCODING"),
    ),
    "torch.distributed.checkpoint.filesystem": ("_StorageInfo",),
    "torch.serialization": ("_get_layout",),
    "pathlib": ("PosixPath",),
}
"""What a description of shards consists of, besides torch's types of numbers and sizes."""


def is_sharded(module: Any) -> bool:
    """Return whether any parameter of a module is spread over ranks."""
    return any(local(one) is not one for one in module.parameters())


def local(tensor: Any) -> Any:
    """Return the part of a tensor that this rank has: all of it where it is not sharded."""
    kinds = sys.modules.get("torch.distributed.tensor")  # no tensor is sharded without it
    return tensor.to_local() if kinds and isinstance(tensor, kinds.DTensor) else tensor


def whole(tensors: Mapping[str, Any]) -> dict[str, Any]:
    """Return those that every rank has in full."""
    return {name: one for name, one in tensors.items() if local(one) is one}


def check(module: Any, optimizer: Any, transport: Transport) -> None:
    """Raise TrainingError for a sharded module that would not learn the same on all ranks."""
    if not is_sharded(module):
        return
    from torch.distributed.fsdp import FSDPModule

    plain = list(whole(dict(module.named_parameters())))
    if plain or not isinstance(module, FSDPModule):
        raise TrainingError(
            f"the module is sharded in part (not: {', '.join(plain[:4]) or 'the module itself'}): "
            "call torch.distributed.fsdp.fully_shard on the whole module too, after its parts"
        )
    if any(local(one) is one for group in optimizer.param_groups for one in group["params"]):
        raise TrainingError(
            "the optimizer has the parameters of before the module was sharded: make it after "
            "fully_shard"
        )
    ranks = next(module.parameters()).device_mesh.size()
    place = torch.distributed.get_rank()
    if (ranks, place) != (transport.size, transport.rank):
        raise TrainingError(
            f"the module is sharded over {ranks} ranks, and this is rank {place} of them; the "
            f"training has {transport.size}, and this is rank {transport.rank}: shard over all "
            "ranks, connected by connect('torch')"
        )


def on_first(transport: Transport, write: Callable[[], T]) -> T | None:
    """Return what rank 0 wrote, on it alone; TrainingError on all ranks where it cannot."""
    made, error = None, ""
    if transport.rank == 0:
        try:
            made = write()
        except OSError as fault:
            error = f"the checkpoint cannot be written: {fault}"
    if error := transport.gather(error)[0]:
        raise TrainingError(error)
    return made


def collect(module: Any, optimizer: Any) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return tensors, each rank's part of them, and the optimizer's other numbers, by names."""
    from torch.distributed.checkpoint import state_dict as states

    weights = states.get_model_state_dict(module)
    found = states.get_optimizer_state_dict(module, optimizer, options=_flat())
    tensors = {f"weight/{name}": one for name, one in weights.items()}
    tensors |= {f"optimizer/{n}": one for n, one in found.items() if torch.is_tensor(one)}
    return tensors, {name: one for name, one in found.items() if not torch.is_tensor(one)}


def save(
    kept: Checkpoints,
    at: Position,
    state: Mapping[str, Any],
    tensors: dict[str, Any],
    transport: Transport,
) -> Checkpoint | None:
    """Write each rank's shard, and let the checkpoint count when all are written."""
    import torch.distributed.checkpoint as shards

    made = transport.gather(on_first(transport, lambda: kept.begin_shards(at)))[0]
    try:
        shards.save(tensors, storage_writer=shards.FileSystemWriter(made))
    except shards.CheckpointException as fault:  # raised on all ranks
        raise TrainingError(f"the checkpoint cannot be written: {fault}") from fault
    mine = [*made.glob(f"__{transport.rank}_*"), *([made / _METADATA] * (transport.rank == 0))]
    gathered = transport.gather({path.name: noted(path) for path in mine})
    files = {name: said for one in gathered for name, said in one.items()}
    return on_first(transport, lambda: kept.publish_shards(at, state, files))


def restore(
    found: Checkpoint,
    module: Any,
    optimizer: Any,
    numbers: Mapping[str, Any],
    transport: Transport,
) -> None:
    """Set weights and optimizer to a checkpoint's, whatever number of ranks wrote it.

    A module that is not sharded takes it too. Raises TrainingError on all ranks.
    """
    import torch.distributed.checkpoint as shards
    from torch.distributed.checkpoint import state_dict as states

    tensors, _ = collect(module, optimizer)
    error = ""
    try:
        _vet(found.path)
        shards.load(tensors, storage_reader=shards.FileSystemReader(found.path), no_dist=True)
    except (shards.CheckpointException, OSError, ValueError, pickle.UnpicklingError) as fault:
        error = str(fault)
    if error := next(filter(None, transport.gather(error)), ""):
        raise TrainingError(f"the checkpoint {found.path} cannot be read: {error}")
    parts = {"weight": {}, "optimizer": dict(numbers)}
    for name, one in tensors.items():
        kind, _, rest = name.partition("/")
        parts[kind][rest] = one
    states.set_model_state_dict(module, parts["weight"])
    states.set_optimizer_state_dict(module, optimizer, parts["optimizer"], options=_flat())


def _flat() -> Any:
    from torch.distributed.checkpoint.state_dict import StateDictOptions

    return StateDictOptions(flatten_optimizer_state_dict=True)


def _vet(folder: Path) -> None:
    """Raise UnpicklingError for a description that could run code: torch unpickles all of them."""
    with (folder / _METADATA).open("rb") as file:
        _Vetted(file).load()


class _Vetted(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        kind = getattr(torch, name, None) if module == "torch" else None
        if name not in _NAMES.get(module, ()) and not (
            kind is torch.Size or isinstance(kind, torch.dtype)
        ):
            raise pickle.UnpicklingError(f"its description names {module}.{name}")
        return super().find_class(module, name)
