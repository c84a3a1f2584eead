"""The torch library: architecture files become the source of a class of PyTorch."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from deepforge_hpc.files import faults
from deepforge_hpc.files.faults import Reader
from deepforge_hpc.libraries.networks.at_hand import at_hand
from deepforge_hpc.libraries.networks.catalogue import Catalogue, Texts
from deepforge_hpc.libraries.networks.dialect import Dialect
from deepforge_hpc.libraries.networks.graph import Graph
from deepforge_hpc.libraries.networks.library import NetworkLibrary
from deepforge_hpc.libraries.networks.start_up import start_up
from deepforge_hpc.libraries.torch.catalogue import dialect, shipped, shipped_texts
from deepforge_hpc.libraries.torch.emit import emit

if TYPE_CHECKING:
    from deepforge_hpc.libraries.networks.trial.judge import Judge

_REGISTER = "            torch.serialization.add_safe_globals([found])"
"""Else a file with such a module is refused by `torch.load`."""


class TorchLibrary(NetworkLibrary):
    """Compiles architecture files to subclasses of `nn.Module`."""

    name = "torch"
    trained = "safetensors"
    folder = Path(__file__).parent / "networks"

    def dialect(self) -> Dialect:
        return dialect()

    def at_hand(self) -> tuple[Catalogue, Texts]:
        return at_hand("torch", shipped(), shipped_texts)

    def judge(self) -> Judge:
        from deepforge_hpc.libraries.torch.trial.judge import JUDGE

        return JUDGE

    def emit(self, graph: Graph) -> str:
        return emit(graph)

    def check_value(self, sort: str, value: object, path: faults.Path, reader: Reader) -> None:
        from deepforge_hpc.libraries.torch.named_values import check_value

        check_value(sort, value, path, reader)

    def start_up(self, objects: tuple[str, ...]) -> str:
        return start_up("torch", "PyTorch", _REGISTER, objects) if objects else ""
