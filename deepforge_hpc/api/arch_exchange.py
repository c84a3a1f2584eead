"""Architectures in other forms, and from them: Python, Keras' JSON, Graphviz; saved models."""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

from deepforge_hpc.api.arch import WrittenFile, library, network, why_not, write_file
from deepforge_hpc.errors import UsageError


def export(path: Path, form: str, output: Path | None, *, force: bool = False) -> WrittenFile:
    """Return the network of a file in another form, written if there is where."""
    graph = network(path)
    forms = library(graph.library).exports()
    if form not in forms:
        message = f"a network of {graph.library} has no form {form}"
        raise UsageError(message, f"Say --to {' or '.join(sorted(forms))}.")
    return write_file(forms[form](graph), output, force=force)


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
    beside = source if output is None else output
    if source.suffix != ".py":
        return write_file(_as_file(source, source, beside), output, force=force)
    if not run:
        hint = "Say --run if you trust it; a .keras file or Keras JSON is read without."
        raise UsageError(f"{source} is code, which import would run", hint)
    from deepforge_hpc.libraries.keras.imports.module import build_model

    with tempfile.TemporaryDirectory() as folder:
        target = Path(folder) / "model.json"
        build_model(source, function, python or sys.executable, target)
        return write_file(_as_file(target, source, beside), output, force=force)


def _as_file(saved: Path, source: Path, beside: Path) -> str:
    """Return the architecture file of a saved model that was read; it compiles.

    What it names of a project is that around the file which is written.
    """
    from deepforge_hpc.files.faults import shown
    from deepforge_hpc.libraries.keras.imports.model import saved_model
    from deepforge_hpc.libraries.keras.imports.source import read_model
    from deepforge_hpc.libraries.keras.imports.write import to_yaml
    from deepforge_hpc.libraries.keras.library import KerasLibrary

    model = saved_model(read_model(saved), str(source), why_not(beside))
    text = to_yaml(model, f"Imported from {shown(source.name)}.")
    KerasLibrary().graph(text, str(source))
    return text
