"""What PyTorch says of a part of a training, as a sentence that names the part."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch

from deepforge_hpc.training.errors import TrainingError

_KINDS = (RuntimeError, ValueError, TypeError, IndexError)


@contextmanager
def clear(what: str, kinds: tuple[type[Exception], ...] = _KINDS) -> Iterator[None]:
    """Raise TrainingError with `what` for an error of PyTorch, but for a want of memory."""
    try:
        yield
    except (torch.OutOfMemoryError, TrainingError):
        raise
    except kinds as error:
        raise TrainingError(f"{what}: {' '.join(str(error).split())[:400]}") from error
