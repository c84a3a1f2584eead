"""`dfh arch export | import`."""

from __future__ import annotations

from pathlib import Path

import click

from deepforge_hpc.api import arch_exchange
from deepforge_hpc.cli.commands.arch import (
    file_argument,
    output_file_options,
    python_option,
    show_file,
)
from deepforge_hpc.cli.options import output_options
from deepforge_hpc.cli.views.display import Display


@click.command("export")
@file_argument
@click.option(
    "--to", "form", metavar="FORM", required=True, help="python, dot, or json (of Keras)."
)
@output_file_options
@output_options
def export(display: Display, /, *, file: Path, form: str, output: Path | None, force: bool) -> None:
    """Write a network as Python, as Keras' JSON or for Graphviz.

    Python has a function for each block and loops for what repeats; `build()` returns the model.
    The JSON is what keras.models.model_from_json takes.

    \b
    Example:
      dfh arch export architectures/resnet50.yaml --to python -o resnet50.py
    """
    show_file(display, arch_exchange.export(file, form, output, force=force))


@click.command("import")
@click.argument("source", type=click.Path(path_type=Path))
@click.option("--run", is_flag=True, help="SOURCE is Python: run it, in a process of its own.")
@click.option("--function", default="", metavar="NAME", help="What of it makes the model.")
@python_option
@output_file_options
@output_options
def import_(
    display: Display,
    /,
    *,
    source: Path,
    output: Path | None,
    run: bool,
    function: str,
    python: str,
    force: bool,
) -> None:
    """Make an architecture file of a saved model.

    SOURCE is a .keras file, the JSON of model.to_json(), or with --run a module that builds a
    model. Files are read as data: Lambda layers and layers of other packages are refused.

    \b
    Example:
      dfh arch import model.keras -o architectures/model.yaml
    """
    found = arch_exchange.import_model(
        source, output, run=run, function=function, python=python, force=force
    )
    show_file(display, found)
