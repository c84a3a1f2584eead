"""Architectures in other forms, and from them: Python, Keras' JSON, Graphviz; saved models."""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from deepforge_hpc.api.arch import WrittenFile, network, write_file
from deepforge_hpc.errors import UsageError

if TYPE_CHECKING:
    from deepforge_hpc.libraries.networks.graph import Graph

FORMS = ("python", "json", "dot")


def export(path: Path, form: str, output: Path | None, *, force: bool = False) -> WrittenFile:
    """Return the network of a file in another form, written if there is where."""
    return write_file(_writer(form)(network(path)), output, force=force)


def _writer(form: str) -> Callable[[Graph], str]:
    if form == "python":
        from deepforge_hpc.libraries.keras.export.python import to_python

        return to_python
    if form == "json":
        from deepforge_hpc.libraries.keras.export.document import to_json

        return to_json
    from deepforge_hpc.libraries.keras.export.dot import to_dot

    return to_dot


def import_model(
    source: Path,
    output: Path | None,
    *,
    run: bool = False,
    function: str = "",
    python: str = "",
    force: bool = False,
) -> WrittenFile:
    """Return the architecture file of a saved model, written if there is where.

    `run`: SOURCE is a module of Python, and may be run.
    """
    if source.suffix != ".py":
        return write_file(_as_file(source, source), output, force=force)
    if not run:
        hint = "Say --run if you trust it; a .keras file or Keras JSON is read without."
        raise UsageError(f"{source} is code, which import would run", hint)
    from deepforge_hpc.libraries.keras.imports.module import build_model

    with tempfile.TemporaryDirectory() as folder:
        target = Path(folder) / "model.json"
        build_model(source, function, python or sys.executable, target)
        return write_file(_as_file(target, source), output, force=force)


def _as_file(saved: Path, source: Path) -> str:
    """Return the architecture file of a saved model that was read; it compiles."""
    from deepforge_hpc.files.faults import shown
    from deepforge_hpc.libraries.keras.imports.model import saved_model
    from deepforge_hpc.libraries.keras.imports.source import read_model
    from deepforge_hpc.libraries.keras.imports.write import to_yaml
    from deepforge_hpc.libraries.keras.library import KerasLibrary

    text = to_yaml(
        saved_model(read_model(saved), str(source)), f"Imported from {shown(source.name)}."
    )
    KerasLibrary().graph(text, str(source))
    return text
