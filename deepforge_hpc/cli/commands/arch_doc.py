"""`dfh arch doc`."""

from __future__ import annotations

import click

from deepforge_hpc.api import arch_doc
from deepforge_hpc.cli.commands.arch import library_option
from deepforge_hpc.cli.options import output_options
from deepforge_hpc.cli.views.arch import doc_lines
from deepforge_hpc.cli.views.display import Display


@click.command("doc")
@click.argument("name", metavar="LAYER")
@library_option
@output_options
def doc(display: Display, name: str, of: str) -> None:
    """Explain a layer and its arguments.

    LAYER may also be the name of an initializer, activation, loss, optimizer, metric, ... Answered
    from what comes along, without the framework.

    \b
    Example:
      dfh arch doc Conv2D
    """
    found = arch_doc.doc(name, of)
    display.result(found.to_dict(), doc_lines(found))
