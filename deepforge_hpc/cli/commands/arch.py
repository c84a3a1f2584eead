"""`dfh arch show`."""

from __future__ import annotations

from pathlib import Path

import click

from deepforge_hpc.api import arch
from deepforge_hpc.cli.lazy import LazyCommand, LazyGroup
from deepforge_hpc.cli.options import output_options
from deepforge_hpc.cli.views.arch import network_lines
from deepforge_hpc.cli.views.display import Display


@click.group(
    "arch",
    cls=LazyGroup,
    entries=(LazyCommand("show", "Show a network layer by layer.", "arch", "show"),),
)
def command() -> None:
    """Look at and write architecture files.

    An architecture file says a network as data: layers by name, with blocks for what repeats.

    \b
    Example:
      dfh arch show architectures/pasquet.yaml
    """


@click.command("show")
@click.argument("file", type=click.Path(path_type=Path))
@output_options
def show(display: Display, file: Path) -> None:
    """Show a network layer by layer.

    Blocks are expanded: one line for each layer, with what it is called on and its arguments.

    \b
    Example:
      dfh arch show architectures/pasquet.yaml
    """
    found = arch.show(file)
    display.result(found.to_dict(), network_lines(found))
