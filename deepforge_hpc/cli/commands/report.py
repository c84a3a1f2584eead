"""`dfh report`."""

from __future__ import annotations

import click

from deepforge_hpc.api import manage
from deepforge_hpc.cli.options import execution_argument, output_options, the_execution
from deepforge_hpc.cli.views.display import Display


@click.command("report")
@execution_argument
@output_options
def command(display: Display, execution: str) -> None:
    """Write the report anew.

    The jobs refresh report.html themselves; this renders it once more and prints its path.

    \b
    Example:
      dfh report latest
    """
    path, kept = manage.report(the_execution(display, execution))
    if kept:
        display.talk(kept)
    document = {"schema": "dfh/report/1", "path": str(path), "size": path.stat().st_size}
    display.result(document, [str(path)])
