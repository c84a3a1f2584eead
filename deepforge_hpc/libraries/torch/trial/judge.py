"""PyTorch as the judge of networks."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from deepforge_hpc.errors import Fault
from deepforge_hpc.libraries.networks.graph import Graph
from deepforge_hpc.libraries.networks.trial.judge import Judge
from deepforge_hpc.libraries.networks.trial.result import BuiltLayer
from deepforge_hpc.libraries.torch.trial.findings import findings, losses, of_loss
from deepforge_hpc.libraries.torch.trial.words import WORDS


def _operations(layer: BuiltLayer) -> int | None:
    """Return what PyTorch itself counted."""
    return layer.operations


def _of_ranks(graph: Graph) -> Iterator[Fault]:  # noqa: ARG001
    """Yield nothing: what would be wrong is refused by name."""
    yield from ()


JUDGE = Judge(
    framework="PyTorch",
    packages=("torch",),
    child=Path(__file__).with_name("child.py"),
    said=WORDS.said,
    findings=findings,
    of_loss=of_loss,
    of_ranks=_of_ranks,
    losses=losses,
    operations=_operations,
    needs="PyTorch",
    variables=("TORCH", "PYTORCH_"),
)
