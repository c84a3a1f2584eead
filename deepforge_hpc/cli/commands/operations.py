"""`dfh operations list | doc`."""

from __future__ import annotations

from pathlib import Path

import click

from deepforge_hpc.cli.lazy import LazyCommand, LazyGroup
from deepforge_hpc.cli.options import output_options
from deepforge_hpc.cli.views.display import Display


@click.group(
    "operations",
    cls=LazyGroup,
    entries=(
        LazyCommand("list", "List the operations that a pipeline can use.", "operations", "list_"),
        LazyCommand("doc", "Explain an operation.", "operations", "doc"),
    ),
)
def command() -> None:
    """List and explain operations.

    \b
    Example:
      dfh operations list
      dfh operations doc Split
    """


@click.command("list")
@click.argument(
    "folder", type=click.Path(path_type=Path, file_okay=False, exists=True), default="."
)
@output_options
def list_(display: Display, folder: Path) -> None:
    """List the operations that a pipeline can use.

    Those of the library, and the classes with a method `execute` in the Python files below FOLDER.
    Files are read, nothing of them is run.

    \b
    Example:
      dfh operations list
    """
    from deepforge_hpc.api.operations import list_operations
    from deepforge_hpc.cli.views.operations import list_lines

    found = list_operations(folder.resolve())
    display.result(found.to_dict(), list_lines(found))


@click.command("doc")
@click.argument("name")
@output_options
def doc(display: Display, name: str) -> None:
    """Explain an operation.

    NAME is one of the list, or what stands behind `uses:`. What it takes and gives is read from its
    code, which is not run.

    \b
    Example:
      dfh operations doc Split
      dfh operations doc operations/train.py:Train
    """
    from deepforge_hpc.api.operations import document
    from deepforge_hpc.cli.views.operations import doc_lines

    found = document(name, Path.cwd())
    display.result(found.to_dict(), doc_lines(found))
