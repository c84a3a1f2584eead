"""The Keras library: architecture files become the source of a module that builds the model."""

from __future__ import annotations

import pathlib
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from deepforge_hpc.files.faults import Path, Reader
from deepforge_hpc.libraries.keras.catalogue import dialect, shipped, shipped_texts
from deepforge_hpc.libraries.keras.emit import emit
from deepforge_hpc.libraries.networks.catalogue import Catalogue, Texts
from deepforge_hpc.libraries.networks.dialect import Dialect
from deepforge_hpc.libraries.networks.graph import Graph
from deepforge_hpc.libraries.networks.library import NetworkLibrary
from deepforge_hpc.libraries.networks.start_up import start_up
from deepforge_hpc.training import backend

if TYPE_CHECKING:
    from deepforge_hpc.libraries.networks.trial.judge import Judge

_REGISTER = """\
            if keras.saving.get_registered_name(found) == found.__name__:
                keras.saving.register_keras_serializable(module)(found)"""


class KerasLibrary(NetworkLibrary):
    """Compiles architecture files to functional models."""

    name = "keras"
    trained = "keras"
    folder = pathlib.Path(__file__).parent / "networks"

    def dialect(self) -> Dialect:
        return dialect()

    def at_hand(self) -> tuple[Catalogue, Texts]:
        from deepforge_hpc.libraries.networks.at_hand import at_hand

        return at_hand("keras", shipped(), shipped_texts)

    def spellings(self, family: str) -> Mapping[str, str]:
        from deepforge_hpc.libraries.keras.named_values import spellings

        return spellings(family)

    def emit(self, graph: Graph) -> str:
        return emit(graph)

    def exports(self) -> Mapping[str, Callable[[Graph], str]]:
        from deepforge_hpc.libraries.keras.export.document import to_json
        from deepforge_hpc.libraries.keras.export.python import to_python

        return {**super().exports(), "python": to_python, "json": to_json}

    def judge(self) -> Judge:
        from deepforge_hpc.libraries.keras.trial.judge import JUDGE

        return JUDGE

    def check_value(self, sort: str, value: object, path: Path, reader: Reader) -> None:
        from deepforge_hpc.libraries.keras.named_values import check_value

        check_value(sort, value, path, reader)

    def start_up(self, objects: tuple[str, ...]) -> str:
        chooser = pathlib.Path(backend.__file__).read_text("utf-8")
        known = start_up("keras", "Keras", _REGISTER, objects) if objects else ""
        return f"{chooser}\n\nchoose()\n{known}"
