"""PyTorch as the judge of networks."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from deepforge_hpc.errors import Fault
from deepforge_hpc.libraries.networks.graph import Graph
from deepforge_hpc.libraries.networks.trial.judge import Judge
from deepforge_hpc.libraries.networks.trial.result import BuiltLayer
from deepforge_hpc.libraries.torch.catalogue import shipped
from deepforge_hpc.libraries.torch.trial.findings import findings, losses, of_loss
from deepforge_hpc.libraries.torch.trial.words import WORDS

_SLOTS = {
    "SGD": 0,
    **dict.fromkeys(("ASGD", "Adagrad", "Muon", "RMSprop"), 1),
    **dict.fromkeys(("Adadelta", "Adam", "AdamW", "Adamax", "NAdam", "RAdam", "Rprop"), 2),
}
"""Of optimizers as they are without arguments; momentum adds one. PyTorch's own state, counted by a
test; what the others keep depends on the shapes, or on the steps."""
_HIDES = ("MultiheadAttention", "Transformer", "LSTM", "GRU", "RNN")
"""How the names of layers begin that keep more than their output, of which nothing is told."""

_KNOWN = ("torch.", "builtins", "functools")
"""How the modules begin whose layers keep what is said here; of a project's nobody knows."""


def _optimizers() -> dict[str, str]:
    return {name: name for name in shipped().known("optimizer")}


def _inside(layer: BuiltLayer) -> int | None:
    """Return what a layer keeps besides its output: nothing, or nobody knows."""
    is_known = layer.family.startswith(_KNOWN) or not layer.family
    return 0 if is_known and not layer.kind.startswith(_HIDES) else None


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
    inside=_inside,
    optimizers=_optimizers,
    slots=_SLOTS,
    needs="PyTorch",
    variables=("TORCH", "PYTORCH_"),
)
