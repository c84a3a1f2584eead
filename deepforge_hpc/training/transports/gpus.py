"""A rank takes its own GPUs, which no other rank has."""

from __future__ import annotations

import socket
from typing import Any

from deepforge_hpc.job import Rank
from deepforge_hpc.training.devices import own_gpu
from deepforge_hpc.training.errors import TrainingError
from deepforge_hpc.training.transports.base import Transport, backend


def use_own_gpus(rank: Rank, name: str) -> None:
    """Let the framework take this rank's GPUs alone, of all that it sees.

    `name` is the transport's, if one is named: that of torch is for PyTorch, whatever Keras has.

    Raises TrainingError if it does not see them, or has begun: TensorFlow takes all that it sees.
    """
    if not rank.gpus:
        return
    runs_on = "torch" if name == "torch" else backend()
    if runs_on == "tensorflow":
        _of_tensorflow(rank.gpus)
    elif runs_on == "torch":
        import torch

        _refuse_fewer(rank.gpus, torch.cuda.device_count(), "PyTorch")
        torch.cuda.set_device(rank.device)


def _of_tensorflow(own: tuple[int, ...]) -> None:
    import tensorflow as tf

    found = tf.config.list_physical_devices("GPU")
    _refuse_fewer(own, len(found), "TensorFlow")
    wanted = [found[gpu] for gpu in own]
    if tf.config.get_visible_devices("GPU") == wanted:
        return
    try:
        tf.config.set_visible_devices(wanted, "GPU")
    except RuntimeError as error:
        raise TrainingError(
            "TensorFlow has taken the GPUs of all ranks already, with the first network or tensor: "
            "call deepforge_hpc.training.connect() before, or let the pipeline hide those of the "
            "others (`gpu_visibility: own`)"
        ) from error


def _refuse_fewer(own: tuple[int, ...], count: int, who: str) -> None:
    if max(own) < count:
        return
    numbers = ", ".join(map(str, own))
    what = f"this rank is to use GPU {numbers} of those that it sees (from 0), and {who} sees"
    raise TrainingError(
        f"{what} {count}: fewer GPUs than ranks; compare the job's gpus_per_node with what it got"
        if count
        else f"{what} none: it needs a build of {who} for these GPUs and their driver, or the "
        "operation asks for no GPU (`gpus_per_node: 0`)"
    )


def refuse_shared_gpus(transport: Transport, rank: Rank) -> None:
    """Raise the same TrainingError on all ranks if two of them are to use one GPU.

    Nobody is told so: a scheduler that gave a job fewer GPUs shows each rank those that there are.
    """
    gpu: Any = own_gpu(rank) if rank.gpus else None
    gathered = transport.gather((socket.gethostname(), gpu.identity if gpu else ""))
    first: dict[tuple[str, str], int] = {}
    for number, place in enumerate(gathered):
        other = first.setdefault(place, number)
        if place[1] and other != number:
            raise TrainingError(
                f"ranks {other} and {number} are to use one GPU of {place[0]} ({place[1]}): fewer "
                "GPUs than ranks; compare the job's gpus_per_node with what it got"
            )
